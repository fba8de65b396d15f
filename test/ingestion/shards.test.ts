/** Products over connections: within the limit, heavy books apart, nothing moved while others come and go. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { planShards, type Shard } from '../../src/ingestion/shards.ts'
import { coinbase } from '../../src/venue/coinbase.ts'

const limit = coinbase.limits.bookProductsPerConnection
const ids = Array.from({ length: 120 }, (_, i) => coinbase.heavyProducts[i] ?? `P${i}-USD`)

function placeOf(shards: readonly Shard[]): Map<string, number> {
  return new Map(shards.flatMap((shard) => shard.products.map((product) => [product, shard.index] as const)))
}

test('each product is on one connection, no connection has too many, none is empty', () => {
  fc.assert(
    fc.property(fc.shuffledSubarray(ids), (products) => {
      const shards = planShards(coinbase, products, limit)
      assert.deepEqual(shards.flatMap((shard) => shard.products).sort(), [...products].sort())
      assert.equal(shards.length, Math.ceil(products.length / limit))
      for (const shard of shards) assert.ok(shard.products.length > 0 && shard.products.length <= limit)
    }),
  )
})

test('products that stay keep their connection, through any changes of the list', () => {
  fc.assert(
    fc.property(fc.array(fc.shuffledSubarray(ids), { minLength: 2, maxLength: 6 }), (lists) => {
      let shards: Shard[] = []
      for (const list of lists) {
        const before = placeOf(shards)
        shards = planShards(coinbase, list, limit, shards)
        for (const [product, index] of placeOf(shards))
          assert.equal(index, before.get(product) ?? index, `${product} moved`)
        for (const shard of shards) assert.ok(shard.products.length <= limit)
        assert.equal(new Set(shards.map((shard) => shard.index)).size, shards.length)
        assert.deepEqual([...placeOf(shards).keys()].sort(), [...list].sort())
      }
    }),
  )
})

test('heavy books are on different connections as far as there are connections', () => {
  const shards = planShards(coinbase, ids, limit)
  const heavy = shards.map(
    (shard) => shard.products.filter((one) => coinbase.heavyProducts.includes(one)).length,
  )
  assert.equal(shards.length, 5)
  assert.ok(Math.max(...heavy) - Math.min(...heavy) <= 1, `heavy books per connection: ${heavy.join(' ')}`)
})

test('a new listing goes where there is room, and to a new connection where there is none', () => {
  const full = planShards(coinbase, ids.slice(0, limit), limit)
  const grown = planShards(coinbase, [...ids.slice(0, limit), 'NEW-USD'], limit, full)
  assert.deepEqual(
    grown.map((shard) => shard.products.length),
    [limit, 1],
  )
  const room = planShards(coinbase, ids.slice(0, 3), limit)
  assert.deepEqual(planShards(coinbase, ids.slice(0, 4), limit, room).length, 1)
})

test('a connection whose products are all gone is kept, and the next listings go on it', () => {
  const two = planShards(coinbase, ids.slice(0, limit + 1), limit)
  const lone = two.findIndex((shard) => shard.products.length < limit)
  const kept = two.filter((_, i) => i !== lone).flatMap((shard) => shard.products)
  const emptied = planShards(coinbase, kept, limit, two)
  assert.deepEqual(emptied[lone], { index: two[lone]!.index, products: [] })
  const filled = planShards(coinbase, [...kept, 'NEW-USD'], limit, emptied)
  assert.ok(filled.length === 2 && placeOf(filled).has('NEW-USD'))
})

test('a product named twice is placed once', () => {
  assert.deepEqual(planShards(coinbase, ['A-USD', 'A-USD'], limit), [{ index: 0, products: ['A-USD'] }])
})
