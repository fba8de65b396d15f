/** What a round of conversion has to do, from what lies in raw/ready and what receipts say. Pure. */

import { isRecorderId } from '../core/ids.ts'
import type { SegmentPeek } from '../segment/peek.ts'
import { parseSegmentLabel, rawReady, readySegmentKey } from '../storage/keys.ts'
import type { ObjectInfo } from '../storage/object-store.ts'
import type { Receipt } from '../table/receipt.ts'
import type { ReadySegment } from './job.ts'

/** Hours of segments' labels as text, `20251203T14`; half-open, null: without end. */
export interface HourRange {
  readonly from: string | null
  readonly until: string | null
}

/** A file in raw/ready that is no whole segment. It is never touched. */
export interface ForeignFile {
  readonly key: string
  readonly reason: string
  readonly remedy: string
}

export interface ReadyFile {
  readonly object: ObjectInfo
  readonly peek: SegmentPeek
}

export interface RoundPlan {
  /** Oldest first. */
  readonly segments: readonly ReadySegment[]
  readonly foreign: readonly ForeignFile[]
  /** Converted, and kept in raw/ready because the configuration says so. */
  readonly kept: number
}

/** @param deleteRaw false: what a receipt names stays and needs nothing more */
export function planRound(
  venue: string,
  files: readonly ReadyFile[],
  receipts: readonly Receipt[],
  hours: HourRange,
  deleteRaw: boolean,
): RoundPlan {
  const sizes = convertedSizes(receipts)
  const segments: ReadySegment[] = []
  const foreign: ForeignFile[] = []
  let kept = 0
  for (const file of files) {
    const judged = judge(venue, file)
    if ('reason' in judged) foreign.push(judged)
    else if (!isInRange(judged.label, hours)) continue
    else if (!deleteRaw && sizes.get(identityOf(judged)) === judged.sizeBytes) kept++
    else segments.push(judged)
  }
  return { segments: segments.sort(byAge), foreign, kept }
}

function judge(venue: string, { object, peek }: ReadyFile): ReadySegment | ForeignFile {
  const label = object.key.slice(rawReady(venue).length).replace(/\.ndjson$/, '')
  const foreign = (reason: string, remedy: string): ForeignFile => ({ key: object.key, reason, remedy })
  if (label.includes('/'))
    return foreign(
      'lies in a folder of raw/ready',
      'move the folder elsewhere; "mdv adopt" brings in its files',
    )
  const { header, seal, problem } = peek
  if (header === null)
    return foreign(
      problem ?? 'has no segment header',
      'move it elsewhere; "mdv adopt FILE" brings in its lines',
    )
  if ((header.format as number) > 1)
    return foreign(
      `is of format ${String(header.format)}, written by a newer version`,
      'use the newest mdv on this vault',
    )
  if (!isRecorderId(header.recorder) || !Number.isSafeInteger(header.n) || header.n < 0)
    return foreign(
      'its header names no recorder and counter of ours',
      'move it elsewhere; "mdv adopt FILE" brings in its lines',
    )
  if (header.venue !== venue)
    return foreign(`is of venue ${header.venue}`, `move it to ${rawReady('<its venue>')}`)
  if (parseSegmentLabel(label) === undefined || readySegmentKey(venue, label) !== object.key)
    return foreign(
      'is not called segment_<hour>_<counter>.ndjson',
      'give it such a name, with a counter that is free',
    )
  if (seal === null)
    return foreign(
      problem ?? 'has no seal',
      'was its copying cut short? restore it whole, or move it to raw/active and run "mdv segments recover"',
    )
  return { key: object.key, label, sizeBytes: object.sizeBytes, header }
}

function convertedSizes(receipts: readonly Receipt[]): Map<string, number> {
  const sizes = new Map<string, number>()
  for (const receipt of receipts)
    for (const source of receipt.sources) sizes.set(`${source.recorder}_${source.first_n}`, source.size_bytes)
  return sizes
}

function identityOf(segment: ReadySegment): string {
  return `${segment.header.recorder}_${segment.header.n}`
}

/** Whether a segment's hour lies in the range; hours compare as text. */
export function isInRange(label: string, { from, until }: HourRange): boolean {
  const hour = parseSegmentLabel(label)?.hour ?? ''
  return (from === null || hour >= from) && (until === null || hour < until)
}

function byAge(a: ReadySegment, b: ReadySegment): number {
  const [left, right] = [parseSegmentLabel(a.label)!, parseSegmentLabel(b.label)!]
  if (left.hour !== right.hour) return left.hour < right.hour ? -1 : 1
  return left.counter - right.counter
}
