/** What a vault holds and how it is doing, from listings and receipts: no Parquet is opened here. */

import { statfs } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Clock } from '../core/clock.ts'
import type { ObjectStore, ObjectInfo } from '../storage/object-store.ts'
import { listAll } from '../storage/object-store.ts'
import { rawReady, rawRejected } from '../storage/keys.ts'
import type { Receipt, TableName } from '../table/receipt.ts'
import { readReceipts } from '../table/receipts.ts'
import { chainHoles } from './chain.ts'
import { numberTypesOf, type Catalog } from './catalog.ts'
import { lastFrames, type LastFrame } from './last-frames.ts'
import { recorderStatus, type RecorderStatus } from './recorder-status.ts'
import { joinSegments } from './join-segments.ts'
import { listRaw, type SegmentEntry } from './segments.ts'

/** One stage of the path. Ages in milliseconds since an object was stored; null where there is none. */
export interface StageStatus {
  readonly stage: 'active' | 'ready' | 'processing' | 'rejected' | 'archive' | 'parts'
  readonly count: number
  readonly sizeBytes: number
  readonly oldestAgeMs: number | null
  readonly newestAgeMs: number | null
}

export interface DiskStatus {
  readonly freeBytes: number
  /** What stays on disk of a day's recording, from what the last day's (or all there is) left. null: not enough recorded yet. */
  readonly bytesPerDay: number | null
  readonly daysLeft: number | null
}

export interface WaitingStatus {
  readonly segments: number
  readonly sizeBytes: number
  readonly oldestAgeMs: number | null
}

export interface Status {
  readonly location: string
  readonly nowMs: number
  readonly recorder: RecorderStatus
  readonly stages: readonly StageStatus[]
  /** Sealed segments not yet in Parquet. */
  readonly backlog: WaitingStatus
  readonly rows: Readonly<Record<TableName, number>>
  readonly lines: { readonly total: number; readonly rejected: number }
  readonly lastFrames: readonly LastFrame[]
  readonly missingSegments: number
  readonly problems: readonly string[]
  /** null: Parquet lies in a bucket, which does not fill up. */
  readonly disk: DiskStatus | null
  /** Sealed segments of a local spool that are not in the bucket yet; null: there is no spool here. */
  readonly spool: WaitingStatus | null
}

export interface StatusReading {
  readonly status: Status
  readonly catalog: Catalog
}

/** What a recorder's own machine knows without the bucket. */
export interface SpoolStatus {
  readonly recorder: RecorderStatus
  /** Sealed segments that are not in the bucket yet. */
  readonly spool: WaitingStatus
}

export async function readSpoolStatus(
  spool: ObjectStore,
  clock: Clock,
  venue: string,
  signal: AbortSignal,
): Promise<SpoolStatus> {
  const waiting = await listAll(spool, rawReady(venue), signal)
  return {
    recorder: await recorderStatus(spool, venue, signal),
    spool: waitingOf([stageOf('ready', clock.nowMs(), waiting)]),
  }
}

/** @param spool the local folder a recorder ships to the bucket from; null: it records into the store itself, or elsewhere */
export async function readStatus(
  store: ObjectStore,
  spool: ObjectStore | null,
  clock: Clock,
  venue: string,
  signal: AbortSignal,
): Promise<StatusReading> {
  const raw = await listRaw(store, venue, signal)
  const receipts = await readReceipts(store, venue, signal)
  const segments = joinSegments(raw, receipts)
  const rejected = await listAll(store, rawRejected(venue), signal)
  const here = spool === null ? null : await readSpoolStatus(spool, clock, venue, signal)
  const nowMs = clock.nowMs()
  const stages = [
    ...segmentStages(segments, nowMs),
    objectStage('rejected', rejected, nowMs),
    objectStage('archive', raw.archived, nowMs),
    partStage(receipts, nowMs),
  ]
  const status: Status = {
    location: store.location,
    nowMs,
    recorder: here?.recorder ?? (await recorderStatus(store, venue, signal)),
    stages,
    backlog: waitingOf(stages.filter((each) => each.stage === 'ready' || each.stage === 'processing')),
    rows: rowsByTable(receipts),
    lines: {
      total: sum(receipts, (receipt) => receipt.lines.total),
      rejected: sum(receipts, (receipt) => receipt.lines.rejected),
    },
    lastFrames: await lastFrames(store, receipts, segments, signal),
    missingSegments: chainHoles(segments).length,
    problems: segments.flatMap((each) =>
      each.problem === null ? [] : [`${each.rawKey ?? each.label}: ${each.problem}`],
    ),
    disk: await diskStatus(store, bytesPerDay(receipts, segments)),
    spool: here?.spool ?? null,
  }
  return {
    status,
    catalog: {
      venue,
      receipts,
      numberTypes: numberTypesOf(receipts),
      segments,
      adopted: [],
      staged: new Map(),
    },
  }
}

