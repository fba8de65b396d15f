/** The first and the last line of a segment, read strictly, by whoever reads one. Pure. */

import type { Seal, SegmentHeader } from './format.ts'

/** The header in a segment's first line, or what is wrong with it. */
export function parseHeader(text: string): SegmentHeader | string {
  if (!text.startsWith('{"segment":')) return 'its first line is not the header of a segment'
  let value: unknown
  try {
    value = (JSON.parse(text) as { segment?: unknown }).segment
  } catch {
    return 'its first line is not JSON'
  }
  if (typeof value !== 'object' || value === null) return 'its header is not an object'
  const header = value as Partial<SegmentHeader>
  if (typeof header.format === 'number' && header.format > 1)
    return `it has format ${header.format}, written by a newer version of mdv`
  const isWhole =
    header.format === 1 &&
    typeof header.venue === 'string' &&
    typeof header.recorder === 'string' &&
    Number.isSafeInteger(header.n) &&
    isEpochNs(header.opened_ns)
  return isWhole ? (header as SegmentHeader) : 'its header lacks format, venue, recorder, n or opened_ns'
}

/** What fits 64 bits: the years 1677 to 2262. */
function isEpochNs(value: unknown): boolean {
  return (
    typeof value === 'string' &&
    /^-?\d{1,19}$/.test(value) &&
    BigInt.asIntN(64, BigInt(value)) === BigInt(value)
  )
}

/** The seal in a segment's last line; null: it is none. */
export function parseSeal(text: string): Seal | null {
  try {
    const seal = (JSON.parse(text) as { seal?: Partial<Seal> }).seal
    const isWhole =
      typeof seal?.lines === 'number' && typeof seal.bytes === 'number' && typeof seal.sha256 === 'string'
    return isWhole ? (seal as Seal) : null
  } catch {
    return null // the caller says what that means
  }
}
