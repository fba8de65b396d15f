/** The order of rows in their files, against a sort of the rows one by one. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import type { DecodedRow } from '../../src/dataset/decode.ts'
import { RowColumns, Texts } from '../../src/dataset/row-columns.ts'
import { sortRows, timesOf } from '../../src/dataset/row-order.ts'
import { shapeOf } from '../../src/dataset/shape.ts'

interface Frame {
  /** Null: the frame had no time of its own. */
  readonly exchangeNs: bigint | null
  readonly products: readonly string[]
}

const dayNs = 86_400_000_000_000n
const recvNs = 20_000n * dayNs
const frames = fc.array(
  fc.record({
    exchangeNs: fc.option(
      fc.oneof(
        fc.constantFrom(-1n, 0n, dayNs - 1n, dayNs, 20_000n * dayNs),
        fc.bigInt({ min: 20_000n * dayNs - 5n, max: 20_000n * dayNs + 5n }),
        fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
      ),
    ),
    products: fc.array(fc.constantFrom('BTC-USD', 'ETH-USD', 'btc', 'é', '\u{1F600}', '\uFF5E'), {
      minLength: 1,
      maxLength: 4,
    }),
  }),
  { maxLength: 40 },
)

/** Rows whose price tells which frame and place they are of. */
function columnsOf(given: readonly Frame[]): RowColumns {
  const rows = new RowColumns(shapeOf('market_trades'), new Texts())
  for (const [n, { exchangeNs, products }] of given.entries()) {
    const decoded = products.map((productId, rowIndex): DecodedRow => {
      const values = { trade_id: String(n * 10 + rowIndex), price: rowIndex === 1 ? null : '1' }
      const extra = rowIndex === 2 ? `extra ${n}` : null
      return { productId, eventIndex: 0, rowIndex, isSnapshot: false, values, texts: {}, extra }
    })
    const words = new Uint32Array(new BigInt64Array([recvNs + BigInt(n)]).buffer)
    const facts = { channel: 'market_trades', exchangeNs, sequenceNum: null, clientId: null }
    rows.addDecoded({ n, recvNs: words, conn: null }, facts, decoded, false)
  }
  return rows
}

const floorDay = (ns: bigint): number => Number((ns - (((ns % dayNs) + dayNs) % dayNs)) / dayNs)

/** What is to be, sorted one by one. */
function expected(given: readonly Frame[]): unknown[] {
  const all = given.flatMap(({ exchangeNs, products }, n) =>
    products.map((product, rowIndex) => {
      const ns = exchangeNs ?? recvNs + BigInt(n)
      return { product, rowIndex, n, exchangeNs, ns, day: floorDay(ns) }
    }),
  )
  const byTime = (a: bigint | null, b: bigint | null): number =>
    a === null || b === null ? Number(a === null) - Number(b === null) : a < b ? -1 : a > b ? 1 : 0
  return all
    .toSorted(
      (a, b) =>
        Buffer.from(a.product).compare(Buffer.from(b.product)) ||
        a.day - b.day ||
        byTime(a.exchangeNs, b.exchangeNs) ||
        a.n - b.n ||
        a.rowIndex - b.rowIndex,
    )
    .map(({ product, rowIndex, n, day, ns }) => ({
      product,
      day,
      id: n * 10 + rowIndex,
      hasPrice: rowIndex !== 1,
      extra: rowIndex === 2 ? `extra ${n}` : undefined,
      ns,
    }))
}

test('rows come by product, day and time, with all their values, and each group knows its times', () => {
  fc.assert(
    fc.property(frames, (given) => {
      const rows = columnsOf(given)
      const [tradeId, price] = rows.values
      const groups = sortRows(rows)
      const wanted = expected(given) as { product: string; day: number; ns: bigint }[]
      const found = groups.flatMap((group) => {
        const { product, day, from, until } = group
        const times = wanted.slice(from, until).map((one) => one.ns)
        assert.deepEqual(timesOf(rows, group), {
          minTimeNs: times.reduce((a, b) => (b < a ? b : a)),
          maxTimeNs: times.reduce((a, b) => (b > a ? b : a)),
        })
        return Array.from({ length: until - from }, (_, i) => ({
          product,
          day,
          id: tradeId!.column.words[(from + i) * 2],
          hasPrice: price!.column.nulls?.[from + i] !== 1,
          extra: rows.extras.values[rows.extra.words[from + i]!] || undefined,
          ns: wanted[from + i]!.ns,
        }))
      })
      assert.deepEqual(found, wanted)
    }),
    { numRuns: 500 },
  )
})

test('rows that came in order stay as they came', () => {
  const rows = columnsOf(
    Array.from({ length: 5000 }, (_, n) => ({ exchangeNs: recvNs + BigInt(n), products: ['BTC-USD'] })),
  )
  assert.deepEqual(sortRows(rows), [{ product: 'BTC-USD', day: 20_000, from: 0, until: 5000 }])
  const ids = [0, 1, 4999].map((row) => rows.values[0]!.column.words[row * 2])
  assert.deepEqual(ids, [0, 10, 49_990])
})
