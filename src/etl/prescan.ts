/** What each line of a segment is, by its bytes: for which table's fast way, for the exact way, or no line at all. Pure. */

import { isUtf8 } from 'node:buffer'
import type { ScannedLine } from '../segment/scan.ts'
import { shapeOfChannel, type RowTable } from '../dataset/shape.ts'

const channelKey = Buffer.from('"channel":"')
const quote = 0x22

/**
 * Quotation marks between two positions; -1 when the bytes are not valid UTF-8. One pass of about 0.6 ns a byte: the count
 * is what tells a number in place of a text (see dataset/rows-sql.ts).
 */
export function countQuotes(bytes: Buffer, from: number, until: number): number {
  let quotes = 0
  let high = 0
  for (let i = from; i < until; i++) {
    const byte = bytes[i]!
    if (byte === quote) quotes++
    high |= byte
  }
  return high >= 0x80 && !isUtf8(bytes.subarray(from, until)) ? -1 : quotes
}

/** The table whose fast way is worth trying for a frame; undefined for the exact way. A wrong guess costs time only. */
export function guessTable(line: ScannedLine): RowTable | undefined {
  const { bytes, valueFrom, valueUntil } = line
  const key = findChannel(bytes, valueFrom, valueUntil)
  if (key < 0) return undefined
  const end = bytes.indexOf(quote, key)
  if (end < 0 || end > key + 32) return undefined
  return tableOfName(bytes, key, end)
}

/** Where the channel's name begins. It is the first key of a frame in all that was recorded; other orders are searched for. */
function findChannel(bytes: Buffer, from: number, until: number): number {
  if (bytes.compare(channelKey, 0, channelKey.length, from + 1, from + 1 + channelKey.length) === 0)
    return from + 1 + channelKey.length
  const at = bytes.subarray(from, until).indexOf(channelKey)
  return at < 0 ? -1 : from + at + channelKey.length
}

/** Channels by length and first letter would do; a text of eight letters costs 50 ns, once a frame. */
function tableOfName(bytes: Buffer, from: number, until: number): RowTable | undefined {
  return shapeOfChannel(bytes.toString('latin1', from, until))?.table
}
