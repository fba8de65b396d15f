/** A recording that is cut off, and what has to be said of it afterwards. */

import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Gap } from '../../src/segment/format.ts'
import { ForgetfulDisk } from './forgetful-disk.ts'
import {
  frameOfLine,
  recorder,
  settle,
  startRecording,
  type Found,
  type Place,
  type Recording,
} from './recorded.ts'

export const active = (place: Place): string => join(place.base, 'raw', 'active', 'coinbase')

/** Records until done or cut off; returns the last counter that was called durable. */
export async function recordUntilCrash(place: Place, disk: ForgetfulDisk, lines: number): Promise<number> {
  let recording: Recording
  try {
    recording = await startRecording(place, disk, { segmentBytesMax: 1_500, flushBytes: 500 })
  } catch (error) {
    if (disk.isCrashed) return 0
    throw error
  }
  const { log } = recording
  const connection = log.openConnection(`${recorder}-1`)
  for (let i = 0; i < lines && !disk.isCrashed; i++) {
    log.appendFrame(connection, BigInt(log.nextN), frameOfLine(log.nextN), false, log.nextN)
    if (i % 7 === 6) await settle(recording, Promise.race([log.flush(), disk.crashed]))
  }
  if (!disk.isCrashed) {
    const gap = { cause: 'stopped', after_seq: log.nextN - 1, before_seq: null } as const
    const unknown = { missing: null, from_ns: null, until_ns: null, products: [] }
    log.appendEvent(BigInt(log.nextN), connection, { gap: { ...gap, ...unknown } })
    log.closeConnection(connection)
    await settle(recording, Promise.race([log.close(), disk.crashed]))
  }
  return log.durableN
}

/** However a recording ended, the log says after which frame its connection brought nothing more. */
export function assertEndIsSaid(segments: readonly Found[]): void {
  const lines = segments.flatMap((segment) => segment.lines)
  const last = lines.findLast((line) => line.kind === 'frame')?.n
  if (last === undefined) return
  const ends = lines
    .map((line) =>
      line.kind === 'event' && line.conn !== null ? (line.event as { gap?: Gap }).gap : undefined,
    )
    .filter((gap) => gap !== undefined)
  assert.ok(
    ends.some((gap) => gap.before_seq === null && gap.after_seq !== null && gap.after_seq >= last),
    `nothing says what came after ${last}: ${JSON.stringify(ends)}`,
  )
}

/** A file that a recorder left without closing, with `lines` frames in it. */
export async function leaveOpen(place: Place, lines: number): Promise<string> {
  const disk = new ForgetfulDisk(place.grave)
  const recording = await startRecording(place, disk, { segmentBytesMax: 1_000_000 })
  const connection = recording.log.openConnection(`${recorder}-1`)
  for (let i = 0; i < lines; i++)
    recording.log.appendFrame(connection, BigInt(i + 1), frameOfLine(i + 1), false, i + 1)
  await settle(recording, recording.log.flush())
  await disk.closeFiles()
  const [name] = await readdir(active(place))
  return join(active(place), name!)
}
