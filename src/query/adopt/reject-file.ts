/** Lines of an adopted file that hold no frame, kept whole with the reason, one JSON object a line. */

import { isUtf8 } from 'node:buffer'
import { open, type FileHandle } from 'node:fs/promises'
import { basename } from 'node:path'
import type { AdoptReject } from './read-line.ts'
import type { SourceLine } from './source-lines.ts'

export class RejectFile {
  readonly #path: string
  readonly #source: string
  readonly #handle: FileHandle

  private constructor(path: string, source: string, handle: FileHandle) {
    this.#path = path
    this.#source = source
    this.#handle = handle
  }

  static async create(path: string, source: string): Promise<RejectFile> {
    return new RejectFile(path, basename(source), await open(path, 'w'))
  }

  async add(line: SourceLine, reason: AdoptReject, detail: string): Promise<void> {
    const { number, offset, length, bytes } = line
    const content =
      bytes === null
        ? {}
        : isUtf8(bytes)
          ? { text: bytes.toString('utf8') }
          : { base64: bytes.toString('base64') }
    const reject = { source: this.#source, line: number, offset, len: length, reason, detail, ...content }
    await this.#handle.appendFile(`${JSON.stringify(reject)}\n`)
  }

  /** Makes it durable. @returns where it lies */
  async finish(): Promise<string> {
    await this.#handle.datasync()
    await this.#handle.close()
    return this.#path
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close()
  }
}
