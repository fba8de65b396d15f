/** One object from one store to another: the way that suits both, tried again while it fails for outside reasons, never over another one. */

import { createHash } from 'node:crypto'
import { open, rm, type FileHandle } from 'node:fs/promises'
import { backoffMs } from '../core/backoff.ts'
import type { Clock, Random } from '../core/clock.ts'
import { VaultError } from '../core/errors.ts'
import type { ObjectInfo, ObjectStore } from '../storage/object-store.ts'
import { classifyKey } from './key-class.ts'
import {
  isAddressed,
  isDownloader,
  isSameServer,
  isServerCopier,
  isUploader,
  type Addressed,
  type Downloader,
  type ServerCopier,
  type SyncEnd,
  type Uploader,
} from './end.ts'
import type { LazyScratch, Scratch } from './scratch.ts'

/** Up to this an object is held in memory and put in one piece. */
export const smallBytes = 8 * 1024 * 1024
const attemptsMax = 6
const backoff = { firstMs: 500, limitMs: 20_000 }

export interface TransferDeps {
  readonly source: SyncEnd
  readonly target: SyncEnd
  readonly scratch: LazyScratch
  readonly clock: Clock
  readonly random: Random
}

/** `exists`: the same bytes came there meanwhile · `vanished`: the source has it no more. */
export type Transferred =
  | { readonly kind: 'copied'; readonly sizeBytes: number }
  | { readonly kind: 'exists' }
  | { readonly kind: 'conflict'; readonly detail: string }
  | { readonly kind: 'vanished' }

/** An object is finished once begun. */
const never = new AbortController().signal

/**
 * Copies an object that the target did not have.
 *
 * @param info as listed; what lies there now is what counts
 * @param signal ends waiting between attempts; an attempt under way is brought to its end
 * @throws {VaultError} what the last attempt threw
 */
export async function transfer(
  deps: TransferDeps,
  info: ObjectInfo,
  signal: AbortSignal,
): Promise<Transferred> {
  let now = info
  for (let attempt = 0; ; attempt++) {
    try {
      return await attemptOne(deps, now)
    } catch (error) {
      // Converted, compacted or moved since it was listed: what is there instead comes with its receipt.
      const there = await lookAgain(deps.source.store, now)
      if (there === undefined) return { kind: 'vanished' }
      if (!isWorthRetrying(error) || attempt + 1 >= attemptsMax) throw error
      now = there
      await deps.clock.sleep(backoffMs(backoff, attempt, deps.random), signal)
    }
  }
}

/** A source out of reach has said nothing about the object. */
async function lookAgain(source: ObjectStore, info: ObjectInfo): Promise<ObjectInfo | undefined> {
  try {
    return await source.head(info.key)
  } catch (error) {
    if (isWorthRetrying(error)) return info
    throw error
  }
}

function isWorthRetrying(error: unknown): boolean {
  return error instanceof VaultError && error.kind === 'unavailable'
}

async function attemptOne(deps: TransferDeps, info: ObjectInfo): Promise<Transferred> {
  const { key, sizeBytes } = info
  const from = deps.source.layer(key)
  const to = deps.target.layer(key)
  // Records carry the protocol: only put-if-absent will do for them.
  const isData = classifyKey(key) === 'data'
  if (isData && isServerCopier(to.store) && isAddressed(from.store) && isSameServer(from.place, to.place)) {
    const done = await copyAtServer(from.store, to.store, info)
    if (done !== undefined) return done
  }
  if (sizeBytes <= smallBytes) return putWhole(from.store, to.store, info)
  return isData && isUploader(to.store)
    ? uploadParts(deps, from.store, to.store, info)
    : publishCopy(deps, from.store, to.store, info)
}

/** @returns undefined: that server does not, or not for these credentials; then the bytes pass through here */
async function copyAtServer(
  from: ObjectStore & Addressed,
  to: ObjectStore & ServerCopier,
  info: ObjectInfo,
): Promise<Transferred | undefined> {
  const { key, sizeBytes } = info
  const there = await to.head(key)
  if (there !== undefined) return compareTwo(from, info, to, there)
  try {
    const source = { bucket: from.bucket, fullKey: from.fullKey(key), sizeBytes, sha256: null }
    await to.copyFrom(source, key, never)
  } catch (error) {
    if (error instanceof VaultError && error.kind === 'preflight') return undefined
    throw error
  }
  const copied = await to.head(key)
  if (copied?.sizeBytes === sizeBytes) return { kind: 'copied', sizeBytes }
  throw new VaultError(
    'unavailable',
    `${to.location}/${key}: the server copied ${copied?.sizeBytes ?? 0} bytes of ${sizeBytes}`,
  )
}

