/** Lines that could not become rows, each kept whole with its reason, as they will lie under raw/rejected. */

import { isUtf8 } from 'node:buffer'
import { closeSync, openSync, readSync, writeSync } from 'node:fs'

/** Larger lines are copied in pieces, as base64. */
const wholeBytesMax = 16 * 1024 * 1024

export interface Reject {
  readonly recorder: string
  /** null where the line is too damaged to say. */
  readonly n: number | null
  readonly offset: number
  readonly sizeBytes: number
  readonly reason: string
  readonly detail: string
}

/** The segment that a line stands in. */
export interface RejectOrigin {
  readonly key: string
  readonly label: string
  readonly path: string
}

export class RejectFile {
  readonly #path: string
  #file: number | null = null
  count = 0

  constructor(path: string) {
    this.#path = path
  }

  /** null: none were rejected. */
  get path(): string | null {
    return this.#file === null ? null : this.#path
  }

  /** The line itself is copied from the segment. */
  add(reject: Reject, { key, label, path }: RejectOrigin): void {
    this.#file ??= openSync(this.#path, 'wx')
    const { recorder, n, offset, sizeBytes, reason, detail } = reject
    const head = { segment: key, label, recorder, n, offset, len: sizeBytes, reason, detail }
    const open = JSON.stringify(head).slice(0, -1)
    const source = openSync(path, 'r')
    try {
      const bytes = sizeBytes <= wholeBytesMax ? readExactly(source, offset, sizeBytes) : null
      if (bytes === null) this.#copy(source, open, offset, sizeBytes)
      else if (isUtf8(bytes)) this.#write(`${open},"text":${JSON.stringify(bytes.toString('utf8'))}}\n`)
      else this.#write(`${open},"base64":"${bytes.toString('base64')}"}\n`)
    } finally {
      closeSync(source)
    }
    this.count++
  }

  close(): void {
    if (this.#file !== null) closeSync(this.#file)
  }

  /** In multiples of three bytes, so that the pieces' base64 is the base64 of the whole. */
  #copy(source: number, open: string, offset: number, sizeBytes: number): void {
    this.#write(`${open},"base64":"`)
    const pieceBytes = 3 * 1024 * 1024
    for (let done = 0; done < sizeBytes; done += pieceBytes)
      this.#write(
        readExactly(source, offset + done, Math.min(pieceBytes, sizeBytes - done)).toString('base64'),
      )
    this.#write('"}\n')
  }

  #write(text: string): void {
    const bytes = Buffer.from(text)
    for (let at = 0; at < bytes.length;) at += writeSync(this.#file!, bytes, at)
  }
}

function readExactly(file: number, offset: number, sizeBytes: number): Buffer {
  const bytes = Buffer.allocUnsafe(sizeBytes)
  for (let at = 0; at < sizeBytes;) {
    const read = readSync(file, bytes, at, sizeBytes - at, offset + at)
    if (read === 0) throw new RangeError(`the segment ends before byte ${offset + sizeBytes}`)
    at += read
  }
  return bytes
}
