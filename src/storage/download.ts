/** Objects as local files, for programs that open paths. */

import { createHash } from 'node:crypto'
import { open, rm, type FileHandle } from 'node:fs/promises'
import { forEachAtOnce } from '../core/at-once.ts'
import { VaultError } from '../core/errors.ts'
import type { ObjectStore } from './object-store.ts'

/** Ranges of one object that are fetched side by side: one stream from S3 gives some 50 to 90 MB/s, several fill the line. */
const rangesAtOnce = 4
const looksAtOnce = 16
export const rangeBytes = 8 * 1024 * 1024

/** An object whose bytes are known beforehand: what receipts say of a part. */
export interface KnownObject {
  readonly key: string
  readonly sizeBytes: number
  /** Lower-case hex. */
  readonly sha256: string
}

/** How a fetch of several objects stands. */
export interface FetchProgress {
  readonly objects: number
  /** Brought over the line so far, and what they weigh. */
  readonly fetched: number
  readonly fetchedBytes: number
  readonly toFetchBytes: number
  /** Were here already. */
  readonly cached: number
  readonly cachedBytes: number
  /** Read where they lie. */
  readonly inPlace: number
  readonly inPlaceBytes: number
}

/** Objects as files, for as long as it is not disposed of. */
export interface LocalFiles extends AsyncDisposable {
  /** Absolute path, or the address that `urlOf` gave; undefined for keys that were not asked for. */
  pathOf(key: string): string | undefined
  readonly progress: FetchProgress
}

/**
 * What is believed of copies from an earlier fetch. `size`: one of the right size is the object. `digest`: one of the right digest is.
 * `nothing`: all are fetched as they are, none is kept, and who asks compares digests: for proofs.
 */
export type Trust = 'size' | 'digest' | 'nothing'

export interface FetchOptions {
  readonly trust: Trust
  readonly onProgress: (progress: FetchProgress) => void
  /** Large objects without a copy are not fetched: whoever asks reads them at these addresses. */
  readonly urlOf?: (key: string) => string
}

/** A store that keeps copies of its objects on this machine. */
export interface FetchingStore extends ObjectStore {
  /**
   * @throws {VaultError} `unavailable` when an object is not there any more, `corrupt` when it is not of the size or digest known,
   *   `preflight` when there is no room for all of them
   */
  fetch(objects: readonly KnownObject[], options: FetchOptions, signal: AbortSignal): Promise<LocalFiles>
}

/**
 * Objects as local files: as they lie where their store has files, copies otherwise.
 *
 * @throws {VaultError} `preflight` for a store that has neither files nor copies, or a link on the way; else as `fetch`
 */
export async function localFiles(
  store: ObjectStore,
  objects: readonly KnownObject[],
  options: FetchOptions,
  signal: AbortSignal,
): Promise<LocalFiles> {
  const own = new Map<string, string>()
  for (const { key } of objects) {
    const path = store.fileOf(key)
    if (path !== undefined) own.set(key, path)
  }
  await forEachAtOnce([...own.keys()], looksAtOnce, (key) => refuseLinks(store, key))
  const far = objects.filter(({ key }) => !own.has(key))
  if (far.length === 0) return inPlace(own)
  if (!isFetching(store)) throw notHere(store, far[0]!.key)
  const files = await store.fetch(far, options, signal)
  return { ...files, pathOf: (key) => own.get(key) ?? files.pathOf(key) }
}

/** Whoever opens a path by its name follows links; the store itself does not, and says so. */
async function refuseLinks(store: ObjectStore, key: string): Promise<void> {
  if ((await store.head(key)) !== undefined) return
  throw new VaultError('unavailable', `${store.location}/${key}: is not there any more`, {
    remedy: 'run it again; if it stays, run "mdv verify"',
  })
}

function isFetching(store: ObjectStore): store is FetchingStore {
  return 'fetch' in store
}

function inPlace(paths: ReadonlyMap<string, string>): LocalFiles {
  const progress = {
    objects: paths.size,
    fetched: 0,
    fetchedBytes: 0,
    toFetchBytes: 0,
    cached: 0,
    cachedBytes: 0,
    inPlace: 0,
    inPlaceBytes: 0,
  }
  return { pathOf: (key) => paths.get(key), progress, [Symbol.asyncDispose]: async () => undefined }
}

function notHere(store: ObjectStore, key: string): VaultError {
  return new VaultError('preflight', `${store.location}/${key}: is not on this machine`, {
    remedy: 'fetch it first: mdv sync',
  })
}

/** The path of an object as it is where its store has one; otherwise of a copy made at `copyPath`, which is the caller's to remove. */
export async function localFile(
  store: ObjectStore,
  key: string,
  copyPath: string,
  signal: AbortSignal,
): Promise<string> {
  const own = store.fileOf(key)
  if (own !== undefined) {
    await refuseLinks(store, key)
    return own
  }
  await download(store, key, copyPath, signal)
  return copyPath
}

/**
 * Copies an object into a new file, in parallel ranges. The file is not synced: it can be fetched again.
 *
 * @throws {VaultError} `invalid` when there is no such object, `unavailable` when it ended early
 */
export async function download(
  store: ObjectStore,
  key: string,
  path: string,
  signal: AbortSignal,
): Promise<void> {
  const info = await store.head(key)
  if (info === undefined) throw new VaultError('invalid', `${store.location}/${key}: there is no such object`)
  await downloadSized(store, info, path, signal)
}

/** Lower-case hex. */
export async function fileSha256(path: string): Promise<string> {
  const hash = createHash('sha256')
  const file = await open(path, 'r')
  try {
    for await (const chunk of file.createReadStream({ autoClose: false })) hash.update(chunk as Buffer)
  } finally {
    await file.close()
  }
  return hash.digest('hex')
}

/** The same for an object of known size, without asking for it. */
export async function downloadSized(
  store: ObjectStore,
  { key, sizeBytes }: { readonly key: string; readonly sizeBytes: number },
  path: string,
  signal: AbortSignal,
): Promise<void> {
  const file = await open(path, 'w', 0o600)
  try {
    await forEachAtOnce(rangesOf(sizeBytes), rangesAtOnce, async ({ from, until }) => {
      const at = await copyRange(store, key, from, until, file, signal)
      if (at !== until)
        throw new VaultError('unavailable', `${store.location}/${key}: ended at byte ${at} of ${sizeBytes}`)
    })
  } catch (error) {
    await rm(path, { force: true })
    throw error
  } finally {
    await file.close()
  }
}

/** @returns the byte after the last that came */
async function copyRange(
  store: ObjectStore,
  key: string,
  from: number,
  until: number,
  file: FileHandle,
  signal: AbortSignal,
): Promise<number> {
  let at = from
  for await (const chunk of store.read(key, from, until, signal)) {
    for (let done = 0; done < chunk.length;)
      done += (await file.write(chunk, done, chunk.length - done, at + done)).bytesWritten
    at += chunk.length
  }
  return at
}

function rangesOf(sizeBytes: number): { readonly from: number; readonly until: number }[] {
  const ranges = []
  for (let from = 0; from < sizeBytes; from += rangeBytes)
    ranges.push({ from, until: Math.min(sizeBytes, from + rangeBytes) })
  return ranges
}
