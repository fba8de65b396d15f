/** Copies of small records that never change, each under a name made of what a listing says of it, with its digest before its bytes. */

import { mkdir, open, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { systemCode } from '../core/errors.ts'
import { sha256Hex } from '../core/ids.ts'
import type { CacheFolder } from './cache-folder.ts'
import type { ObjectInfo } from './object-store.ts'

/** Receipts, bindings and adopted records: put once, never changed. */
export function isRecordKey(key: string): boolean {
  return /^processed\/[^/]+\/_(receipts|jobs|adopted)\/[^/]+\.json$/.test(key)
}

/** A record counts as used again only after this: to note each use would cost more than to read it. */
const usedAgainMs = 3_600_000
const digestBytes = 64

export class RecordCache {
  readonly #folder: CacheFolder
  readonly #prefix: string

  /** @param prefix its place in the folder */
  constructor(folder: CacheFolder, prefix: string) {
    this.#folder = folder
    this.#prefix = prefix
  }

  /** The bytes of a listed object; undefined when they are not here, or are not what they were. */
  async get(info: ObjectInfo): Promise<Buffer | undefined> {
    const name = this.#nameOf(info)
    try {
      const file = await open(this.#folder.pathOf(name), 'r')
      try {
        const { size, mtimeMs } = await file.stat()
        if (size !== digestBytes + info.sizeBytes) return undefined
        const bytes = await file.readFile()
        const body = bytes.subarray(digestBytes)
        if (bytes.toString('latin1', 0, digestBytes) !== sha256Hex(body)) return undefined
        if (this.#folder.isUnused(mtimeMs, usedAgainMs)) await this.#folder.touch(name)
        return body
      } finally {
        await file.close()
      }
    } catch (error) {
      if (systemCode(error) === undefined) throw error
      return undefined // not here, or not readable: it is asked of the store
    }
  }

  /** A cache that cannot be written costs requests, not answers. */
  async put(info: ObjectInfo, body: Buffer): Promise<void> {
    const name = this.#nameOf(info)
    const bytes = Buffer.concat([Buffer.from(sha256Hex(body), 'latin1'), body])
    const unfinished = `${this.#folder.pathOf(name)}.${this.#folder.token()}`
    try {
      await mkdir(dirname(unfinished), { recursive: true, mode: 0o700 })
      await writeFile(unfinished, bytes, { mode: 0o600 })
      await this.#folder.keep(unfinished, { name, sizeBytes: bytes.length })
    } catch (error) {
      if (systemCode(error) === undefined) throw error
    }
  }

  #nameOf({ key, sizeBytes, modifiedMs }: ObjectInfo): string {
    const digest = sha256Hex(`${key}\n${sizeBytes}\n${modifiedMs}`).slice(0, 40)
    return `${this.#prefix}/${digest.slice(0, 2)}/${digest.slice(2)}`
  }
}
