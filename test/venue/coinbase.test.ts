/** What Coinbase's frames and product list say. Frames have the shape of recorded ones. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { coinbase } from '../../src/venue/coinbase.ts'
import { venues } from '../../src/venue/registry.ts'
import type { FrameScan, Notice } from '../../src/venue/venue.ts'

function noticeOf(frame: unknown): Notice | null {
  const bytes = Buffer.from(typeof frame === 'string' ? frame : JSON.stringify(frame))
  const scan: FrameScan = { sequence: -1, kind: 'data' }
  coinbase.scan(bytes, scan)
  return coinbase.notice(bytes, scan.kind)
}

const level = {
  side: 'bid',
  event_time: '2026-06-23T20:08:02.632901Z',
  price_level: '62416.02',
  new_quantity: '0.1',
}

function book(events: readonly unknown[]): unknown {
  return { channel: 'l2_data', timestamp: '2026-06-23T20:08:02.9174521Z', sequence_num: 0, events }
}

test('an ack tells each channel its products, whole', () => {
  const subscriptions = { heartbeats: ['heartbeats'], level2: ['BTC-USD', 'ETH-USD'] }
  const notice = noticeOf({ channel: 'subscriptions', sequence_num: 7, events: [{ subscriptions }] })
  assert.deepEqual(notice, { kind: 'ack', subscriptions: new Map(Object.entries(subscriptions)) })
})

test('the ack of the last unsubscribe is an empty set', () => {
  const notice = noticeOf({ channel: 'subscriptions', sequence_num: 9, events: [{ subscriptions: {} }] })
  assert.deepEqual(notice, { kind: 'ack', subscriptions: new Map() })
})

test('a heartbeat counter is read as a number or as text', () => {
  const beat = (counter: unknown): unknown => ({
    channel: 'heartbeats',
    sequence_num: 3,
    events: [{ current_time: '2026-09-07 23:37:22 +0000 UTC m=+139651.27', heartbeat_counter: counter }],
  })
  assert.deepEqual(noticeOf(beat(139651)), { kind: 'heartbeat', counter: 139651 })
  assert.deepEqual(noticeOf(beat('3049')), { kind: 'heartbeat', counter: 3049 })
  assert.equal(noticeOf(beat('soon')), null)
})

test('an error frame has neither channel nor number and is known by its type', () => {
  const message = 'too many L2 streams requested in a single session'
  assert.deepEqual(noticeOf({ type: 'error', message }), { kind: 'error', message })
})

test('a snapshot names its product, an update says nothing', () => {
  const event = { type: 'snapshot', product_id: 'BTC-USD', updates: [level] }
  assert.deepEqual(noticeOf(book([event])), { kind: 'snapshot', products: ['BTC-USD'] })
  assert.equal(noticeOf(book([{ ...event, type: 'update' }])), null)
})

test('every snapshot of a frame with several events is named', () => {
  const events = ['BTC-USD', 'ETH-USD', 'SOL-USD'].map((product_id, i) => ({
    type: i === 1 ? 'update' : 'snapshot',
    product_id,
    updates: [level],
  }))
  assert.deepEqual(noticeOf(book(events)), { kind: 'snapshot', products: ['BTC-USD', 'SOL-USD'] })
})

test('a large snapshot is told by its head, and by all of it where its levels come first', () => {
  const updates = Array.from({ length: 20_000 }, () => level)
  const seen = { kind: 'snapshot', products: ['BTC-USD'] }
  assert.deepEqual(noticeOf(book([{ type: 'snapshot', product_id: 'BTC-USD', updates }])), seen)
  assert.deepEqual(noticeOf(book([{ updates, product_id: 'BTC-USD', type: 'snapshot' }])), seen)
})

test('frames with garbage where something is expected say nothing', () => {
  for (const events of [
    null,
    'x',
    [null],
    [1],
    [{}],
    [{ subscriptions: null }],
    [{ subscriptions: { level2: 1 } }],
  ]) {
    for (const channel of ['subscriptions', 'heartbeats', 'l2_data']) {
      const notice = noticeOf({ channel, sequence_num: 1, events })
      assert.ok(notice === null || (notice.kind === 'ack' && notice.subscriptions.size === 0))
    }
  }
  assert.equal(noticeOf('{"channel":"subscriptions","sequence_num":1,'), null)
})

test('a subscribe holds one channel; products and token only where there are any', () => {
  assert.equal(
    coinbase.subscribeFrame('level2', ['BTC-USD', 'ETH-USD'], null),
    '{"type":"subscribe","product_ids":["BTC-USD","ETH-USD"],"channel":"level2"}',
  )
  assert.equal(coinbase.subscribeFrame('heartbeats', [], null), '{"type":"subscribe","channel":"heartbeats"}')
  assert.equal(
    coinbase.subscribeFrame('status', [], 'a.b.c'),
    '{"type":"subscribe","channel":"status","jwt":"a.b.c"}',
  )
})

test('an unsubscribe names the products whose data end', () => {
  assert.equal(
    coinbase.unsubscribeFrame('level2', ['ETH-USD'], null),
    '{"type":"unsubscribe","product_ids":["ETH-USD"],"channel":"level2"}',
  )
})

test('data of an USDC pair come under the name of the USD pair', () => {
  assert.equal(coinbase.labelOf('BTC-USDC'), 'BTC-USD')
  for (const same of ['BTC-USD', 'BTC-USDT', 'USDC-EUR', 'BIT-31OCT26-CDE'])
    assert.equal(coinbase.labelOf(same), same)
})

test('the product list gives what is traded, aliases and impossible ids left out', () => {
  const products = [
    { product_id: 'BTC-USD', status: 'online', alias: '', alias_to: ['BTC-USDC'] },
    { product_id: 'BTC-USDC', status: 'online', alias: 'BTC-USD' },
    { product_id: 'BIT-31OCT26-CDE', status: '', product_type: 'FUTURE' },
    { product_id: 'OLD-USD', status: 'delisted' },
    { product_id: 'OFF-USD', status: 'online', is_disabled: true },
    { product_id: 'A B', status: 'online' },
    { product_id: 'x'.repeat(101), status: 'online' },
    { product_id: 5, status: 'online' },
    { status: 'online' },
    null,
  ]
  const ids = coinbase.readProducts(JSON.stringify({ products })).map((product) => product.id)
  assert.deepEqual(ids, ['BTC-USD', 'BIT-31OCT26-CDE'])
})

test('an answer that is no product list is named, with its beginning', () => {
  for (const body of ['<html>maintenance', '[]', '{"error":"x"}', 'null', '{"products":{}}']) {
    assert.throws(() => coinbase.readProducts(body), { kind: 'unavailable', message: /has no "products": / })
  }
})

test('every venue subscribes its keep-alive itself, and limits what a message may hold', () => {
  for (const venue of venues) {
    assert.ok(!venue.channels.includes(venue.keepAliveChannel))
    assert.ok(venue.channels.includes(venue.bookChannel))
    assert.ok(venue.limits.bookProductsPerConnection <= venue.limits.productsPerMessage)
  }
})
