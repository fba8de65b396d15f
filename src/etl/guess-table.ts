/** Which table's fast way is worth trying for a frame. Pure. */

import { startsWith } from '../core/starts-with.ts'
import { shapes, type RowTable } from '../dataset/shape.ts'
import type { ScannedLine } from '../segment/scanned-line.ts'

const channelKey = Buffer.from('"channel":"')
const names = shapes.flatMap(({ table, channels }) =>
  channels.map((channel) => ({ table, bytes: Buffer.from(`${channel}"`) })),
)

/** @returns undefined for the exact way. A wrong guess costs time only */
export function guessTable({ bytes, valueFrom, valueUntil }: ScannedLine): RowTable | undefined {
  const name = findChannel(bytes, valueFrom, valueUntil)
  if (name < 0) return undefined
  for (const one of names) if (startsWith(bytes, name, one.bytes)) return one.table
  return undefined
}

/** Where the channel's name begins. It is the first key of a frame in all that was recorded; other orders are searched for. */
function findChannel(bytes: Buffer, from: number, until: number): number {
  // After the brace.
  if (startsWith(bytes, from + 1, channelKey)) return from + 1 + channelKey.length
  const at = bytes.subarray(from, until).indexOf(channelKey)
  return at < 0 ? -1 : from + at + channelKey.length
}
