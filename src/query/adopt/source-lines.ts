/** Lines of a file to adopt, plain or gzip, in batches, with bounded memory: the file is only read. */

import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { createGunzip } from 'node:zlib'
import { pipeline } from 'node:stream/promises'
import { PassThrough } from 'node:stream'
import { VaultError, messageOf } from '../../core/errors.ts'
import { frameBytesMax } from '../../segment/format.ts'

export interface SourceLine {
  /** From 1. */
  readonly number: number
  /** Of its first byte in the file, uncompressed. */
  readonly offset: number
  /** Without its line end; null for one longer than the limit, which is not kept. */
  readonly bytes: Buffer | null
  readonly length: number
}

/** A line holds a frame and its envelope. */
const lineBytesMax = frameBytesMax + 1024 * 1024
/** Feeds of text shrink by 10 to 40; deflate's own limit is 1,032. */
const inflateRatioMax = 200
const inflateFreeBytes = 64 * 1024 * 1024

export async function sha256OfFile(path: string, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path, { signal })) hash.update(chunk as Buffer)
  return hash.digest('hex')
}

/** @throws {VaultError} `invalid` for gzip that is damaged or inflates beyond all reason */
export async function* sourceLines(path: string, signal: AbortSignal): AsyncGenerator<readonly SourceLine[]> {
  const splitter = new LineSplitter()
  for await (const chunk of bytesOf(path, signal)) {
    const lines = splitter.push(chunk)
    if (lines.length > 0) yield lines
  }
  const last = splitter.end()
  if (last !== null) yield [last]
}

async function* bytesOf(path: string, signal: AbortSignal): AsyncGenerator<Buffer> {
  const file = createReadStream(path, { highWaterMark: 1024 * 1024, signal })
  if (!path.endsWith('.gz')) {
    for await (const chunk of file) yield chunk as Buffer
    return
  }
  const bytesMax = inflateFreeBytes + (await stat(path)).size * inflateRatioMax
  const inflated = new PassThrough()
  const done = pipeline(file, createGunzip(), inflated)
  // What goes wrong is thrown by the loop below; without this it would also be an unhandled rejection.
  done.catch(() => undefined)
  let bytes = 0
  try {
    for await (const chunk of inflated) {
      bytes += (chunk as Buffer).length
      if (bytes > bytesMax)
        throw new VaultError('invalid', `${path}: inflates to more than ${inflateRatioMax} times its size`, {
          remedy: 'inflate it yourself if it is what you think, and adopt the plain file',
        })
      yield chunk as Buffer
    }
    await done
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof VaultError) throw error
    throw new VaultError('invalid', `${path}: not readable as gzip: ${messageOf(error)}`, {
      remedy: 'test it with "gzip -t"',
      cause: error,
    })
  }
}

class LineSplitter {
  #pieces: Buffer[] = []
  #length = 0
  #offset = 0
  #number = 0

  push(chunk: Buffer): SourceLine[] {
    const lines: SourceLine[] = []
    let start = 0
    for (let at = chunk.indexOf(0x0a); at !== -1; at = chunk.indexOf(0x0a, start)) {
      this.#keep(chunk.subarray(start, at))
      lines.push(this.#take(1))
      start = at + 1
    }
    this.#keep(chunk.subarray(start))
    return lines
  }

  /** What follows the last line end, when anything does. */
  end(): SourceLine | null {
    return this.#length === 0 ? null : this.#take(0)
  }

  #keep(piece: Buffer): void {
    this.#length += piece.length
    if (this.#length > lineBytesMax) this.#pieces = []
    else if (piece.length > 0) this.#pieces.push(piece)
  }

  #take(lineEndBytes: number): SourceLine {
    const length = this.#length
    const bytes = length > lineBytesMax ? null : Buffer.concat(this.#pieces)
    const isCrlf = bytes !== null && bytes.at(-1) === 0x0d
    const line = {
      number: ++this.#number,
      offset: this.#offset,
      bytes: isCrlf ? bytes.subarray(0, -1) : bytes,
      length,
    }
    this.#offset += length + lineEndBytes
    this.#pieces = []
    this.#length = 0
    return line
  }
}
