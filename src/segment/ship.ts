/**
 * Brings a recorder's segments from its spool to a bucket. What is there is derived from listings, never from memory alone, so that a
 * crash at any step leaves the next one to be found: chunk (the same bytes again) · rest of a sealed segment as its last chunks, or a fence
 * where there are none (from here on a rescuer makes the same segment, or none) · the segment at its ready key (consumes the spool's file) · chunks away.
 */

import { VaultError } from '../core/errors.ts'
import {
  activeSegmentKey,
  chunkFolder,
  chunkKey,
  parseChunkKey,
  parseSegmentLabel,
  rawActive,
  rawReady,
  readyLabel,
} from '../storage/keys.ts'
import type { Disk } from '../storage/disk.ts'
import { listAll, type LocalObjectStore, type ObjectInfo, type ObjectStore } from '../storage/object-store.ts'
import { isOwnersFence, putFence, readChunkFolder, removeChunks, type ChunkFolder } from './chunk-folder.ts'
import type { SegmentHeader } from './format.ts'
import { isOfThisFormat, peekSegment } from './peek.ts'
import { publishFromElsewhere } from './publish.ts'
import { writeSealed } from './reseal.ts'
import { SegmentScanner } from './scan.ts'

export interface ShipDeps {
  readonly spool: LocalObjectStore
  readonly bucket: ObjectStore
  readonly disk: Disk
  readonly venue: string
  readonly sequenceOf: (frame: Buffer) => number
}

/** How far a growing file of the spool is durable. */
export interface GrowingFile {
  readonly label: string
  /** Labels come again once what bore them is shipped. */
  readonly firstN: number
  readonly durableBytes: number
}

/** One object takes at most this much of a file, or one line that is longer. */
const chunkBytesMax = 16 * 1024 * 1024

/** @returns sealed segments that wait in the spool, oldest first */
export async function listSealed(
  deps: Pick<ShipDeps, 'spool' | 'venue'>,
  signal: AbortSignal,
): Promise<ObjectInfo[]> {
  const objects = await listAll(deps.spool, rawReady(deps.venue), signal)
  return objects.filter(({ key }) => parseSegmentLabel(readyLabel(deps.venue, key)) !== undefined)
}

/**
 * Ships what is durable of a growing file.
 *
 * @param before the folder as the last call left it; null: it is asked for
 * @returns the folder as it is now; `fenced`: a rescuer has it; `gone`: it has been sealed meanwhile
 */
export async function shipGrowing(
  deps: ShipDeps,
  growing: GrowingFile,
  before: ChunkFolder | null,
  signal: AbortSignal,
): Promise<ChunkFolder | 'fenced' | 'gone'> {
  const key = activeSegmentKey(deps.venue, growing.label)
  try {
    const found = before ?? (await folderOf(deps, key, growing, signal))
    return found === null ? 'gone' : await shipRest(deps, key, growing.durableBytes, found, signal)
  } catch (error) {
    if ((await deps.spool.head(key)) === undefined) return 'gone'
    throw error
  }
}

async function folderOf(
  deps: ShipDeps,
  key: string,
  { label, firstN, durableBytes }: GrowingFile,
  signal: AbortSignal,
): Promise<ChunkFolder | null> {
  const object = { key, sizeBytes: durableBytes, modifiedMs: 0 }
  const peek = await peekSegment(deps.spool, object, false, signal)
  if (peek === 'gone' || peek.header?.n !== firstN) return null
  const { recorder, n } = peek.header
  return readChunkFolder(deps.bucket, chunkFolder(deps.venue, label, recorder, n), signal)
}

