/** The market is a function of its seed, and prints as the venue prints. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { BookSide } from '../../src/simulator/book-side.ts'
import { snapshotEvent, tradeRows, updateEvent } from '../../src/simulator/frames.ts'
import { ProductMarket } from '../../src/simulator/market.ts'
import { makeProduct } from '../../src/simulator/products.ts'
import { decimalText, InstantText, shiftInstant } from '../../src/simulator/text.ts'

const now = { second: 1_790_000_000, nanos: 123_456_000 }

function play(seed: number): string {
  const market = new ProductMarket(makeProduct('SOL-USD', seed, 'realistic'), seed, now)
  const texts = [snapshotEvent(market, now)]
  for (let i = 0; i < 2000; i++) {
    market.step(1 + (i % 7))
    if (i % 3 === 0) market.trade(now)
    assert.ok(market.bids.best < market.offers.best, `step ${i}: ${market.bids.best} < ${market.offers.best}`)
    texts.push(updateEvent(market, market.takeChanges(), now))
  }
  texts.push(tradeRows(market.product, market.tradesFrom(market.oldestTradeId)))
  return texts.join('\n')
}

test('the same seed plays the same market, another seed another one', () => {
  assert.equal(play(5), play(5))
  assert.notEqual(play(5), play(6))
})

test('the BTC-USD snapshot is about 5 MB as on the venue', () => {
  const market = new ProductMarket(makeProduct('BTC-USD', 1, 'realistic'), 1, now)
  const size = snapshotEvent(market, now).length
  assert.ok(size > 4_500_000 && size < 5_500_000, `${size} bytes`)
})

test('a trade takes its size from the best level it names', () => {
  const market = new ProductMarket(makeProduct('ETH-USD', 2, 50), 2, now)
  for (let i = 0; i < 500; i++) {
    market.step(2)
    const sides = { BUY: market.bids, SELL: market.offers }
    const before = new Map([...levelsOf(sides.BUY), ...levelsOf(sides.SELL)])
    const bests = { BUY: market.bids.best, SELL: market.offers.best }
    const from = market.lastTradeId + 1
    market.trade(now)
    const fills = market.tradesFrom(from).toReversed()
    const [first] = fills
    assert.ok(first !== undefined && first.price === bests[first.makerSide])
    for (const { price, size } of fills) before.set(price, (before.get(price) ?? 0) - size)
    for (const [price, size] of before)
      assert.equal(market.bids.sizeOf(price) + market.offers.sizeOf(price), size)
  }
})

function levelsOf(side: BookSide): [price: number, size: number][] {
  return Array.from({ length: side.count }, (_, depth) => [side.priceAt(depth), side.sizeAt(depth)])
}

test('a long run does not walk off: prices stay within a tenth of the start', () => {
  const product = makeProduct('LTC-USD', 3, 100)
  const market = new ProductMarket(product, 3, now)
  for (let i = 0; i < 200_000; i++) {
    market.step(1)
    if (i % 4 === 0) market.trade(now)
    if (i % 1000 === 0) market.takeChanges()
  }
  assert.ok(Math.abs(market.bids.best / product.startTicks - 1) < 0.1, `${market.bids.best}`)
})

test('decimals and instants lose their trailing zeros and nothing else', () => {
  assert.deepEqual(
    [
      decimalText(8_326_100, 2),
      decimalText(266_540, 2),
      decimalText(1, 8),
      decimalText(0, 8),
      decimalText(5, 0),
    ],
    ['83261', '2665.4', '0.00000001', '0', '5'],
  )
  const text = new InstantText()
  assert.equal(text.of({ second: 1_790_000_000, nanos: 0 }), '2026-09-21T14:13:20Z')
  assert.equal(text.of({ second: 1_790_000_000, nanos: 7_400 }), '2026-09-21T14:13:20.0000074Z')
  assert.equal(
    text.of(shiftInstant({ second: 1_790_000_000, nanos: 5 }, -6)),
    '2026-09-21T14:13:19.999999999Z',
  )
})
