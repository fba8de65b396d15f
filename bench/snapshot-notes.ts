/** What bench/snapshots.ts knows of each frame, and how long small ones waited behind snapshots. Pure. */

import { parseRfc3339Ns } from '../src/core/time.ts'

export interface Note {
  readonly isSnapshot: boolean
  /** When the sender handed it over, by its clock, milliseconds. */
  readonly sentMs: number
  /** From then until the read of the socket that brought its last bytes, milliseconds; the clocks differ by a constant. */
  readonly latencyMs: number
}

/** Small frames that are sent this long after a snapshot may have to wait for it. */
const shadowMs = 100

/** @returns null for acks and heartbeats */
export function noteOf(frame: Buffer, readNs: bigint): Note | null {
  const match = /^\{"channel":"(ticker|l2_data)","timestamp":"([^"]+)"/.exec(frame.toString('latin1', 0, 100))
  const sentNs = match === null ? undefined : parseRfc3339Ns(match[2]!)
  if (sentNs === undefined) return null
  return {
    isSnapshot: match![1] === 'l2_data',
    sentMs: Number(sentNs / 1000n) / 1000,
    latencyMs: Number(readNs - sentNs) / 1e6,
  }
}

/** Milliseconds that each small frame in the shadow of a snapshot took more than the quickest of all, ascending. */
export function waitsBehindSnapshots(notes: readonly Note[]): number[] {
  const least = notes.reduce((min, { latencyMs }) => Math.min(min, latencyMs), Infinity)
  let snapshotMs = -Infinity
  const waits: number[] = []
  for (const { isSnapshot, sentMs, latencyMs } of notes) {
    if (isSnapshot) snapshotMs = sentMs
    else if (sentMs - snapshotMs <= shadowMs) waits.push(latencyMs - least)
  }
  return waits.sort((a, b) => a - b)
}
