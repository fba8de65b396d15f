/** Instants in a frame's bytes. Pure but for the last one read, which most of a frame's rows repeat. */

import { isDigit, powersOfTen } from './int64.ts'

const quote = 0x22
const point = 0x2e
const zero = 0x30
/** `2025-12-03T14:00:00` */
const wholeBytes = 19
/** Microseconds of all these are exact as a number. */
const yearMin = 1970
const yearMax = 2199
const dayMs = 86_400_000

/** `2025-12-03T14:00:00.015964Z` as Go prints it: UTC, no needless zeros, at most nine digits after the point. */
export class InstantReader {
  /** Since 1970. */
  seconds = 0
  nanos = 0
  /** Since 1970. */
  day = 0
  /** Where the last one stands. */
  #lastView: DataView | null = null
  #lastAt = 0
  #lastBytes = 0
  #date = 0

  /**
   * Sets what it read. 10 ns for the same as the last time, 60 otherwise.
   *
   * @param view of the same bytes, which do not change as long as it is the same view
   * @param from after the opening quotation mark
   * @param end of the bytes that count
   * @returns the position after the closing quotation mark; -1 when it stands otherwise, or lies before 1970 or after 2199
   */
  read(bytes: Buffer, view: DataView, from: number, end: number): number {
    if (this.#isLast(view, from, end)) return from + this.#lastBytes
    this.#lastBytes = 0
    const until = this.#readWhole(bytes, from) ? this.#readFraction(bytes, from + wholeBytes) : -1
    if (until < 0) return -1
    this.#lastView = view
    this.#lastAt = from
    this.#lastBytes = until - from
    return until
  }

  #isLast(view: DataView, from: number, end: number): boolean {
    const sizeBytes = this.#lastBytes
    if (sizeBytes === 0 || view !== this.#lastView || from + sizeBytes > end) return false
    const last = this.#lastAt
    // What changes stands at the end, so the first word looked at is the last.
    for (let i = sizeBytes - 4; i >= 0; i -= 4)
      if (view.getInt32(from + i, true) !== view.getInt32(last + i, true)) return false
    return view.getInt32(from, true) === view.getInt32(last, true)
  }

  #readWhole(bytes: Buffer, from: number): boolean {
    const hour = twoDigits(bytes, from + 11)
    const minute = twoDigits(bytes, from + 14)
    const second = twoDigits(bytes, from + 17)
    const isTime = hour >= 0 && hour < 24 && minute >= 0 && minute < 60 && second >= 0 && second < 60
    if (!isTime || !areMarks(bytes, from) || !this.#readDate(bytes, from)) return false
    this.seconds = this.day * 86_400 + hour * 3600 + minute * 60 + second
    return true
  }

  #readDate(bytes: Buffer, from: number): boolean {
    const century = twoDigits(bytes, from)
    const ofCentury = twoDigits(bytes, from + 2)
    const month = twoDigits(bytes, from + 5)
    const day = twoDigits(bytes, from + 8)
    if (century < 0 || ofCentury < 0 || month < 1 || day < 1) return false
    const date = century * 1_000_000 + ofCentury * 10_000 + month * 100 + day
    if (date === this.#date) return true
    this.#date = 0
    const year = century * 100 + ofCentury
    if (year < yearMin || year > yearMax) return false
    const at = new Date(Date.UTC(year, month - 1, day))
    if (at.getUTCMonth() !== month - 1 || at.getUTCDate() !== day) return false
    this.#date = date
    this.day = at.getTime() / dayMs
    return true
  }

  /** From the end of the seconds on. */
  #readFraction(bytes: Buffer, from: number): number {
    let at = from
    this.nanos = 0
    if (bytes[at] === point) {
      const start = ++at
      for (; isDigit(bytes[at]!) && at - start < 9; at++) this.nanos = this.nanos * 10 + (bytes[at]! - zero)
      this.nanos *= powersOfTen[9 - (at - start)]!
      if (at === start || bytes[at - 1] === zero) return -1
    }
    return bytes[at] === 0x5a && bytes[at + 1] === quote ? at + 2 : -1
  }
}

function twoDigits(bytes: Buffer, at: number): number {
  const high = bytes[at]!
  const low = bytes[at + 1]!
  return isDigit(high) && isDigit(low) ? (high - zero) * 10 + (low - zero) : -1
}

function areMarks(bytes: Buffer, from: number): boolean {
  const dash = 0x2d
  const colon = 0x3a
  return (
    bytes[from + 4] === dash &&
    bytes[from + 7] === dash &&
    bytes[from + 10] === 0x54 &&
    bytes[from + 13] === colon &&
    bytes[from + 16] === colon
  )
}
