/** Numbers and instants as the venue prints them: plain decimals and Go's RFC3339Nano, trailing zeros trimmed. Hot. */

import type { Instant } from './market.ts'

const powers = Array.from({ length: 16 }, (_, digits) => 10 ** digits)

/** @param value a whole number, the amount times 10^digits */
export function decimalText(value: number, digits: number): string {
  const power = powers[digits] ?? 1
  const whole = Math.trunc(value / power)
  const fraction = value - whole * power
  return fraction === 0 ? String(whole) : `${whole}.${fractionText(fraction, digits)}`
}

/** @param fraction not 0 */
function fractionText(fraction: number, digits: number): string {
  // The leading 1 keeps the zeros behind the point; it is cut off again.
  const text = String(fraction + (powers[digits] ?? 1))
  let end = text.length
  while (text.charCodeAt(end - 1) === 0x30) end--
  return text.slice(1, end)
}

/** Prints instants; remembers the last second, which most calls share. */
export class InstantText {
  #second = Number.NaN
  #prefix = ''

  of(instant: Instant): string {
    if (instant.second !== this.#second) {
      this.#second = instant.second
      this.#prefix = new Date(instant.second * 1000).toISOString().slice(0, 19)
    }
    return instant.nanos === 0 ? `${this.#prefix}Z` : `${this.#prefix}.${fractionText(instant.nanos, 9)}Z`
  }
}

/** `base` moved by `nanos` (less than a second either way). */
export function shiftInstant(base: Instant, nanos: number): Instant {
  const sum = base.nanos + nanos
  if (sum < 0) return { second: base.second - 1, nanos: sum + 1_000_000_000 }
  if (sum >= 1_000_000_000) return { second: base.second + 1, nanos: sum - 1_000_000_000 }
  return { second: base.second, nanos: sum }
}

/** Cut to microseconds, as the matching engine stamps. */
export function toMicros(instant: Instant): Instant {
  return { second: instant.second, nanos: instant.nanos - (instant.nanos % 1000) }
}

export function instantOf(epochNs: bigint): Instant {
  const second = epochNs / 1_000_000_000n
  return { second: Number(second), nanos: Number(epochNs - second * 1_000_000_000n) }
}
