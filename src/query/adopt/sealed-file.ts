/** Writes sealed segments of adopted frames to a scratch file: the same bytes for the same input, whenever and however often it runs. */

import { createHash, type Hash } from 'node:crypto'
import { open, type FileHandle } from 'node:fs/promises'
import type { LogEvent, Seal, SegmentHeader } from '../../segment/format.ts'
import {
  connectionBytes,
  eventRest,
  LineEncoder,
  lineBytesMax,
  verbatimReason,
  verbatimRest,
} from '../../segment/line.ts'

/** Flushed to the file when this much is waiting. */
const bufferBytes = 1024 * 1024

export interface SealedFile {
  readonly seal: Seal
  /** Of the whole file, seal line included. */
  readonly sizeBytes: number
  readonly fileSha256: string
}

export class SealedFileWriter {
  readonly header: SegmentHeader
  readonly path: string
  readonly #handle: FileHandle
  readonly #conn: string
  readonly #connBytes: Buffer
  readonly #encoder: LineEncoder
  readonly #hash: Hash = createHash('sha256')
  #waiting: Buffer[] = []
  #waitingBytes = 0
  #sizeBytes = 0
  #nextN: number
  #frames = 0
  #firstRecvNs: bigint | null = null
  #lastRecvNs: bigint | null = null

  private constructor(path: string, handle: FileHandle, header: SegmentHeader, conn: string) {
    this.path = path
    this.#handle = handle
    this.header = header
    this.#conn = conn
    this.#connBytes = connectionBytes(conn)
    this.#encoder = new LineEncoder(header.n)
    this.#nextN = header.n
  }

  static async create(path: string, header: SegmentHeader, conn: string): Promise<SealedFileWriter> {
    const writer = new SealedFileWriter(path, await open(path, 'w'), header, conn)
    writer.#push(Buffer.from(`${JSON.stringify({ segment: header })}\n`))
    return writer
  }

  get sizeBytes(): number {
    return this.#sizeBytes
  }

  get nextN(): number {
    return this.#nextN
  }

  async frame(recvNs: bigint, frame: Buffer): Promise<void> {
    this.#frames++
    await this.#line(recvNs, this.#frameLine(recvNs, frame))
  }

  async event(recvNs: bigint, event: LogEvent): Promise<void> {
    await this.#line(recvNs, this.#encoder.other(recvNs, eventRest(null, event)))
  }

  /** Writes the seal and makes the file durable; it is then complete and closed. */
  async finish(): Promise<SealedFile> {
    const seal = this.#seal()
    this.#push(Buffer.from(`${JSON.stringify({ seal })}\n`))
    await this.#flush()
    await this.#handle.datasync()
    await this.#handle.close()
    return { seal, sizeBytes: this.#sizeBytes, fileSha256: this.#hash.digest('hex') }
  }

  /** Leaves the file unfinished. After `finish` it does nothing. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close()
  }

  #seal(): Seal {
    const lines = this.#nextN - this.header.n
    const connection = { conn: this.#conn, frames: this.#frames, first_seq: null, last_seq: null, gaps: [] }
    return {
      lines,
      bytes: this.#sizeBytes,
      sha256: this.#hash.copy().digest('hex'),
      first_n: lines === 0 ? null : this.header.n,
      last_n: lines === 0 ? null : this.#nextN - 1,
      first_recv_ns: this.#firstRecvNs?.toString() ?? null,
      last_recv_ns: this.#lastRecvNs?.toString() ?? null,
      connections: this.#frames === 0 ? [] : [connection],
    }
  }

  /** A frame decoded from a string can hold line breaks between its values; it goes in as the recorder would put it. */
  #frameLine(recvNs: bigint, frame: Buffer): Buffer {
    const reason = verbatimReason(frame, false)
    if (reason !== null) return this.#encoder.other(recvNs, verbatimRest(this.#conn, frame, reason))
    const line = Buffer.allocUnsafe(lineBytesMax(this.#connBytes, frame.length))
    return line.subarray(0, this.#encoder.frame(line, 0, recvNs, this.#connBytes, frame))
  }

  async #line(recvNs: bigint, line: Buffer): Promise<void> {
    this.#push(line)
    this.#nextN++
    this.#firstRecvNs ??= recvNs
    this.#lastRecvNs = recvNs
    if (this.#waitingBytes >= bufferBytes) await this.#flush()
  }

  #push(bytes: Buffer): void {
    this.#hash.update(bytes)
    this.#waiting.push(bytes)
    this.#waitingBytes += bytes.length
    this.#sizeBytes += bytes.length
  }

  async #flush(): Promise<void> {
    const bytes = Buffer.concat(this.#waiting)
    this.#waiting = []
    this.#waitingBytes = 0
    for (let at = 0; at < bytes.length;) at += (await this.#handle.write(bytes, at)).bytesWritten
  }
}
