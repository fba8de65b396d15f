/** Holes in recorders' counters that no segment fills: a whole segment is missing there. Pure. */

import type { SegmentEntry } from './segments.ts'
import { segmentFacts } from './segments.ts'

/** Lines [fromN, untilN) of a recorder are nowhere: not in a receipt, not in raw/. */
export interface ChainHole {
  readonly recorder: string
  readonly fromN: number
  readonly untilN: number
  /** When the last line before and the first after were received, where that is known. */
  readonly fromNs: bigint | null
  readonly untilNs: bigint | null
}

/** Every hole of every recorder. What follows the last known segment of a recorder cannot be known and is none. */
export function chainHoles(segments: readonly SegmentEntry[]): ChainHole[] {
  const holes: ChainHole[] = []
  for (const [recorder, chain] of chainsByRecorder(segments)) {
    let reached = 1
    let last: SegmentEntry | null = null
    for (const segment of chain.sort((a, b) => firstN(a)! - firstN(b)!)) {
      const from = firstN(segment)!
      if (from > reached)
        holes.push({
          recorder,
          fromN: reached,
          untilN: from,
          fromNs: last === null ? null : segmentFacts(last).lastRecvNs,
          untilNs: segmentFacts(segment).firstRecvNs,
        })
      const until = untilN(segment, from)
      if (until <= reached) continue
      reached = until
      last = segment
    }
  }
  return holes
}

function chainsByRecorder(segments: readonly SegmentEntry[]): Map<string, SegmentEntry[]> {
  const byRecorder = new Map<string, SegmentEntry[]>()
  for (const segment of segments) {
    const recorder = segment.source?.recorder ?? segment.header?.recorder
    if (recorder === undefined || firstN(segment) === undefined) continue
    const chain = byRecorder.get(recorder)
    if (chain === undefined) byRecorder.set(recorder, [segment])
    else chain.push(segment)
  }
  return byRecorder
}

function firstN({ header, source }: SegmentEntry): number | undefined {
  return source?.first_n ?? header?.n
}

/** The line after its last; Infinity where it is still growing or its end cannot be read. */
function untilN({ seal, source }: SegmentEntry, from: number): number {
  const end = source ?? seal
  // A seal of another hand may lack it.
  const lastN = end?.last_n ?? null
  return end === null ? Infinity : lastN === null ? from : lastN + 1
}
