/**
 * A store that is far away, with copies near by of what never changes: parts whole, as files, and small records (receipts, bindings, adopted
 * records) by the listing that names them. A listing always comes from the store itself: it says what exists, the cache only gives bytes.
 */

import { join } from 'node:path'
import { forEachAtOnce } from '../core/at-once.ts'
import { messageOf, systemCode, VaultError } from '../core/errors.ts'
import { sha256Hex } from '../core/ids.ts'
import { CacheFolder, type CacheSettings, type CopyName, type Hold } from './cache-folder.ts'
import { isRecordKey, RecordCache } from './cache-records.ts'
import {
  downloadSized,
  fileSha256,
  rangeBytes,
  type FetchingStore,
  type FetchOptions,
  type FetchProgress,
  type KnownObject,
  type LocalFiles,
  type Trust,
} from './download.ts'
import type { ObjectInfo, ObjectStore, PutOutcome } from './object-store.ts'
import { remoteAccessOf, type RemoteAccess, type RemoteStore } from './remote-access.ts'
import { requestsOf, type RequestCounts } from './s3/requests.ts'

const fetchesAtOnce = 8

export class CachedStore implements FetchingStore, RemoteStore {
  readonly location: string
  readonly #store: ObjectStore
  readonly #folder: CacheFolder
  readonly #records: RecordCache
  /** Of this place in the folder of all. */
  readonly #place: string
  readonly #listed = new Map<string, ObjectInfo>()

  /** @param identity what tells this place from every other: endpoint, bucket, prefix */
  constructor(store: ObjectStore, identity: string, settings: CacheSettings) {
    this.location = store.location
    this.#store = store
    this.#folder = new CacheFolder(settings)
    this.#place = sha256Hex(identity).slice(0, 16)
    this.#records = new RecordCache(this.#folder, `${this.#place}/records`)
  }

