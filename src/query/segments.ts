/** The segments a vault knows of: those that lie in raw/, and those that only receipts remember. */

import type { Seal } from '../segment/format.ts'
import type { ObjectInfo, ObjectStore } from '../storage/object-store.ts'
import { listAll } from '../storage/object-store.ts'
import { parseSegmentLabel, rawActive, rawArchive, rawProcessing, rawReady } from '../storage/keys.ts'
import type { Receipt, ReceiptSource } from '../table/receipt.ts'
import { readChunkFolder } from '../segment/chunk-folder.ts'
import { peekSegment, type PeekedHeader } from '../segment/peek.ts'
import { forEachAtOnce } from '../core/at-once.ts'

/**
 * `active`: growing, or left by a recorder that died. `ready`: sealed, waiting. `processing`: an ETL has claimed it.
 * `converted`: in Parquet, its raw bytes gone. `archived`: in Parquet, its raw bytes kept. `foreign`: not one of ours.
 */
export type SegmentState = 'active' | 'ready' | 'processing' | 'converted' | 'archived' | 'foreign'

export interface SegmentEntry {
  readonly label: string
  readonly state: SegmentState
  /** Where its raw bytes lie now; null when they are gone. Ends in `/` for a growing one that lies in chunks. */
  readonly rawKey: string | null
  /** Bytes as they lie in raw/ now; of the uncompressed segment when they are gone. */
  readonly sizeBytes: number
  readonly modifiedMs: number | null
  readonly header: PeekedHeader | null
  readonly seal: Seal | null
  /** The receipt that converted it, and what it says of it. */
  readonly receipt: Receipt | null
  readonly source: ReceiptSource | null
  /** Why it could not be read as a segment; null when it could. */
  readonly problem: string | null
}

/** A segment's numbers, wherever they are known from. */
export interface SegmentFacts {
  readonly recorder: string | null
  readonly firstN: number | null
  readonly lastN: number | null
  readonly lines: number | null
  readonly firstRecvNs: bigint | null
  readonly lastRecvNs: bigint | null
}

/** What lies in raw/, listed before the receipts are read: a segment moving on between the two is then seen twice, never not at all. */
export interface RawListing {
  readonly entries: readonly SegmentEntry[]
  readonly archived: readonly ObjectInfo[]
}

/** Each is two or three round trips to a bucket, and little else. */
const peeksAtOnce = 16

/** Lists raw/ in the order segments move through it. Reads a few kilobytes of each one in raw/active and raw/ready. */
export async function listRaw(store: ObjectStore, venue: string, signal: AbortSignal): Promise<RawListing> {
  const active = growing(await listAll(store, rawActive(venue), signal), rawActive(venue))
  const ready = await listAll(store, rawReady(venue), signal)
  const claims = await listAll(store, rawProcessing(venue), signal)
  const archived = await listAll(store, rawArchive(venue), signal)
  const claimed = new Set(claims.map((claim) => jobOfClaim(claim.key)))
  const waiting = [
    ...active.map((each) => ({ ...each, folder: 'active' as const })),
    ...ready.map((object) => ({ object, first: object, folder: 'ready' as const })),
  ]
  const found: SegmentEntry[][] = []
  await forEachAtOnce(waiting, peeksAtOnce, async ({ object, first, folder }, i) => {
    found[i] = await readRaw(store, object, first, folder, claimed, signal)
  })
  return { entries: found.flat(), archived }
}

/** A growing segment as one object, and the object that its first line is in. */
interface GrowingSegment {
  readonly object: ObjectInfo
  readonly first: ObjectInfo
}