async function putWhole(from: ObjectStore, to: ObjectStore, info: ObjectInfo): Promise<Transferred> {
  const { key, sizeBytes } = info
  const chunks: Buffer[] = []
  let read = 0
  for await (const chunk of from.read(key, 0, sizeBytes, never)) {
    chunks.push(chunk)
    read += chunk.length
  }
  refuseShort(from, info, read)
  const body = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)
  if ((await to.putIfAbsent(key, body)) === 'created') return { kind: 'copied', sizeBytes }
  return compareWith(to, key, createHash('sha256').update(body).digest('hex'))
}

async function uploadParts(
  deps: TransferDeps,
  from: ObjectStore,
  to: ObjectStore & Uploader,
  info: ObjectInfo,
): Promise<Transferred> {
  const { key, sizeBytes } = info
  const there = await to.head(key)
  if (there !== undefined) return compareTwo(from, info, to, there)
  const own = from.fileOf(key)
  if (own !== undefined) {
    await to.uploadLarge(own, key, never)
    return { kind: 'copied', sizeBytes }
  }
  return inScratch(await deps.scratch.of(to), async (path) => {
    await fetchInto(from, info, path)
    await to.uploadLarge(path, key, never)
    return { kind: 'copied', sizeBytes }
  })
}

async function publishCopy(
  deps: TransferDeps,
  from: ObjectStore,
  to: ObjectStore,
  info: ObjectInfo,
): Promise<Transferred> {
  return inScratch(await deps.scratch.of(to), async (path) => {
    const sha256 = await fetchInto(from, info, path)
    if ((await to.publishFile(path, info.key)) === 'created')
      return { kind: 'copied', sizeBytes: info.sizeBytes }
    return compareWith(to, info.key, sha256)
  })
}

async function inScratch<T>(scratch: Scratch, work: (path: string) => Promise<T>): Promise<T> {
  const path = scratch.newPath()
  try {
    return await work(path)
  } finally {
    await rm(path, { force: true })
  }
}

/** @returns the digest of the bytes as they came */
async function fetchInto(from: ObjectStore, info: ObjectInfo, path: string): Promise<string> {
  if (isDownloader(from)) return downloadInto(from, info, path)
  const hash = createHash('sha256')
  const file = await open(path, 'w')
  try {
    let at = 0
    for await (const chunk of from.read(info.key, 0, info.sizeBytes, never)) {
      hash.update(chunk)
      await writeAt(file, chunk, at)
      at += chunk.length
    }
    refuseShort(from, info, at)
  } finally {
    await file.close()
  }
  return hash.digest('hex')
}

async function downloadInto(from: ObjectStore & Downloader, info: ObjectInfo, path: string): Promise<string> {
  const came = await from.download(info.key, path, never)
  refuseShort(from, info, came.sizeBytes)
  return came.sha256
}

async function writeAt(file: FileHandle, chunk: Buffer, at: number): Promise<void> {
  for (let done = 0; done < chunk.length;)
    done += (await file.write(chunk, done, chunk.length - done, at + done)).bytesWritten
}

/** Not as long as listed: it is looked at again. */
function refuseShort(from: ObjectStore, { key, sizeBytes }: ObjectInfo, read: number): void {
  if (read !== sizeBytes)
    throw new VaultError('unavailable', `${from.location}/${key}: ended at byte ${read} of ${sizeBytes}`)
}

async function compareTwo(
  from: ObjectStore,
  source: ObjectInfo,
  to: ObjectStore,
  target: ObjectInfo,
): Promise<Transferred> {
  if (source.sizeBytes !== target.sizeBytes)
    return { kind: 'conflict', detail: sizesDiffer(source.sizeBytes, target.sizeBytes) }
  return compareWith(to, source.key, await sha256Of(from, source.key))
}

async function compareWith(to: ObjectStore, key: string, sha256: string): Promise<Transferred> {
  const theirs = await sha256Of(to, key)
  return theirs === sha256
    ? { kind: 'exists' }
    : { kind: 'conflict', detail: digestsDiffer('at the source', sha256, theirs) }
}

/** SHA-256 of an object as it lies there: 64 hex digits. @throws {VaultError} `invalid` when there is none */
export async function sha256Of(store: ObjectStore, key: string): Promise<string> {
  const info = await store.head(key)
  if (info === undefined) throw new VaultError('invalid', `${store.location}/${key}: there is no such object`)
  const hash = createHash('sha256')
  for await (const chunk of store.read(key, 0, info.sizeBytes, never)) hash.update(chunk)
  return hash.digest('hex')
}

export function sizesDiffer(sourceBytes: number, targetBytes: number): string {
  return `${sourceBytes} bytes at the source, ${targetBytes} at the target`
}

export function digestsDiffer(where: string, sha256: string, theirs: string): string {
  return `sha256 ${sha256.slice(0, 12)}… ${where}, ${theirs.slice(0, 12)}… at the target`
}