/** Brings one sealed segment of the spool to the bucket, from wherever an earlier try left it. */
export async function shipSealed(deps: ShipDeps, sealed: ObjectInfo, signal: AbortSignal): Promise<void> {
  const peek = await peekSegment(deps.spool, sealed, false, signal)
  if (peek === 'gone') return
  const label = readyLabel(deps.venue, sealed.key)
  if (peek.header === null) {
    await publishFromElsewhere(deps.bucket, deps.venue, deps.spool.pathOf(sealed.key), label, signal)
    return
  }
  const { recorder, n } = peek.header
  const shipped = await chunksOfSealed(deps, label, recorder, n, signal)
  const { folder } = shipped
  const agreed = await agreeOnEnd(deps, sealed, recorder, shipped, signal)
  if (agreed === 'fenced') {
    if (!isOfThisFormat(peek.header))
      throw new VaultError(
        'preflight',
        `${sealed.key}: its beginning was rescued, and its rest is of format ${peek.header.format}`,
        {
          remedy: 'let the newer mdv that recorded it send it: mdv ingest',
        },
      )
    return publishRemainder(deps, sealed, peek.header, label, folder, signal)
  }
  await publishFromElsewhere(deps.bucket, deps.venue, deps.spool.pathOf(sealed.key), label, signal)
  await removeChunks(deps.bucket, agreed)
  if (isOwnersFence(agreed)) await deps.bucket.delete(chunkKey(folder, 1))
}

/**
 * What has come over of it while it grew. Recovery seals a file under another counter of its hour where its own is taken; its chunks, and
 * a rescuer's fence behind them, keep the name they had.
 */
async function chunksOfSealed(
  { bucket, venue }: ShipDeps,
  label: string,
  recorder: string,
  firstN: number,
  signal: AbortSignal,
): Promise<ChunkFolder> {
  const own = await readChunkFolder(bucket, chunkFolder(venue, label, recorder, firstN), signal)
  // Its owner's own fence says only that this was tried before: what stands elsewhere came first.
  if (own.chunks.length > 0 || (own.isFenced && !isOwnersFence(own))) return own
  const hour = `${rawActive(venue)}${label.slice(0, label.lastIndexOf('_') + 1)}`
  const keys = (await listAll(bucket, hour, signal)).map(({ key }) => parseChunkKey(key))
  const other = keys.find(
    (key) => key?.recorder === recorder && key.firstN === firstN && key.folder !== own.folder,
  )
  return other === undefined ? own : readChunkFolder(bucket, other.folder, signal)
}

/**
 * Whatever a rescuer does after this, it publishes what the owner publishes, or nothing.
 *
 * @returns `fenced`: what is in chunks is the rescuer's
 */
async function agreeOnEnd(
  deps: ShipDeps,
  sealed: ObjectInfo,
  recorder: string,
  shipped: ChunkFolder,
  signal: AbortSignal,
): Promise<ChunkFolder | 'fenced'> {
  for (let found = shipped; ; found = await readChunkFolder(deps.bucket, shipped.folder, signal)) {
    if (isOwnersFence(found)) return found
    // Chunks without a beginning: removed by a rescuer that saw the segment published, by a try of ours that never learnt of it.
    if (!found.isWhole && !found.isFenced) return found
    if (found.chunks.length > 0 || found.isFenced)
      return shipRest(deps, sealed.key, sealed.sizeBytes, found, signal)
    // In an outage nothing came over, and nothing may any more: a chunk under way since then would be a segment to a rescuer.
    await putFence(deps.bucket, found, recorder)
  }
}

/** Puts bytes up to `until` behind the chunks that are there. @returns the folder as it is then */
async function shipRest(
  deps: ShipDeps,
  key: string,
  until: number,
  before: ChunkFolder,
  signal: AbortSignal,
): Promise<ChunkFolder | 'fenced'> {
  let found = before
  while (!found.isFenced && found.sizeBytes < until) {
    signal.throwIfAborted()
    const bytes = await readLines(deps.spool, key, found.sizeBytes, until, signal)
    if (bytes.length === 0)
      throw new VaultError('unavailable', `${key}: ended at ${found.sizeBytes} of ${until} bytes`)
    const chunk = {
      key: chunkKey(found.folder, found.chunks.length + 1),
      sizeBytes: bytes.length,
      modifiedMs: 0,
    }
    const outcome = await deps.bucket.putIfAbsent(chunk.key, bytes)
    if (outcome === 'created')
      found = { ...found, chunks: [...found.chunks, chunk], sizeBytes: found.sizeBytes + bytes.length }
    else found = await seenAgain(deps, found, chunk.key, signal)
  }
  return found.isFenced ? 'fenced' : found
}

