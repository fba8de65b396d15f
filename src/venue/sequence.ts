/** A venue's sequence numbers, for those who need nothing else of a frame. Pure. */

import type { FrameScan, Venue } from './venue.ts'

/** @returns the sequence number of a frame; -1: it has none */
export function sequenceNumbers(venue: Venue): (frame: Buffer) => number {
  const into: FrameScan = { sequence: -1, kind: 'data' }
  return (frame) => {
    venue.scan(frame, into)
    return into.sequence
  }
}
