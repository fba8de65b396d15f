/** A scratch file of lines, written in blocks: what prescan hands to DuckDB. */

import { closeSync, openSync, readSync, writeSync } from 'node:fs'

const blockBytes = 1024 * 1024

export class SliceFile {
  readonly path: string
  /** Longest line with its newline. */
  longestLineBytes = 0
  lines = 0
  sizeBytes = 0
  readonly #file: number
  readonly #block = Buffer.allocUnsafe(blockBytes)
  #used = 0

  constructor(path: string) {
    this.path = path
    this.#file = openSync(path, 'wx')
  }

  /** Writes `{"quotes":Q,` and the rest of a segment's line up to its frame's end. */
  addLine(quotes: number, bytes: Buffer, from: number, until: number): void {
    const head = `{"quotes":${quotes},`
    const sizeBytes = head.length + until - from + 2
    this.#count(sizeBytes)
    if (this.#used + sizeBytes > blockBytes) this.#flush()
    if (sizeBytes > blockBytes) {
      writeAll(this.#file, Buffer.from(head))
      writeAll(this.#file, bytes.subarray(from, until))
      writeAll(this.#file, Buffer.from('}\n'))
      return
    }
    this.#used += this.#block.write(head, this.#used, 'latin1')
    this.#used += bytes.copy(this.#block, this.#used, from, until)
    this.#block[this.#used++] = 0x7d
    this.#block[this.#used++] = 0x0a
  }

  addText(line: string): void {
    const bytes = Buffer.from(`${line}\n`)
    this.#count(bytes.length)
    if (this.#used + bytes.length > blockBytes) this.#flush()
    if (bytes.length > blockBytes) writeAll(this.#file, bytes)
    else this.#used += bytes.copy(this.#block, this.#used)
  }

  /** No more lines: the file is whole. */
  close(): void {
    this.#flush()
    closeSync(this.#file)
  }

  #count(sizeBytes: number): void {
    this.lines++
    this.sizeBytes += sizeBytes
    if (sizeBytes > this.longestLineBytes) this.longestLineBytes = sizeBytes
  }

  #flush(): void {
    writeAll(this.#file, this.#block.subarray(0, this.#used))
    this.#used = 0
  }
}

function writeAll(file: number, bytes: Buffer): void {
  for (let at = 0; at < bytes.length;) at += writeSync(file, bytes, at)
}

/** Calls back for each line of a finished file, without its newline. The bytes are used again: read now. */
export function forEachLine(path: string, longestLineBytes: number, take: (line: Buffer) => void): void {
  const file = openSync(path, 'r')
  const buffer = Buffer.allocUnsafe(longestLineBytes + blockBytes)
  let held = 0
  try {
    for (;;) {
      const read = readSync(file, buffer, held, buffer.length - held, null)
      if (read === 0) return
      const until = held + read
      let from = 0
      for (let at = buffer.indexOf(0x0a); at >= 0 && at < until; at = buffer.indexOf(0x0a, from)) {
        take(buffer.subarray(from, at))
        from = at + 1
      }
      held = until - from
      buffer.copyWithin(0, from, until)
    }
  } finally {
    closeSync(file)
  }
}
