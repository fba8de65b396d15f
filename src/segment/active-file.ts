/** The growing file of the active segment: header, chunks, seal. Knows at every moment which of its bytes are durable. */

import { createHash, type Hash } from 'node:crypto'
import { dirname } from 'node:path'
import { writeAll, writeAllPieces, type Disk, type DiskFile } from '../storage/disk.ts'
import type { Chunk } from './chunk.ts'
import { SealedConnections } from './connection-stats.ts'
import type { Seal, SegmentHeader } from './format.ts'

/** Counts over the lines so far: what the seal will say. */
interface Counts {
  readonly lines: number
  readonly bytes: number
  readonly first_n: number | null
  readonly last_n: number | null
  readonly first_recv_ns: string | null
  readonly last_recv_ns: string | null
}

const noLines: Counts = {
  lines: 0,
  bytes: 0,
  first_n: null,
  last_n: null,
  first_recv_ns: null,
  last_recv_ns: null,
}

/** What is known of the file's bytes up to some line. */
interface Extent {
  readonly counts: Counts
  /** As JSON: what of it there is later must not change what was true then. */
  readonly connections: string
  readonly hash: Hash
}

export class ActiveFile {
  readonly path: string
  readonly label: string
  readonly header: SegmentHeader
  readonly #disk: Disk
  readonly #file: DiskFile
  readonly #connections = new SealedConnections()
  readonly #hash = createHash('sha256')
  /** All that the file system has taken. */
  #written: Extent
  /** What a power loss keeps of it. */
  #durable: Extent

  private constructor(disk: Disk, file: DiskFile, path: string, label: string, header: SegmentHeader) {
    this.#disk = disk
    this.#file = file
    this.path = path
    this.label = label
    this.header = header
    this.#written = this.#durable = this.#extentOf(noLines)
  }

  /** Makes the file with its header. Neither is durable before the first `sync`. EEXIST when the name is taken. */
  static async create(disk: Disk, path: string, label: string, header: SegmentHeader): Promise<ActiveFile> {
    const active = new ActiveFile(disk, await disk.create(path), path, label, header)
    try {
      const bytes = Buffer.from(`${JSON.stringify({ segment: header })}\n`)
      await writeAll(active.#file, bytes)
      active.#hash.update(bytes)
      active.#written = active.#extentOf({ ...noLines, bytes: bytes.length })
      // Before any of its lines is called durable, the file's name must be.
      await disk.syncFolder(dirname(path))
      return active
    } catch (error) {
      // Else a full disk gathers one empty file an attempt. Recovery removes what cannot be removed now.
      await active.remove().catch(() => undefined)
      throw error
    }
  }

  /** Bytes that a power loss keeps. */
  get durableBytes(): number {
    return this.#durable.counts.bytes
  }

  /** Lines that a power loss keeps. */
  get durableLines(): number {
    return this.#durable.counts.lines
  }

  /** What the seal says of the durable lines: where a file that failed is to be cut, and what the next segment calls `prev`. */
  durableSeal(): Seal {
    const { counts, connections, hash } = this.#durable
    const sha256 = hash.copy().digest('hex')
    return { ...counts, sha256, connections: JSON.parse(connections) as Seal['connections'] }
  }

  /** One after the other; a `sync` may go on meanwhile. */
  async write(chunks: readonly Chunk[]): Promise<void> {
    const writing = writeAllPieces(
      this.#file,
      chunks.map((chunk) => chunk.bytes).filter((bytes) => bytes.length > 0),
    )
    // While the file system copies: both read what the processor has at hand. Of no account if this fails, as the file is then.
    for (const { bytes } of chunks) this.#hash.update(bytes)
    await writing
    for (const { connections } of chunks) this.#connections.add(connections)
    this.#written = this.#extentOf(chunks.reduce(addChunk, this.#written.counts))
  }

  #extentOf(counts: Counts): Extent {
    return { counts, connections: JSON.stringify(this.#connections), hash: this.#hash.copy() }
  }

  /**
   * What was written before this began is durable when it returns.
   *
   * @param toDisk false: counted as durable without syncing, for recorders that were told not to
   */
  async sync(toDisk: boolean): Promise<void> {
    const written = this.#written
    if (toDisk) await this.#file.datasync()
    this.#durable = written
  }

  /** Writes the seal after lines that are durable already, syncs and closes. */
  async seal(): Promise<void> {
    const seal = this.durableSeal()
    await writeAll(this.#file, Buffer.from(`${JSON.stringify({ seal })}\n`))
    await this.#file.datasync()
    await this.#file.close()
  }

  /** Lets go of a file that failed. Its handle may fail once more on closing, which says nothing new. */
  async abandon(): Promise<void> {
    await this.#file.close().catch(() => undefined)
  }

  /** Removes a file in which nothing was ever durable. */
  async remove(): Promise<void> {
    await this.abandon()
    await this.#disk.unlink(this.path)
  }
}

function addChunk(before: Counts, chunk: Chunk): Counts {
  if (chunk.lines === 0) return before
  return {
    lines: before.lines + chunk.lines,
    bytes: before.bytes + chunk.bytes.length,
    first_n: before.first_n ?? chunk.firstN,
    last_n: chunk.lastN,
    first_recv_ns: before.first_recv_ns ?? String(chunk.firstRecvNs),
    last_recv_ns: String(chunk.lastRecvNs),
  }
}