/** In a bucket a segment grows by chunks, `<label>.<recorder>/00001.ndjson` and so on: exact ranges of its file, in order. */
function growing(objects: readonly ObjectInfo[], prefix: string): GrowingSegment[] {
  const segments = new Map<string, GrowingSegment>()
  for (const info of objects) {
    if (!info.key.endsWith('.ndjson')) continue
    const end = info.key.indexOf('/', prefix.length)
    const key = end === -1 ? info.key : info.key.slice(0, end + 1)
    const before = segments.get(key)
    const sizeBytes = info.sizeBytes + (before?.object.sizeBytes ?? 0)
    const modifiedMs = Math.max(info.modifiedMs, before?.object.modifiedMs ?? 0)
    segments.set(key, { object: { key, sizeBytes, modifiedMs }, first: before?.first ?? info })
  }
  return [...segments.values()]
}

/** The bytes of a segment as it lies in raw/ now, in one file or in chunks. */
export async function* readSegmentBytes(
  store: ObjectStore,
  rawKey: string,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const keys = rawKey.endsWith('/') ? await chunkKeys(store, rawKey, signal) : [rawKey]
  for (const key of keys) yield* store.read(key, 0, Number.MAX_SAFE_INTEGER, signal)
}

/** Of a growing segment in chunks, first to last. */
export async function chunkKeys(store: ObjectStore, rawKey: string, signal: AbortSignal): Promise<string[]> {
  const objects = await listAll(store, rawKey, signal)
  return objects.map((object) => object.key).filter((key) => key.endsWith('.ndjson'))
}

/** The label a raw object's key bears: its file name without endings, or the name of its chunks' folder without the recorder. */
export function labelOf(key: string): string {
  if (key.endsWith('/'))
    return key.slice(key.lastIndexOf('/', key.length - 2) + 1, -1).replace(/\.[^.]*$/, '')
  const ending = endings.find((one) => key.endsWith(one)) ?? ''
  return key.slice(key.lastIndexOf('/') + 1, key.length - ending.length)
}

const endings = ['.ndjson', '.ndjson.zst', '.ndjson.gz']

export function segmentFacts(entry: SegmentEntry): SegmentFacts {
  const { header, seal, source } = entry
  if (source !== null)
    return {
      recorder: source.recorder,
      firstN: source.first_n,
      lastN: source.last_n,
      lines: source.lines,
      firstRecvNs: toNs(source.first_recv_ns),
      lastRecvNs: toNs(source.last_recv_ns),
    }
  return {
    recorder: header?.recorder ?? null,
    firstN: header?.n ?? null,
    lastN: seal?.last_n ?? null,
    lines: seal?.lines ?? null,
    firstRecvNs: toNs(seal?.first_recv_ns ?? null),
    lastRecvNs: toNs(seal?.last_recv_ns ?? null),
  }
}

async function readRaw(
  store: ObjectStore,
  object: ObjectInfo,
  first: ObjectInfo,
  folder: 'active' | 'ready',
  claimed: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<SegmentEntry[]> {
  const label = labelOf(object.key)
  const peek = await peekSegment(store, first, folder === 'ready', signal)
  if (peek === 'gone' || (peek.header === null && (await isFence(store, object.key, signal)))) return []
  const isOurs = parseSegmentLabel(label) !== undefined && peek.header !== null
  const job = `${label}_${peek.header?.recorder}_${peek.header?.n}`
  const state = !isOurs ? 'foreign' : folder === 'ready' && claimed.has(job) ? 'processing' : folder
  return [
    {
      label,
      state,
      rawKey: object.key,
      sizeBytes: object.sizeBytes,
      modifiedMs: object.modifiedMs,
      ...peek,
      receipt: null,
      source: null,
    },
  ]
}

/** What a rescue leaves for ever: no segment of any kind. */
async function isFence(store: ObjectStore, rawKey: string, signal: AbortSignal): Promise<boolean> {
  if (!rawKey.endsWith('/')) return false
  const { chunks, isFenced } = await readChunkFolder(store, rawKey, signal)
  return isFenced && chunks.length === 0
}

/** `raw/processing/coinbase/<job>.<k>.claim.json` → `<job>`. */
function jobOfClaim(key: string): string {
  return key.slice(key.lastIndexOf('/') + 1).replace(/(\.\d+)?\.claim\.json$/, '')
}

function toNs(text: string | null): bigint | null {
  return text === null ? null : BigInt(text)
}
