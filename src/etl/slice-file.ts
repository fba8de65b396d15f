/** A scratch file of lines, written in blocks, for DuckDB to read. */

import { closeSync, openSync, writeSync } from 'node:fs'

const blockBytes = 1024 * 1024

export class SliceFile {
  readonly path: string
  /** Longest line with its newline. */
  longestLineBytes = 0
  readonly #file: number
  readonly #block = Buffer.allocUnsafe(blockBytes)
  #used = 0

  constructor(path: string) {
    this.path = path
    this.#file = openSync(path, 'wx')
  }

  addText(line: string): void {
    const bytes = Buffer.from(`${line}\n`)
    if (bytes.length > this.longestLineBytes) this.longestLineBytes = bytes.length
    if (this.#used + bytes.length > blockBytes) this.#flush()
    if (bytes.length > blockBytes) writeAll(this.#file, bytes)
    else this.#used += bytes.copy(this.#block, this.#used)
  }

  /** No more lines: the file is whole. */
  close(): void {
    this.#flush()
    closeSync(this.#file)
  }

  #flush(): void {
    writeAll(this.#file, this.#block.subarray(0, this.#used))
    this.#used = 0
  }
}

function writeAll(file: number, bytes: Buffer): void {
  for (let at = 0; at < bytes.length;) at += writeSync(file, bytes, at)
}
