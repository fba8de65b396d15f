/** An object store in memory: the second implementation of the interface, for tests that need no files. */

import { readFile, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { VaultError } from '../../src/core/errors.ts'
import {
  recordBytesMax,
  tooLarge,
  type ObjectInfo,
  type ObjectStore,
  type PutOutcome,
} from '../../src/storage/object-store.ts'

export class MemoryStore implements ObjectStore {
  readonly location = 'memory:'
  readonly #objects = new Map<string, { readonly body: Buffer; readonly modifiedMs: number }>()
  #puts = 0

  putIfAbsent(key: string, body: Uint8Array): Promise<PutOutcome> {
    if (!isKey(key)) return Promise.reject(new VaultError('invalid', `not a key: ${JSON.stringify(key)}`))
    if (this.#objects.has(key)) return Promise.resolve('exists')
    this.#objects.set(key, { body: Buffer.from(body), modifiedMs: ++this.#puts })
    return Promise.resolve('created')
  }

  async publishFile(path: string, key: string): Promise<PutOutcome> {
    const outcome = await this.putIfAbsent(key, await readFile(path))
    if (outcome === 'created') await rm(path)
    return outcome
  }

  async get(key: string, bytesMax = recordBytesMax): Promise<Buffer | undefined> {
    const object = this.#objects.get(key)
    const sizeBytes = object?.body.length ?? 0
    if (sizeBytes > bytesMax) throw tooLarge(key, sizeBytes, bytesMax)
    return object && Buffer.from(object.body)
  }

  head(key: string): Promise<ObjectInfo | undefined> {
    const object = this.#objects.get(key)
    return Promise.resolve(object && { key, sizeBytes: object.body.length, modifiedMs: object.modifiedMs })
  }

  async *read(key: string, from: number, until: number, signal: AbortSignal): AsyncGenerator<Buffer> {
    signal.throwIfAborted()
    const body = await this.get(key, Infinity)
    if (body === undefined) throw new VaultError('invalid', `${key}: there is no such object`)
    if (from < Math.min(until, body.length)) yield body.subarray(from, until)
  }

  async *list(prefix: string, signal: AbortSignal): AsyncGenerator<readonly ObjectInfo[]> {
    signal.throwIfAborted()
    const keys = [...this.#objects.keys()].filter((key) => key.startsWith(prefix)).sort()
    const infos = await Promise.all(keys.map((key) => this.head(key)))
    if (infos.length > 0) yield infos.filter((info) => info !== undefined)
  }

  delete(key: string): Promise<boolean> {
    return Promise.resolve(this.#objects.delete(key))
  }

  scratch(name: string): Promise<string> {
    return mkdtemp(join(tmpdir(), `mdv-memory-${name}-`))
  }

  fileOf(): undefined {
    return undefined
  }
}

function isKey(key: string): boolean {
  // eslint-disable-next-line no-control-regex
  if (/[\\\u0000-\u001f]/.test(key)) return false
  return key.split('/').every((part) => part !== '' && part !== '.' && part !== '..')
}
