/** A store that has no files for other programs, as a bucket has none: a local one behind a curtain, which counts what is asked of it. */

import type { ObjectInfo, ObjectStore, PutOutcome } from '../../src/storage/object-store.ts'

export class FarStore implements ObjectStore {
  readonly location = 's3://far'
  readonly #store: ObjectStore
  readonly requests = { get: 0, head: 0, read: 0, list: 0, put: 0, delete: 0 }
  /** Prefixes that were listed, in order. */
  readonly listed: string[] = []
  readBytes = 0
  /** Called before each `read` is answered. */
  onRead: (key: string) => Promise<void> = async () => undefined

  constructor(store: ObjectStore) {
    this.#store = store
  }

  putIfAbsent(key: string, body: Uint8Array): Promise<PutOutcome> {
    this.requests.put++
    return this.#store.putIfAbsent(key, body)
  }

  publishFile(path: string, key: string): Promise<PutOutcome> {
    this.requests.put++
    return this.#store.publishFile(path, key)
  }

  get(key: string, bytesMax?: number): Promise<Buffer | undefined> {
    this.requests.get++
    return this.#store.get(key, bytesMax)
  }

  head(key: string): Promise<ObjectInfo | undefined> {
    this.requests.head++
    return this.#store.head(key)
  }

  async *read(key: string, from: number, until: number, signal: AbortSignal): AsyncGenerator<Buffer> {
    this.requests.read++
    await this.onRead(key)
    for await (const chunk of this.#store.read(key, from, until, signal)) {
      this.readBytes += chunk.length
      yield chunk
    }
  }

  async *list(prefix: string, signal: AbortSignal): AsyncGenerator<readonly ObjectInfo[]> {
    this.listed.push(prefix)
    this.requests.list++
    yield* this.#store.list(prefix, signal)
  }

  delete(key: string): Promise<boolean> {
    this.requests.delete++
    return this.#store.delete(key)
  }

  scratch(name: string): Promise<string> {
    return this.#store.scratch(name)
  }

  fileOf(): undefined {
    return undefined
  }
}
