/** Puts rows in the order of their files: by product and day, then by the exchange's time, then as they were received. */

import { arrangeColumns, arrangeMap } from './arrange.ts'
import type { RowColumns } from './row-columns.ts'

/** The rows of one product and day, which become one file. */
export interface RowGroup {
  readonly product: string
  /** Since 1970. */
  readonly day: number
  readonly from: number
  readonly until: number
}

/** @returns where the rows of each product and day stand from now on: products by their bytes, then by day */
export function sortRows(rows: RowColumns): RowGroup[] {
  const sorting = new Sorting(rows)
  const { groups, places } = sorting.run()
  arrangeColumns(rows.hasExtras ? [...rows.ofRow, rows.extra] : rows.ofRow, places)
  for (const { texts } of rows.values) arrangeMap(texts, places)
  return groups
}

/** First and last time of some rows: the exchange's, the receive time where there is none. */
export function timesOf(
  { frame, ofFrame }: RowColumns,
  { from, until }: RowGroup,
): { readonly minTimeNs: bigint; readonly maxTimeNs: bigint } {
  const exchangeNs = new BigInt64Array(ofFrame.exchangeNs.words.buffer)
  const recvNs = new BigInt64Array(ofFrame.recvNs.words.buffer)
  let last = -1
  let minTimeNs = 2n ** 63n
  let maxTimeNs = -minTimeNs
  for (let row = from; row < until; row++) {
    const at = frame.words[row]!
    if (at === last) continue
    last = at
    const ns = ofFrame.exchangeNs.nulls?.[at] === 1 ? recvNs[at]! : exchangeNs[at]!
    if (ns < minTimeNs) minTimeNs = ns
    if (ns > maxTimeNs) maxTimeNs = ns
  }
  return { minTimeNs, maxTimeNs }
}

/** What is known of a group while its rows are counted. */
interface Count {
  readonly product: number
  readonly day: number
  rows: number
  /** Of its last row. */
  lastFrame: number
  /** Whether its rows came in the order of their times: those of one connection do nearly always. */
  isSorted: boolean
}

class Sorting {
  readonly #rows: RowColumns
  readonly #counts: Count[] = []
  readonly #groupOf: Uint32Array
  readonly #times: FrameTimes

  constructor(rows: RowColumns) {
    this.#rows = rows
    this.#groupOf = new Uint32Array(rows.rows)
    this.#times = new FrameTimes(rows)
  }

  /** @returns the groups, and where each row is to stand */
  run(): { readonly groups: RowGroup[]; readonly places: Uint32Array } {
    this.#countRows()
    const products = placesOf(this.#rows.products.values)
    const sorted = [...this.#counts.keys()].toSorted((a, b) => {
      const [one, other] = [this.#counts[a]!, this.#counts[b]!]
      return products[one.product]! - products[other.product]! || one.day - other.day
    })
    const froms: number[] = []
    let from = 0
    const groups = sorted.map((index) => {
      const { product, day, rows } = this.#counts[index]!
      froms[index] = from
      from += rows
      return { product: this.#rows.products.values[product]!, day, from: from - rows, until: from }
    })
    return { groups, places: this.#places(froms) }
  }

  #countRows(): void {
    const { frame, product, ofFrame } = this.#rows
    const groupOf = this.#groupOf
    const indices = new Map<number, number>()
    let index = 0
    let count: Count | undefined
    for (let row = 0; row < groupOf.length; row++) {
      const at = frame.words[row]!
      const day = ofFrame.day.words[at]! | 0
      const code = product.words[row]!
      if (count === undefined || code !== count.product || day !== count.day) {
        // Days of 64 bits of nanoseconds lie within 300 years of 1970.
        const key = code * 1_000_000 + day
        index = indices.get(key) ?? this.#counts.length
        indices.set(key, index)
        this.#counts[index] ??= { product: code, day, rows: 0, lastFrame: at, isSorted: true }
        count = this.#counts[index]!
      }
      if (at !== count.lastFrame && this.#times.compare(count.lastFrame, at) > 0) count.isSorted = false
      count.lastFrame = at
      count.rows++
      groupOf[row] = index
    }
  }

  /** @param froms where each group begins */
  #places(froms: readonly number[]): Uint32Array {
    const groupOf = this.#groupOf
    const places = new Uint32Array(groupOf.length)
    const next = [...froms]
    const unsorted = new Map<number, number[]>()
    for (let row = 0; row < groupOf.length; row++) {
      const group = groupOf[row]!
      places[row] = next[group]!++
      if (this.#counts[group]!.isSorted) continue
      const rows = unsorted.get(group)
      if (rows === undefined) unsorted.set(group, [row])
      else rows.push(row)
    }
    const { words: frame } = this.#rows.frame
    for (const [group, rows] of unsorted) {
      rows.sort((a, b) => this.#times.compare(frame[a]!, frame[b]!) || a - b)
      for (const [i, row] of rows.entries()) places[row] = froms[group]! + i
    }
    return places
  }
}

/** Place of each product among all, as its bytes sort. */
function placesOf(products: readonly string[]): Uint32Array {
  const bytes = products.map((one) => Buffer.from(one))
  const sorted = products.map((_, i) => i).toSorted((a, b) => bytes[a]!.compare(bytes[b]!))
  const places = new Uint32Array(products.length)
  for (const [place, product] of sorted.entries()) places[product] = place
  return places
}

/** The exchange's times of frames, by the upper and lower halves of their 64 bits. */
class FrameTimes {
  readonly #low: Uint32Array
  readonly #high: Int32Array
  readonly #nulls: Uint8Array | null

  constructor({ ofFrame }: RowColumns) {
    const { words, nulls } = ofFrame.exchangeNs
    this.#low = words
    this.#high = new Int32Array(words.buffer)
    this.#nulls = nulls
  }

  /** Frames without a time come last. */
  compare(a: number, b: number): number {
    const nulls = this.#nulls
    const byNull = nulls === null ? 0 : nulls[a]! - nulls[b]!
    if (byNull !== 0 || nulls?.[a] === 1) return byNull
    return this.#high[a * 2 + 1]! - this.#high[b * 2 + 1]! || this.#low[a * 2]! - this.#low[b * 2]!
  }
}