  /** What the store behind was asked so far; null where it does not count. */
  get requests(): RequestCounts | null {
    return requestsOf(this.#store)
  }

  remoteAccess(): Promise<RemoteAccess | null> {
    return remoteAccessOf(this.#store)
  }

  putIfAbsent(key: string, body: Uint8Array): Promise<PutOutcome> {
    return this.#store.putIfAbsent(key, body)
  }

  publishFile(path: string, key: string): Promise<PutOutcome> {
    return this.#store.publishFile(path, key)
  }

  async get(key: string, bytesMax?: number): Promise<Buffer | undefined> {
    const info = this.#listed.get(key)
    if (info === undefined) return this.#store.get(key, bytesMax)
    const known = await this.#records.get(info)
    if (known !== undefined) return known
    const body = await this.#store.get(key, bytesMax)
    if (body?.length === info.sizeBytes) await this.#records.put(info, body)
    return body
  }

  head(key: string): Promise<ObjectInfo | undefined> {
    return this.#store.head(key)
  }

  read(key: string, from: number, until: number, signal: AbortSignal): AsyncIterable<Buffer> {
    return this.#store.read(key, from, until, signal)
  }

  async *list(prefix: string, signal: AbortSignal): AsyncGenerator<readonly ObjectInfo[]> {
    for await (const batch of this.#store.list(prefix, signal)) {
      for (const info of batch) if (isRecordKey(info.key)) this.#listed.set(info.key, info)
      yield batch
    }
  }

  delete(key: string): Promise<boolean> {
    return this.#store.delete(key)
  }

  scratch(name: string): Promise<string> {
    return this.#store.scratch(name)
  }

  fileOf(key: string): string | undefined {
    return this.#store.fileOf(key)
  }

  async fetch(
    objects: readonly KnownObject[],
    options: FetchOptions,
    signal: AbortSignal,
  ): Promise<LocalFiles> {
    const large = options.urlOf === undefined ? [] : await this.#largeWithoutCopy(objects)
    const inPlace = new Map(large.map(({ key }) => [key, options.urlOf!(key)]))
    const wanted = objects.filter(({ key }) => !inPlace.has(key))
    this.#folder.refuseBeyond(sum(wanted))
    try {
      const token = this.#folder.token()
      // What is not to be kept goes with its user's folder.
      const place = options.trust === 'nothing' ? `users/${token}` : this.#place
      const names = new Map(wanted.map((object) => [object.key, copyName(place, object)]))
      const hold = await this.#folder.hold(token, [...names.values()])
      try {
        const brought = await this.#bring(wanted, names, hold, options, signal)
        const pathOf = (key: string): string | undefined => {
          const copy = names.get(key)
          return copy === undefined ? inPlace.get(key) : this.#folder.pathOf(copy.name)
        }
        const progress = { ...brought, inPlace: inPlace.size, inPlaceBytes: sum(large) }
        return { pathOf, progress, [Symbol.asyncDispose]: hold[Symbol.asyncDispose] }
      } catch (error) {
        await hold[Symbol.asyncDispose]()
        throw error
      }
    } catch (error) {
      throw this.#localError(error)
    }
  }

  /** Worth more than one request: an engine that reads them in place asks for less of them. */
  async #largeWithoutCopy(objects: readonly KnownObject[]): Promise<KnownObject[]> {
    const without: KnownObject[] = []
    for (const object of objects.filter(({ sizeBytes }) => sizeBytes > rangeBytes))
      if (!(await this.#folder.use(copyName(this.#place, object)))) without.push(object)
    return without
  }

  async #bring(
    objects: readonly KnownObject[],
    names: ReadonlyMap<string, CopyName>,
    hold: Hold,
    { trust, onProgress }: FetchOptions,
    signal: AbortSignal,
  ): Promise<FetchProgress> {
    const missing = await this.#missing(objects, names, trust)
    let progress = startOf(objects, missing)
    if (missing.length > 0) {
      await this.#folder.makeRoom()
      onProgress(progress)
    }
    await forEachAtOnce(missing, fetchesAtOnce, async (object, i) => {
      signal.throwIfAborted()
      const path = join(hold.folder, `${i}.new`)
      await this.#download(object, path, signal)
      if (trust !== 'nothing') await this.#refuseOther(object, path)
      await this.#folder.keep(path, names.get(object.key)!)
      const { fetched, fetchedBytes } = progress
      progress = { ...progress, fetched: fetched + 1, fetchedBytes: fetchedBytes + object.sizeBytes }
      onProgress(progress)
    })
    return progress
  }

  async #missing(
    objects: readonly KnownObject[],
    names: ReadonlyMap<string, CopyName>,
    trust: Trust,
  ): Promise<KnownObject[]> {
    const missing: KnownObject[] = []
    await forEachAtOnce(objects, fetchesAtOnce, async (object) => {
      const copy = names.get(object.key)!
      const isHere =
        (await this.#folder.use(copy)) &&
        (trust === 'size' || (await fileSha256(this.#folder.pathOf(copy.name))) === object.sha256)
      if (!isHere) missing.push(object)
    })
    return missing
  }

  async #download(object: KnownObject, path: string, signal: AbortSignal): Promise<void> {
    const where = `${this.location}/${object.key}`
    try {
      await downloadSized(this.#store, object, path, signal)
    } catch (error) {
      signal.throwIfAborted()
      const info = await this.#store.head(object.key)
      if (info === undefined)
        throw new VaultError('unavailable', `${where}: is not there any more`, {
          remedy: 'run it again; if it stays, run "mdv verify"',
          cause: error,
        })
      if (info.sizeBytes !== object.sizeBytes)
        throw damaged(where, `has ${info.sizeBytes} bytes, its receipt says ${object.sizeBytes}`)
      throw error
    }
  }

  async #refuseOther({ key, sha256 }: KnownObject, path: string): Promise<void> {
    const found = await fileSha256(path)
    if (found === sha256) return
    throw damaged(
      `${this.location}/${key}`,
      `sha256 ${found.slice(0, 12)}… ≠ ${sha256.slice(0, 12)}… in its receipt`,
    )
  }

  #localError(error: unknown): unknown {
    if (error instanceof VaultError || systemCode(error) === undefined) return error
    return new VaultError('preflight', `${this.#folder.dir}: ${messageOf(error)}`, {
      remedy: 'free space, or set storage.cache_dir to a folder that can be written',
      cause: error,
    })
  }
}

/** Folders as in the store, since readers take values from `name=value`; then the digest, since no two copies may share a name. */
function copyName(place: string, { key, sizeBytes, sha256 }: KnownObject): CopyName {
  const isSafe = key.split('/').every((part) => /^[A-Za-z0-9%=+_.-]+$/.test(part) && !/^\.+$/.test(part))
  if (isSafe) return { name: `${place}/parts/${key}/${sha256.slice(0, 16)}.parquet`, sizeBytes }
  throw new VaultError('corrupt', `${JSON.stringify(key)}: no part has such a name`, {
    remedy: '"mdv verify" names the receipt; restore it from a backup',
  })
}

function damaged(where: string, what: string): VaultError {
  return new VaultError('corrupt', `${where}: ${what}`, {
    remedy:
      '"mdv verify" names every damaged part and what to do; other products and days can still be asked',
  })
}

function startOf(objects: readonly KnownObject[], missing: readonly KnownObject[]): FetchProgress {
  return {
    objects: objects.length,
    fetched: 0,
    fetchedBytes: 0,
    toFetchBytes: sum(missing),
    cached: objects.length - missing.length,
    cachedBytes: sum(objects) - sum(missing),
    inPlace: 0,
    inPlaceBytes: 0,
  }
}

function sum(objects: readonly KnownObject[]): number {
  return objects.reduce((total, object) => total + object.sizeBytes, 0)
}
