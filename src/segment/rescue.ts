/**
 * Ends the segment of a recorder whose machine is gone, or that is cut off from the bucket. Each step is named for the crash it survives:
 * fence (the owner cannot add to it any more; whoever comes next goes on behind the same fence) · last words, under a recorder of their own
 * (the same bytes again) · the segment at its ready key (the same bytes again) · chunks away (what is left has no beginning).
 *
 * The rescued segment holds the owner's lines and a seal, and no line of ours: the owner may live and have used the next counters.
 */

import type { Clock } from '../core/clock.ts'
import { VaultError } from '../core/errors.ts'
import { sha256Hex } from '../core/ids.ts'
import { chunkKey, parseSegmentLabel, segmentLabel } from '../storage/keys.ts'
import type { Disk } from '../storage/disk.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import {
  isOwnersFence,
  listChunkFolders,
  ownerOf,
  putFence,
  readChunkFolder,
  readChunks,
  removeChunks,
  type ChunkFolder,
  type Identified,
} from './chunk-folder.ts'
import type { Gap, LogEvent, SegmentHeader } from './format.ts'
import { eventRest, LineEncoder } from './line.ts'
import { publishFromElsewhere } from './publish.ts'
import { PublishedSegments } from './published.ts'
import { writeSealed, type Resealed } from './reseal.ts'

export interface RescueDeps {
  readonly store: ObjectStore
  readonly disk: Disk
  readonly clock: Clock
  /** Stands in the fence: who put it. */
  readonly by: string
  readonly software: string
  /** The sequence number of a frame by the venue's rule; -1: it has none. */
  readonly sequenceOf: (frame: Buffer) => number
}

/** No recorder leaves its segment alone for as long while it reaches the bucket: it adds a chunk every few seconds. */
export const abandonedAfterMs = 60_000

/** When each folder was first seen as it is, by our own monotonic clock. */
export type RescueMemory = Map<string, { readonly state: string; readonly sinceMs: number }>

export interface Rescued extends Identified {
  readonly lines: number
}

/** What a look brought about. */
export interface Rescue {
  readonly rescued: readonly Rescued[]
  /** One for each segment that could not be ended; the next look tries again. */
  readonly troubles: readonly VaultError[]
}

/**
 * Rescues what has not changed for `abandonedAfterMs` since this memory first saw it. Call it now and then, with the same memory.
 *
 * @throws {VaultError} from the store when it cannot be listed
 */
export async function rescueAbandoned(
  deps: RescueDeps,
  venue: string,
  memory: RescueMemory,
  signal: AbortSignal,
): Promise<Rescue> {
  const states = await folderStates(deps.store, venue, signal)
  for (const folder of memory.keys()) if (!states.has(folder)) memory.delete(folder)
  const rescued: Rescued[] = []
  const troubles: VaultError[] = []
  for (const [folder, state] of states) {
    const nowMs = deps.clock.monotonicMs()
    const before = memory.get(folder)
    if (before?.state !== state) memory.set(folder, { state, sinceMs: nowMs })
    else if (nowMs - before.sinceMs >= abandonedAfterMs) {
      const one = await rescueOrTell(deps, venue, folder, signal)
      if (one instanceof VaultError) troubles.push(one)
      else if (one !== null) rescued.push(one)
    }
  }
  return { rescued, troubles }
}

/** One that cannot be rescued does not stand before the others. */
async function rescueOrTell(
  deps: RescueDeps,
  venue: string,
  folder: string,
  signal: AbortSignal,
): Promise<Rescued | VaultError | null> {
  try {
    return await rescueFolder(deps, venue, folder, signal)
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof VaultError) return error
    throw error
  }
}

/** Chunk folders that hold more than a fence, with what changes when their owner lives. */
async function folderStates(
  store: ObjectStore,
  venue: string,
  signal: AbortSignal,
): Promise<Map<string, string>> {
  const states = new Map<string, string>()
  for (const [folder, objects] of await listChunkFolders(store, venue, signal)) {
    if (objects.length === 1 && (await isOnlyFence(store, venue, folder, signal))) continue
    const { key, sizeBytes, modifiedMs } = objects.at(-1)!
    states.set(folder, `${objects.length} ${key} ${sizeBytes} ${modifiedMs}`)
  }
  return states
}

/** An owner's fence whose segment is published goes. A chunk of the owner's that arrives later begins no segment: it is published. */
async function isOnlyFence(
  store: ObjectStore,
  venue: string,
  folder: string,
  signal: AbortSignal,
): Promise<boolean> {
  const found = await readChunkFolder(store, folder, signal)
  if (!found.isFenced || found.chunks.length > 0) return false
  const published = new PublishedSegments(store, venue, signal)
  if (isOwnersFence(found) && (await published.find(ownerOf(folder))) !== undefined)
    await store.delete(chunkKey(folder, 1))
  return true
}

