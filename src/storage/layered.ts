/**
 * Two stores as one: raw/ in the first, everything else in the second. So a recorder's disk and the bucket its Parquet goes to are one
 * vault to every program, and none of them needs to know.
 */

import type { ObjectInfo, ObjectStore, PutOutcome } from './object-store.ts'
import { remoteAccessOf, type RemoteAccess, type RemoteStore } from './remote-access.ts'
import { addRequests, requestsOf, type RequestCounts } from './s3/requests.ts'

const rawFolder = 'raw/'

export class LayeredStore implements RemoteStore {
  readonly location: string
  readonly #raw: ObjectStore
  readonly #processed: ObjectStore

  constructor(raw: ObjectStore, processed: ObjectStore) {
    this.location = `${processed.location} (raw/ in ${raw.location})`
    this.#raw = raw
    this.#processed = processed
  }

  /** Of both layers together; null where neither has a bill. */
  get requests(): RequestCounts | null {
    return addRequests(requestsOf(this.#raw), requestsOf(this.#processed))
  }

  /** Of Parquet. */
  remoteAccess(): Promise<RemoteAccess | null> {
    return remoteAccessOf(this.#processed)
  }

  putIfAbsent(key: string, body: Uint8Array): Promise<PutOutcome> {
    return this.#of(key).putIfAbsent(key, body)
  }

  publishFile(path: string, key: string): Promise<PutOutcome> {
    return this.#of(key).publishFile(path, key)
  }

  get(key: string, bytesMax?: number): Promise<Buffer | undefined> {
    return this.#of(key).get(key, bytesMax)
  }

  head(key: string): Promise<ObjectInfo | undefined> {
    return this.#of(key).head(key)
  }

  read(key: string, from: number, until: number, signal: AbortSignal): AsyncIterable<Buffer> {
    return this.#of(key).read(key, from, until, signal)
  }

  /** A prefix that does not yet tell the layers apart is asked of both: raw/ in one piece between what sorts before and after it. */
  async *list(prefix: string, signal: AbortSignal): AsyncGenerator<readonly ObjectInfo[]> {
    if (!rawFolder.startsWith(prefix)) {
      yield* this.#of(prefix).list(prefix, signal)
      return
    }
    let isRawDue = true
    for await (const batch of this.#processed.list(prefix, signal)) {
      const others = batch.filter(({ key }) => !key.startsWith(rawFolder))
      const before = isRawDue ? others.filter(({ key }) => key < rawFolder) : others
      if (before.length > 0) yield before
      if (before.length === others.length) continue
      isRawDue = false
      yield* this.#raw.list(rawFolder, signal)
      yield others.slice(before.length)
    }
    if (isRawDue) yield* this.#raw.list(rawFolder, signal)
  }

  delete(key: string): Promise<boolean> {
    return this.#of(key).delete(key)
  }

  /** With the layer that links files into place, where there is one; parts are the many. */
  scratch(name: string): Promise<string> {
    const isRawLocal = this.#raw.fileOf(`${rawFolder}x`) !== undefined
    const isProcessedLocal = this.#processed.fileOf('processed/x') !== undefined
    return (isRawLocal && !isProcessedLocal ? this.#raw : this.#processed).scratch(name)
  }

  fileOf(key: string): string | undefined {
    return this.#of(key).fileOf(key)
  }

  #of(key: string): ObjectStore {
    return key.startsWith(rawFolder) ? this.#raw : this.#processed
  }
}