function segmentStages(segments: readonly SegmentEntry[], nowMs: number): StageStatus[] {
  return (['active', 'ready', 'processing'] as const).map((stage) => {
    const entries = segments.filter((entry) => entry.state === stage)
    return stageOf(
      stage,
      nowMs,
      entries.map((entry) => ({ sizeBytes: entry.sizeBytes, modifiedMs: entry.modifiedMs ?? nowMs })),
    )
  })
}

function objectStage(
  stage: 'rejected' | 'archive',
  objects: readonly ObjectInfo[],
  nowMs: number,
): StageStatus {
  return stageOf(stage, nowMs, objects)
}

function partStage(receipts: readonly Receipt[], nowMs: number): StageStatus {
  const parts = receipts.flatMap((receipt) =>
    receipt.parts.map((part) => ({ sizeBytes: part.size_bytes, modifiedMs: receipt.committed_ms })),
  )
  return stageOf('parts', nowMs, parts)
}

function stageOf(
  stage: StageStatus['stage'],
  nowMs: number,
  items: readonly { readonly sizeBytes: number; readonly modifiedMs: number }[],
): StageStatus {
  let oldestMs = Infinity
  let newestMs = -Infinity
  for (const item of items) {
    oldestMs = Math.min(oldestMs, item.modifiedMs)
    newestMs = Math.max(newestMs, item.modifiedMs)
  }
  return {
    stage,
    count: items.length,
    sizeBytes: sum(items, (item) => item.sizeBytes),
    oldestAgeMs: items.length === 0 ? null : Math.max(0, Math.round(nowMs - oldestMs)),
    newestAgeMs: items.length === 0 ? null : Math.max(0, Math.round(nowMs - newestMs)),
  }
}

function waitingOf(waiting: readonly StageStatus[]): WaitingStatus {
  const ages = waiting.flatMap((each) => (each.oldestAgeMs === null ? [] : [each.oldestAgeMs]))
  return {
    segments: sum(waiting, (each) => each.count),
    sizeBytes: sum(waiting, (each) => each.sizeBytes),
    oldestAgeMs: ages.length === 0 ? null : Math.max(...ages),
  }
}

function rowsByTable(receipts: readonly Receipt[]): Record<TableName, number> {
  const rows: Record<TableName, number> = { ticker: 0, level2: 0, market_trades: 0, other: 0 }
  for (const receipt of receipts) for (const part of receipt.parts) rows[part.table] += part.rows
  return rows
}

const dayNs = 86_400_000_000_000n
/** Below this a rate says nothing. */
const measuredNsMin = 60_000_000_000n

/** What stays of a day: parts and archived raw of the segments received in the last day of recording, over the time they span. */
function bytesPerDay(receipts: readonly Receipt[], segments: readonly SegmentEntry[]): number | null {
  const spans = receipts.flatMap((receipt) => {
    const first = receipt.sources.find((source) => source.first_recv_ns !== null)?.first_recv_ns
    const last = receipt.sources.findLast((source) => source.last_recv_ns !== null)?.last_recv_ns
    return first && last ? [{ receipt, fromNs: BigInt(first), untilNs: BigInt(last) }] : []
  })
  const newestNs = spans.reduce((max, span) => (span.untilNs > max ? span.untilNs : max), 0n)
  const recent = spans.filter((span) => span.untilNs > newestNs - dayNs)
  const fromNs = recent.reduce((min, span) => (span.fromNs < min ? span.fromNs : min), newestNs)
  if (newestNs - fromNs < measuredNsMin) return null
  const jobs = new Set(recent.map((span) => span.receipt.job))
  const partBytes = sum(recent, (span) => sum(span.receipt.parts, (part) => part.size_bytes))
  const archived = segments.filter(
    (entry) => entry.state === 'archived' && jobs.has(entry.receipt?.job ?? ''),
  )
  const keptBytes = partBytes + sum(archived, (entry) => entry.sizeBytes)
  return Math.round((keptBytes * Number(dayNs)) / Number(newestNs - fromNs))
}

async function diskStatus(store: ObjectStore, perDay: number | null): Promise<DiskStatus | null> {
  const folder = store.fileOf('processed')
  if (folder === undefined) return null
  // The folder itself may not be there yet; the one it is made in is.
  const disk = await statfs(dirname(folder))
  const freeBytes = disk.bavail * disk.bsize
  const daysLeft = perDay === null || perDay === 0 ? null : Math.floor((freeBytes / perDay) * 10) / 10
  return { freeBytes, bytesPerDay: perDay, daysLeft }
}

function sum<T>(items: readonly T[], of: (item: T) => number): number {
  return items.reduce((total, item) => total + of(item), 0)
}
