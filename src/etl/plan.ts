/** What a round of conversion has to do, from what lies in raw/ready and what receipts say. Pure. */

import { isRecorderId } from '../core/ids.ts'
import { isOfThisFormat, type SegmentPeek } from '../segment/peek.ts'
import { compareLabels, isReadySegment, parseSegmentLabel, rawReady, readyLabel } from '../storage/keys.ts'
import type { ObjectInfo } from '../storage/object-store.ts'
import type { ByIdentity } from '../segment/by-identity.ts'
import type { ReceiptSource } from '../table/receipt.ts'
import type { ReadySegment } from './job.ts'

/** Hours of segments' labels as text, `20251203T14`; half-open, null: without end. */
export interface HourRange {
  readonly from: string | null
  readonly until: string | null
}

/** A file in raw/ready that is no whole segment, or not the one that was sealed. It is never touched. */
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
  /** No receipt names them. Oldest first. */
  readonly segments: readonly ReadySegment[]
  /** Converted, and still here: what remains is looking at their parts, archiving, deleting. Oldest first. */
  readonly unfinished: readonly ReadySegment[]
  readonly foreign: readonly ForeignFile[]
  /** Converted, and kept in raw/ready because the configuration says so. */
  readonly kept: number
}

/**
 * @param converted what receipts say of segments that lie there
 * @param deleteRaw false: what a receipt names stays and needs nothing more
 */
export function planRound(
  venue: string,
  files: readonly ReadyFile[],
  converted: Pick<ByIdentity<ReceiptSource>, 'get'>,
  hours: HourRange,
  deleteRaw: boolean,
): RoundPlan {
  const segments: ReadySegment[] = []
  const unfinished: ReadySegment[] = []
  const foreign: ForeignFile[] = []
  let kept = 0
  for (const file of files) {
    const judged = judge(venue, file)
    if ('reason' in judged) foreign.push(judged)
    else if (isInRange(judged.label, hours)) {
      const source = converted.get(judged.header.recorder, judged.header.n)
      if (source?.size_bytes !== judged.sizeBytes) segments.push(judged)
      else if (source.seal_problem !== undefined) foreign.push(keptForSeal(judged.key, source.seal_problem))
      else if (deleteRaw) unfinished.push(judged)
      else kept++
    }
  }
  return { segments: oldestFirst(segments), unfinished: oldestFirst(unfinished), foreign, kept }
}

function judge(venue: string, { object, peek }: ReadyFile): ReadySegment | ForeignFile {
  const { key } = object
  const label = readyLabel(venue, key)
  if (label.includes('/'))
    return foreign(
      key,
      'lies in a folder of raw/ready',
      'move the folder elsewhere; "mdv adopt" brings in its files',
    )
  const { header, seal, problem } = peek
  if (header === null)
    return foreign(
      key,
      problem ?? 'has no segment header',
      parseSegmentLabel(label) === undefined
        ? 'move it elsewhere; "mdv adopt FILE" brings in its lines'
        : `mdv segments repair ${label}; where another tool wrote it, move it elsewhere: "mdv adopt FILE" brings in its lines`,
    )
  if (!isOfThisFormat(header))
    return foreign(
      key,
      `is of format ${header.format}, written by a newer version`,
      'use the newest mdv on this vault',
    )
  if (!isRecorderId(header.recorder) || !Number.isSafeInteger(header.n) || header.n < 0)
    return foreign(
      key,
      'its header names no recorder and counter of ours',
      'move it elsewhere; "mdv adopt FILE" brings in its lines',
    )
  if (header.venue !== venue)
    return foreign(key, `is of venue ${header.venue}`, `move it to ${rawReady('<its venue>')}`)
  if (!isReadySegment(venue, label, key))
    return foreign(
      key,
      'is not called segment_<hour>_<counter>.ndjson',
      'give it such a name, with a counter that is free',
    )
  if (seal === null)
    return foreign(
      key,
      problem ?? 'has no seal',
      `was its copying cut short? restore it whole; or take what is there: mdv segments repair ${label}`,
    )
  return {
    key,
    label,
    sizeBytes: object.sizeBytes,
    header,
    lastN: seal.last_n,
    readyMs: object.modifiedMs,
  }
}

function foreign(key: string, reason: string, remedy: string): ForeignFile {
  return { key, reason, remedy }
}

/** A segment whose rows are committed and whose bytes are not what was sealed. */
export function keptForSeal(key: string, problem: string): ForeignFile {
  return {
    key,
    reason: `is converted, but ${problem}`,
    remedy: `look at the rejected lines, compare it with a copy, and put it aside: mdv segments repair ${key}`,
  }
}

/** Whether a segment's hour lies in the range; hours compare as text. */
export function isInRange(label: string, { from, until }: HourRange): boolean {
  if (from === null && until === null) return true
  const hour = parseSegmentLabel(label)?.hour ?? ''
  return (from === null || hour >= from) && (until === null || hour < until)
}

function oldestFirst(segments: ReadySegment[]): ReadySegment[] {
  return segments.sort((a, b) => compareLabels(a.label, b.label))
}
