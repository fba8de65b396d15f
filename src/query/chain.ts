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

interface Link {
  readonly firstN: number
  /** The line after its last; Infinity where it is still growing or its end cannot be read. */
  readonly untilN: number
  readonly firstRecvNs: bigint | null
  readonly lastRecvNs: bigint | null
}

/** Every hole of every recorder. What follows the last known segment of a recorder cannot be known and is none. */
export function chainHoles(segments: readonly SegmentEntry[]): ChainHole[] {
  const holes: ChainHole[] = []
  for (const [recorder, links] of linksByRecorder(segments)) {
    let reached = 1
    let reachedNs: bigint | null = null
    for (const link of links.sort((a, b) => a.firstN - b.firstN)) {
      if (link.firstN > reached)
        holes.push({
          recorder,
          fromN: reached,
          untilN: link.firstN,
          fromNs: reachedNs,
          untilNs: link.firstRecvNs,
        })
      if (link.untilN <= reached) continue
      reached = link.untilN
      reachedNs = link.lastRecvNs
    }
  }
  return holes
}

function linksByRecorder(segments: readonly SegmentEntry[]): Map<string, Link[]> {
  const links = new Map<string, Link[]>()
  for (const segment of segments) {
    const facts = segmentFacts(segment)
    if (facts.recorder === null || facts.firstN === null) continue
    const isOpenEnded = segment.source === null && segment.seal === null
    const untilN = isOpenEnded ? Infinity : facts.lastN === null ? facts.firstN : facts.lastN + 1
    const list = links.get(facts.recorder) ?? []
    links.set(facts.recorder, list)
    list.push({ firstN: facts.firstN, untilN, firstRecvNs: facts.firstRecvNs, lastRecvNs: facts.lastRecvNs })
  }
  return links
}