/** Whole lines, about as much as one object takes: a rescuer's fence may come to stand behind any of them. */
async function readLines(
  spool: ObjectStore,
  key: string,
  from: number,
  until: number,
  signal: AbortSignal,
): Promise<Buffer> {
  for (let bytesMax = chunkBytesMax; ; bytesMax *= 2) {
    const bytes = await readRange(spool, key, from, Math.min(until, from + bytesMax), signal)
    if (bytes.length < bytesMax || from + bytes.length === until) return bytes
    const lineEnd = bytes.lastIndexOf(0x0a) + 1
    if (lineEnd > 0) return bytes.subarray(0, lineEnd)
  }
}

/** `exists`: our own, put by a try whose answer was lost, or a fence; the listing says which. */
async function seenAgain(
  { bucket }: ShipDeps,
  before: ChunkFolder,
  key: string,
  signal: AbortSignal,
): Promise<ChunkFolder> {
  const found = await readChunkFolder(bucket, before.folder, signal)
  if (found.isFenced || (found.isWhole && found.sizeBytes > before.sizeBytes)) return found
  throw new VaultError('unavailable', `${key} is there, but not what goes before it`, {
    remedy: 'nothing but mdv may remove objects under raw/active; it is tried again',
  })
}

async function readRange(
  store: ObjectStore,
  key: string,
  from: number,
  until: number,
  signal: AbortSignal,
): Promise<Buffer> {
  const pieces: Buffer[] = []
  for await (const piece of store.read(key, from, until, signal)) pieces.push(piece)
  return Buffer.concat(pieces)
}

/** Behind a fence the beginning is the rescuer's: the lines after it become a segment of their own. */
async function publishRemainder(
  deps: ShipDeps,
  sealed: ObjectInfo,
  header: SegmentHeader,
  label: string,
  folder: string,
  signal: AbortSignal,
): Promise<void> {
  const { sizeBytes: from } = await readChunkFolder(deps.bucket, folder, signal)
  const rescued = await scanUntil(deps, sealed.key, from, signal)
  const path = `${await deps.spool.scratch('ship')}/${label}`
  await deps.disk.unlink(path).catch(() => undefined)
  const next = { ...header, n: (rescued.lastN ?? header.n - 1) + 1, prev: rescued.contentSha256 }
  const until = sealed.sizeBytes
  const remainder = await writeSealed(
    deps.disk,
    path,
    linesFrom(deps, sealed.key, next, from, until, signal),
    deps.sequenceOf,
  )
  if (remainder.lines > 0) await publishFromElsewhere(deps.bucket, deps.venue, path, label, signal)
  else await deps.disk.unlink(path)
  await deps.spool.delete(sealed.key)
}

async function scanUntil(deps: ShipDeps, key: string, until: number, signal: AbortSignal) {
  const scanner = new SegmentScanner({ bad: () => undefined, line: () => undefined })
  for await (const piece of deps.spool.read(key, 0, until, signal)) scanner.push(piece)
  return scanner.end()
}

/** Another header, the lines as they stand, and not the old seal, which speaks of all of them. */
async function* linesFrom(
  deps: ShipDeps,
  key: string,
  header: SegmentHeader,
  from: number,
  until: number,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  yield Buffer.from(`${JSON.stringify({ segment: header })}\n`)
  const sealAt = await lastLineStart(deps.spool, key, until, signal)
  if (from < sealAt) yield* deps.spool.read(key, from, sealAt, signal)
}

const tailBytes = 1024 * 1024

/** A seal is the last line, and no longer than the tail that is looked at, or than twice, four times that … */
async function lastLineStart(
  store: ObjectStore,
  key: string,
  until: number,
  signal: AbortSignal,
): Promise<number> {
  for (let bytes = tailBytes; ; bytes *= 2) {
    const from = Math.max(0, until - bytes)
    const tail = await readRange(store, key, from, until, signal)
    const before = tail.lastIndexOf(0x0a, tail.length - 2)
    if (before >= 0 || from === 0) return from + before + 1
  }
}
