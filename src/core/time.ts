/** UTC instants as text and epoch nanoseconds. Venue text is parsed exactly or not at all; nothing is rounded. */

const rfc3339 = /^(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,9}))?Z$/

/** What a signed 64-bit count of nanoseconds can hold: 1677-09-21 to 2262-04-11. */
const epochNsMin = -(2n ** 63n)
const epochNsMax = 2n ** 63n - 1n

/**
 * Epoch nanoseconds of an RFC 3339 UTC instant with 0 to 9 fractional digits; undefined for anything else:
 * other zones, impossible dates, or instants a 64-bit nanosecond count cannot hold (`0001-01-01T00:00:00Z`).
 */
export function parseRfc3339Ns(text: string): bigint | undefined {
  const match = rfc3339.exec(text)
  if (match === null) return undefined
  const wholeMs = Date.parse(text.slice(0, 19) + 'Z')
  if (Number.isNaN(wholeMs) || new Date(wholeMs).toISOString().slice(0, 19) !== text.slice(0, 19))
    return undefined
  const ns = BigInt(wholeMs) * 1_000_000n + BigInt((match[7] ?? '').padEnd(9, '0'))
  return ns < epochNsMin || ns > epochNsMax ? undefined : ns
}

/** The same of an instant written as far as it matters: `2025-12-03`, `2025-12-03T14`, `2025-12-03T14:05`, with `Z` or without. */
export function parseInstantNs(text: string): bigint | undefined {
  const match = /^(\d{4}-\d{2}-\d{2})(?:T(\d{2})(?::(\d{2})(?::(\d{2}(?:\.\d{1,9})?))?)?Z?)?$/.exec(text)
  if (match === null) return undefined
  const [, date, hour = '00', minute = '00', second = '00'] = match
  return parseRfc3339Ns(`${date}T${hour}:${minute}:${second}Z`)
}

/** RFC 3339 with the fraction's trailing zeros trimmed, as Go's RFC3339Nano prints it. */
export function formatRfc3339Ns(epochNs: bigint): string {
  const ms = floorDivide(epochNs, 1_000_000n)
  const fraction = (epochNs - floorDivide(epochNs, 1_000_000_000n) * 1_000_000_000n)
    .toString()
    .padStart(9, '0')
  const trimmed = fraction.replace(/0+$/, '')
  return new Date(Number(ms)).toISOString().slice(0, 19) + (trimmed === '' ? '' : `.${trimmed}`) + 'Z'
}

/** `2025-12-03` of an instant, UTC. */
export function utcDate(epochNs: bigint): string {
  return new Date(Number(floorDivide(epochNs, 1_000_000n))).toISOString().slice(0, 10)
}

/** `20251203T14` of an instant, UTC: the hour in a segment's or part's name. */
export function utcHour(epochMs: number): string {
  const iso = new Date(epochMs).toISOString()
  return iso.slice(0, 4) + iso.slice(5, 7) + iso.slice(8, 10) + 'T' + iso.slice(11, 13)
}

/** True for a date that exists, written `YYYY-MM-DD`. */
export function isUtcDate(text: string): boolean {
  return (
    /^\d{4}-\d{2}-\d{2}$/.test(text) &&
    new Date(`${text}T00:00:00Z`).toString() !== 'Invalid Date' &&
    new Date(`${text}T00:00:00Z`).toISOString().slice(0, 10) === text
  )
}

/** Division that rounds toward minus infinity, so that instants before 1970 fall into their own second. */
export function floorDivide(a: bigint, b: bigint): bigint {
  const quotient = a / b
  return a % b < 0n ? quotient - 1n : quotient
}
