/** Which segments go into one job together: fewer, larger parts, fewer requests. Pure. */

import { compareLabels } from '../storage/keys.ts'
import type { ReadySegment } from './job.ts'

export interface BatchLimits {
  readonly segmentsMax: number
  /** Raw bytes of one batch; a larger segment goes alone. */
  readonly bytesMax: number
  /** How long the oldest segment of a batch may wait for it to fill. 0: only what waits anyway goes together. */
  readonly waitMs: number
  /** false: what is ready is converted now, however full its batch is. */
  readonly isPatient: boolean
}

export type Batch = readonly [ReadySegment, ...ReadySegment[]]

/** Without a latency allowance a batch is at most this share of what waits: so that other workers find something too. */
const shareOfBacklog = 8

/**
 * Segments of one recorder that follow one another without a hole.
 *
 * @param segments oldest first; a recorder's own are in the order of their counters then
 * @returns those that are due, by their oldest segment; the rest waits for company
 */
export function planBatches(segments: readonly ReadySegment[], limits: BatchLimits, nowMs: number): Batch[] {
  return runsOf(segments)
    .flatMap((run) =>
      // One that is followed by another cannot grow.
      cut(run, limits).filter(
        (batch, i, all) => i + 1 < all.length || isFull(batch, limits) || hasWaited(batch, limits, nowMs),
      ),
    )
    .sort(([a], [b]) => compareLabels(a.label, b.label))
}

/** Unbroken sequences of one recorder. */
function runsOf(segments: readonly ReadySegment[]): ReadySegment[][] {
  const runs: ReadySegment[][] = []
  const open = new Map<string, ReadySegment[]>()
  for (const segment of segments) {
    const { recorder, n } = segment.header
    const run = open.get(recorder)
    const last = run?.at(-1)
    if (run !== undefined && last?.lastN != null && last.lastN + 1 === n) run.push(segment)
    else {
      const next = [segment]
      runs.push(next)
      open.set(recorder, next)
    }
  }
  return runs
}

function cut(run: readonly ReadySegment[], limits: BatchLimits): Batch[] {
  const batches: Batch[] = []
  for (let from = 0; from < run.length;) {
    const countMax = countOf(run.length - from, limits)
    let until = from + 1
    let bytes = run[from]!.sizeBytes
    while (until < run.length && until - from < countMax && bytes + run[until]!.sizeBytes <= limits.bytesMax)
      bytes += run[until++]!.sizeBytes
    const [first, ...rest] = run.slice(from, until)
    batches.push([first!, ...rest])
    from = until
  }
  return batches
}

function countOf(waiting: number, { segmentsMax, waitMs }: BatchLimits): number {
  return waitMs > 0 ? segmentsMax : Math.min(segmentsMax, Math.ceil(waiting / shareOfBacklog))
}

function isFull(batch: Batch, { segmentsMax, bytesMax }: BatchLimits): boolean {
  return batch.length >= segmentsMax || sizeOf(batch) >= bytesMax
}

function hasWaited([oldest]: Batch, { waitMs, isPatient }: BatchLimits, nowMs: number): boolean {
  return !isPatient || nowMs - oldest.readyMs >= waitMs
}

/** Raw bytes. */
export function sizeOf(segments: readonly ReadySegment[]): number {
  return segments.reduce((sum, segment) => sum + segment.sizeBytes, 0)
}