/** @returns null: there was nothing to rescue, or the owner lives */
export async function rescueFolder(
  deps: RescueDeps,
  venue: string,
  folder: string,
  signal: AbortSignal,
): Promise<Rescued | null> {
  const { store } = deps
  let found = await readChunkFolder(store, folder, signal)
  const owner = ownerOf(folder)
  if (found.chunks.length === 0) return null
  const published = new PublishedSegments(store, venue, signal)
  const where = await published.find(owner)
  if (where !== undefined) {
    // What was damaged or cut short where it is published is not all that there is: what is left here is evidence.
    if (await published.holds(where, found)) await removeChunks(store, found)
    return null
  }
  // A beginning that is gone was removed by someone else than us: what is left is evidence too.
  if (!found.isWhole) return null
  if (!found.isFenced) {
    if (!(await putFence(store, found, deps.by))) return null
    found = await readChunkFolder(store, folder, signal)
    // Published and being removed since the look before, or all gone: the next look finds it so.
    if (!found.isWhole || !found.isFenced || found.chunks.length === 0) return null
  }
  return publishRescued(deps, venue, owner, found, signal)
}

function hourOf(label: string): string {
  return parseSegmentLabel(label)!.hour
}

async function publishRescued(
  deps: RescueDeps,
  venue: string,
  owner: Identified,
  found: ChunkFolder,
  signal: AbortSignal,
): Promise<Rescued | null> {
  const { store, disk, sequenceOf } = deps
  const path = `${await store.scratch('rescue')}/${owner.recorder}_${owner.firstN}_${deps.by}`
  await disk.unlink(path).catch(() => undefined)
  const sealed = await writeSealed(disk, path, readChunks(store, found, signal), sequenceOf)
  let label = owner.label
  if (sealed.problem !== null) {
    await disk.unlink(path)
    throw new VaultError(
      'corrupt',
      `${store.location}/${found.folder}: ${sealed.problem}; it stays as it is`,
      {
        remedy: 'where a newer mdv recorded it, let that one rescue it: mdv segments recover',
      },
    )
  }
  if (sealed.lines > 0) {
    if (!sealed.wasSealed) await publishLastWords(deps, venue, owner, sealed, found.modifiedMs, signal)
    label = await publishFromElsewhere(store, venue, path, owner.label, signal)
  } else await disk.unlink(path)
  await removeChunks(store, found)
  return sealed.lines === 0 ? null : { ...owner, lines: sealed.lines, label }
}

/** Where each open connection stopped, as a segment of one's own; a function of what was rescued, so that a second try writes the same. */
async function publishLastWords(
  deps: RescueDeps,
  venue: string,
  owner: Identified,
  rescued: Resealed,
  atMs: number,
  signal: AbortSignal,
): Promise<void> {
  const { store, disk } = deps
  const recorder = rescuerId(owner.recorder, owner.firstN)
  const published = new PublishedSegments(store, venue, signal)
  if ((await published.find({ ...owner, recorder, firstN: 1 })) !== undefined) return
  const atNs = BigInt(Math.floor(atMs)) * 1_000_000n
  const header: SegmentHeader = {
    ...rescued.header!,
    software: deps.software,
    recorder,
    n: 1,
    prev: null,
    opened_ns: String(atNs),
  }
  const path = `${await store.scratch('rescue')}/${recorder}_${deps.by}`
  await disk.unlink(path).catch(() => undefined)
  await writeSealed(disk, path, lastWords(header, rescued, atNs), () => -1)
  await publishFromElsewhere(store, venue, path, segmentLabel(hourOf(owner.label), 1), signal)
}

async function* lastWords(
  header: SegmentHeader,
  { open, products, lines }: Resealed,
  atNs: bigint,
): AsyncGenerator<Buffer> {
  const encoder = new LineEncoder(1)
  const died = (names: readonly string[], afterSeq: number | null, fromNs: string | null): Gap => ({
    cause: 'recorder_died',
    after_seq: afterSeq,
    before_seq: null,
    missing: null,
    from_ns: fromNs,
    until_ns: String(atNs),
    products: names,
  })
  const events: [string | null, LogEvent][] = [
    ...open.map((one): [string, LogEvent] => [
      one.conn,
      { gap: died(one.products, one.lastSequence, one.lastRecvNs === '' ? null : one.lastRecvNs) },
    ]),
    [null, { gap: died(products, null, null) }],
    [null, { recovered: { lines, torn_bytes: 0, torn_key: null, corrupt_lines: 0 } }],
  ]
  yield Buffer.from(`${JSON.stringify({ segment: header })}\n`)
  for (const [conn, event] of events) yield encoder.other(atNs, eventRest(conn, event))
}

/** Ten base32 characters that come from the rescued segment's identity alone. */
function rescuerId(recorder: string, firstN: number): string {
  const digits = BigInt(`0x${sha256Hex(`rescue ${recorder} ${firstN}`).slice(0, 16)}`)
  return Array.from(
    { length: 10 },
    (_, i) => 'abcdefghijklmnopqrstuvwxyz234567'[Number((digits >> BigInt(5 * i)) & 31n)],
  ).join('')
}
