/**
 * A growing segment in a bucket: exact ranges of its file, in order, one object a flush. Owner and rescuer agree by put-if-absent of the
 * next number: either the owner's bytes stand there, or a fence, behind which the segment is the rescuer's to end.
 */

import { VaultError } from '../core/errors.ts'
import { chunkKey, parseChunkKey, rawActive } from '../storage/keys.ts'
import { listAll, type ObjectInfo, type ObjectStore } from '../storage/object-store.ts'

export interface ChunkFolder {
  /** Ends in a slash. */
  readonly folder: string
  /** In order, without the fence. */
  readonly chunks: readonly ObjectInfo[]
  /** false: the first ones are gone, or one between them, or all that stood before the fence. */
  readonly isWhole: boolean
  /** Bytes of the segment's file that chunks hold, or held when the fence was put. */
  readonly sizeBytes: number
  readonly isFenced: boolean
  /** The newest object's time, epoch milliseconds by the store's clock. */
  readonly modifiedMs: number
}

/** What a segment is, and what it is called. */
export interface Identified {
  readonly recorder: string
  readonly firstN: number
  readonly label: string
}

/** Of the folder's name. */
export function ownerOf(folder: string): Identified {
  return parseChunkKey(chunkKey(folder, 1))!
}

/** What lies in each folder of a growing segment. */
export async function listChunkFolders(
  store: ObjectStore,
  venue: string,
  signal: AbortSignal,
): Promise<Map<string, ObjectInfo[]>> {
  const folders = new Map<string, ObjectInfo[]>()
  for (const object of await listAll(store, `${rawActive(venue)}segment_`, signal)) {
    const folder = parseChunkKey(object.key)?.folder
    if (folder !== undefined) folders.set(folder, [...(folders.get(folder) ?? []), object])
  }
  return folders
}

/** Longer objects are no fences and need not be read. */
const fenceBytesMax = 4096
const fenceStart = '{"fence":{'

/** @param sizeBytes what the chunks before it hold: they go, and it stays */
function fenceBody(by: string, sizeBytes: number): Buffer {
  return Buffer.from(`${JSON.stringify({ fence: { by, size_bytes: sizeBytes } })}\n`)
}

/** @returns undefined: these are bytes of a segment */
function parseFence(key: string, body: Buffer): number | undefined {
  if (body.toString('latin1', 0, fenceStart.length) !== fenceStart) return undefined
  const sizeBytes = /"size_bytes":(\d{1,15})\}\}\s*$/.exec(body.toString('latin1'))?.[1]
  if (sizeBytes !== undefined) return Number(sizeBytes)
  throw new VaultError('corrupt', `${key}: a fence that does not say how far it goes`, {
    remedy: 'restore it from a backup; until then the segment before it stays as it is',
  })
}

/** A store that goes on listing what it does not give has a fault of its own. */
const looksMax = 5

/** @throws {VaultError} `unavailable`: what is listed is not there, again and again */
export async function readChunkFolder(
  store: ObjectStore,
  folder: string,
  signal: AbortSignal,
): Promise<ChunkFolder> {
  for (let look = 0; look < looksMax; look++) {
    const found = await lookInto(store, folder, signal)
    if (found !== 'changed') return found
  }
  throw new VaultError('unavailable', `${folder}: what is listed last there is not there`, {
    remedy: 'look at that server; it is tried again',
  })
}

/** @returns `changed`: a fence went since it was listed; it must not be taken for bytes of the segment */
async function lookInto(
  store: ObjectStore,
  folder: string,
  signal: AbortSignal,
): Promise<ChunkFolder | 'changed'> {
  const objects = (await listAll(store, folder, signal))
    .filter(({ key }) => parseChunkKey(key) !== undefined)
    .sort((a, b) => numberOf(a) - numberOf(b))
  const last = objects.at(-1)
  const isSmall = last !== undefined && last.sizeBytes <= fenceBytesMax
  const body = isSmall ? await store.get(last.key) : undefined
  if (isSmall && body === undefined) return 'changed'
  const fencedBytes = body === undefined ? undefined : parseFence(last!.key, body)
  const chunks = fencedBytes === undefined ? objects : objects.slice(0, -1)
  const chunkBytes = chunks.reduce((total, { sizeBytes }) => total + sizeBytes, 0)
  const sizeBytes = fencedBytes ?? chunkBytes
  return {
    folder,
    chunks,
    isWhole: chunkBytes === sizeBytes && chunks.every((chunk, i) => numberOf(chunk) === i + 1),
    sizeBytes,
    isFenced: fencedBytes !== undefined,
    modifiedMs: Math.max(0, ...objects.map(({ modifiedMs }) => modifiedMs)),
  }
}

function numberOf({ key }: ObjectInfo): number {
  return parseChunkKey(key)!.number
}

/** A fence before the first chunk is the owner's: a rescuer has something to rescue. */
export function isOwnersFence(found: ChunkFolder): boolean {
  return found.isFenced && found.sizeBytes === 0
}

/** @returns false: the owner put another chunk meanwhile, or another rescuer a fence */
export async function putFence(store: ObjectStore, seen: ChunkFolder, by: string): Promise<boolean> {
  const key = chunkKey(seen.folder, seen.chunks.length + 1)
  return (await store.putIfAbsent(key, fenceBody(by, seen.sizeBytes))) === 'created'
}

/** The bytes of all chunks. */
export async function* readChunks(
  store: ObjectStore,
  { chunks }: ChunkFolder,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  for (const { key, sizeBytes } of chunks) yield* store.read(key, 0, sizeBytes, signal)
}

/**
 * Removes the chunks of a published segment, the first one first: what a crash leaves has a hole at its beginning and is never taken for a
 * segment. A fence stays: its owner may come back at any time.
 */
export async function removeChunks(store: ObjectStore, { chunks }: ChunkFolder): Promise<void> {
  for (const { key } of chunks) await store.delete(key)
}
