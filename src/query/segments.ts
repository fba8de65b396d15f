/** The segments a vault knows of: those that lie in raw/, and those that only receipts remember. */

import type { Seal, SegmentHeader } from '../segment/format.ts'
import type { ObjectInfo, ObjectStore } from '../storage/object-store.ts'
import { listAll } from '../storage/object-store.ts'
import { parseSegmentLabel, rawActive, rawArchive, rawProcessing, rawReady } from '../storage/keys.ts'
import type { Receipt, ReceiptSource } from '../table/receipt.ts'
import { peekSegment } from '../segment/peek.ts'

/**
 * `active`: growing, or left by a recorder that died. `ready`: sealed, waiting. `processing`: an ETL has claimed it.
 * `converted`: in Parquet, its raw bytes gone. `archived`: in Parquet, its raw bytes kept. `foreign`: not one of ours.
 */
export type SegmentState = 'active' | 'ready' | 'processing' | 'converted' | 'archived' | 'foreign'

export interface SegmentEntry {
  readonly label: string
  readonly state: SegmentState
  /** Where its raw bytes lie now; null when they are gone. */
  readonly rawKey: string | null
  /** Bytes as they lie in raw/ now; of the uncompressed segment when they are gone. */
  readonly sizeBytes: number
  readonly modifiedMs: number | null
  readonly header: SegmentHeader | null
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

/** Lists raw/ in the order segments move through it. Reads a few kilobytes of each one in raw/active and raw/ready. */
export async function listRaw(store: ObjectStore, venue: string, signal: AbortSignal): Promise<RawListing> {
  const active = await listAll(store, rawActive(venue), signal)
  const ready = await listAll(store, rawReady(venue), signal)
  const claims = await listAll(store, rawProcessing(venue), signal)
  const archived = await listAll(store, rawArchive(venue), signal)
  const claimed = new Set(claims.map((claim) => jobOfClaim(claim.key)))
  const entries: SegmentEntry[] = []
  for (const object of active.filter((each) => each.key.endsWith('.ndjson')))
    entries.push(...(await readRaw(store, object, 'active', claimed, signal)))
  for (const object of ready) entries.push(...(await readRaw(store, object, 'ready', claimed, signal)))
  return { entries, archived }
}

/** Every segment of a venue, oldest label first. Pure. */
export function joinSegments(raw: RawListing, receipts: readonly Receipt[]): SegmentEntry[] {
  const sources = sourcesByIdentity(receipts)
  const published = new Set(raw.entries.filter((each) => each.state !== 'active').map(identityOf))
  const present = raw.entries
    .filter((entry) => entry.state !== 'active' || entry.header === null || !published.has(identityOf(entry)))
    .map((entry) => withReceipt(entry, sources))
  const seen = new Set(present.map((entry) => entry.source))
  const rest = [...sources.values()]
    .filter(({ source }) => !seen.has(source))
    .map((each) => remembered(each, raw.archived))
  const labels = new Set([...present, ...rest].map((entry) => entry.label))
  const strangers = raw.archived.filter((object) => !labels.has(labelOf(object.key))).map(unreceipted)
  return [...present, ...rest, ...strangers].sort((a, b) => compareText(a.label, b.label))
}

/** The label a raw object's key bears: its file name without endings. */
export function labelOf(key: string): string {
  return key.slice(key.lastIndexOf('/') + 1).replace(/\.ndjson(\.zst|\.gz)?$/, '')
}

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
  folder: 'active' | 'ready',
  claimed: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<SegmentEntry[]> {
  const label = labelOf(object.key)
  const peek = await peekSegment(store, object, folder === 'ready', signal)
  if (peek === 'gone') return []
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

interface Sourced {
  readonly receipt: Receipt
  readonly source: ReceiptSource
}

function sourcesByIdentity(receipts: readonly Receipt[]): Map<string, Sourced> {
  const sources = new Map<string, Sourced>()
  for (const receipt of receipts)
    for (const source of receipt.sources)
      sources.set(`${source.recorder}_${source.first_n}`, { receipt, source })
  return sources
}

/** Raw bytes that a receipt already covers wait only to be removed. */
function withReceipt(entry: SegmentEntry, sources: ReadonlyMap<string, Sourced>): SegmentEntry {
  const found = entry.header === null ? undefined : sources.get(identityOf(entry))
  if (found === undefined) return entry
  return { ...entry, ...found, state: 'converted' }
}

function remembered({ receipt, source }: Sourced, archived: readonly ObjectInfo[]): SegmentEntry {
  const raw = archived.find((object) => labelOf(object.key) === source.label)
  return {
    label: source.label,
    state: raw === undefined ? 'converted' : 'archived',
    rawKey: raw?.key ?? null,
    sizeBytes: raw?.sizeBytes ?? source.size_bytes,
    modifiedMs: raw?.modifiedMs ?? null,
    header: null,
    seal: null,
    receipt,
    source,
    problem: null,
  }
}

function unreceipted(object: ObjectInfo): SegmentEntry {
  return {
    label: labelOf(object.key),
    state: 'foreign',
    rawKey: object.key,
    sizeBytes: object.sizeBytes,
    modifiedMs: object.modifiedMs,
    header: null,
    seal: null,
    receipt: null,
    source: null,
    problem: 'no receipt names it',
  }
}

/** `raw/processing/coinbase/<job>.<k>.claim.json` → `<job>`. */
function jobOfClaim(key: string): string {
  return key.slice(key.lastIndexOf('/') + 1).replace(/(\.\d+)?\.claim\.json$/, '')
}

function identityOf(entry: SegmentEntry): string {
  return `${entry.header?.recorder}_${entry.header?.n}`
}

function toNs(text: string | null): bigint | null {
  return text === null ? null : BigInt(text)
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
