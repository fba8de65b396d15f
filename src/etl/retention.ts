/** How long archived raw segments are kept: by age, by size, and never one that no receipt names. */

import type { Clock } from '../core/clock.ts'
import { parseSegmentLabel } from '../storage/keys.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import { listArchive, type ArchivedSegment } from './archive.ts'
import type { KnownSources } from './known-sources.ts'

export interface Retention {
  /** null: for ever. */
  readonly maxDays: number | null
  /** Of the compressed files together; null: without limit. */
  readonly maxBytes: number | null
}

const dayMs = 86_400_000

/**
 * @param known labels that a receipt names; those of segments that are not archived any more are forgotten
 * @returns keys of what was removed, oldest first
 */
export async function applyRetention(
  store: ObjectStore,
  clock: Clock,
  venue: string,
  retention: Retention,
  known: KnownSources,
  signal: AbortSignal,
): Promise<string[]> {
  if (retention.maxDays === null && retention.maxBytes === null) {
    known.keepArchived([])
    return []
  }
  const archived = await listArchive(store, venue, signal)
  known.keepArchived(archived.map(({ label }) => label))
  const removed: string[] = []
  for (const { object } of expired(archived, known.archived, retention, clock.nowMs())) {
    signal.throwIfAborted()
    if (await store.delete(object.key)) removed.push(object.key)
  }
  return removed
}

/** Pure: what goes, oldest first. What no receipt names counts toward the size and stays. */
export function expired(
  archived: readonly ArchivedSegment[],
  receipted: ReadonlySet<string>,
  retention: Retention,
  nowMs: number,
): ArchivedSegment[] {
  let leftBytes = archived.reduce((sum, each) => sum + each.object.sizeBytes, 0)
  const going: ArchivedSegment[] = []
  for (const each of archived) {
    const isOld = retention.maxDays !== null && nowMs - sinceMs(each) > retention.maxDays * dayMs
    const isTooMuch = retention.maxBytes !== null && leftBytes > retention.maxBytes
    if ((!isOld && !isTooMuch) || !receipted.has(each.label)) continue
    going.push(each)
    leftBytes -= each.object.sizeBytes
  }
  return going
}

/** From its recording or its archiving, whichever is later: what was adopted yesterday may have been recorded years ago. */
function sinceMs(archived: ArchivedSegment): number {
  const hour = parseSegmentLabel(archived.label)?.hour ?? ''
  const parts = /^(\d{4})(\d{2})(\d{2})T(\d{2})$/.exec(hour)
  const recordedMs = parts === null ? 0 : Date.parse(`${parts[1]}-${parts[2]}-${parts[3]}T${parts[4]}:00:00Z`)
  return Math.max(recordedMs, archived.object.modifiedMs)
}
