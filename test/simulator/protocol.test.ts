/** The simulator speaks the venue's protocol: order at the start, numbers, refusals, books that hold, trades without holes. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Client, withSimulator, type Envelope } from './client.ts'

const isAck = (text: string, channels: number): boolean => {
  const frame = JSON.parse(text) as Envelope
  const [event] = frame.events ?? []
  return frame.channel === 'subscriptions' && Object.keys(event?.['subscriptions'] ?? {}).length === channels
}

test('a session starts with snapshots, each acknowledgement comes after its data and lists the whole set', async () => {
  await withSimulator({ products: ['BTC-USD', 'ETH-USD'], unconflated: false }, async (simulator) => {
    const client = await Client.connect(simulator)
    client.subscribe('level2', ['BTC-USD', 'ETH-USD'])
    client.subscribe('market_trades', ['BTC-USD', 'ETH-USD'])
    client.subscribe('heartbeats')
    await client.find(({ text }) => isAck(text, 3))
    const frames = client.envelopes
    assert.equal(frames[0]?.channel, 'l2_data')
    assert.deepEqual(
      [frames[0]?.events[0]?.['type'], frames[0]?.events[0]?.['product_id']],
      ['snapshot', 'BTC-USD'],
    )
    const acks = frames.filter((frame) => frame.channel === 'subscriptions')
    assert.deepEqual(
      acks.map((ack) => JSON.stringify(ack.events[0]?.['subscriptions'])),
      [
        '{"level2":["BTC-USD","ETH-USD"]}',
        '{"level2":["BTC-USD","ETH-USD"],"market_trades":["BTC-USD","ETH-USD"]}',
        '{"heartbeats":["heartbeats"],"level2":["BTC-USD","ETH-USD"],"market_trades":["BTC-USD","ETH-USD"]}',
      ],
    )
    const ethSnapshot = frames.findIndex(
      ({ events }) => events[0]?.['type'] === 'snapshot' && events[0]?.['product_id'] === 'ETH-USD',
    )
    assert.ok(ethSnapshot > 0 && ethSnapshot < frames.findIndex((frame) => frame.channel === 'subscriptions'))
    const history = frames.find((frame) => frame.channel === 'market_trades')?.events[0]?.['trades']
    assert.ok(Array.isArray(history) && history.length === 100)
    assert.deepEqual(
      frames.map((frame) => frame.sequence_num),
      frames.map((_, i) => i),
    )
  })
})

test('the 31st level2 product refuses the whole subscribe and leaves earlier ones flowing', async () => {
  await withSimulator({ products: 41 }, async (simulator) => {
    const client = await Client.connect(simulator)
    const ids = (from: number, until: number): string[] =>
      Array.from({ length: until - from }, (_, i) => `SIM${String(from + i).padStart(3, '0')}-USD`)
    client.subscribe('level2', ids(1, 21))
    client.subscribe('level2', ids(10, 31).concat('BTC-USD'))
    await client.find(({ text }) => text.includes('too many L2 streams requested in a single session'))
    client.subscribe('level2', ids(1, 31))
    const ack = await client.find(({ text }) => isAck(text, 1) && text.includes('SIM030'))
    assert.ok(!ack.text.includes('BTC-USD'))
    const snapshots = client.envelopes.filter(({ events }) => events?.[0]?.['type'] === 'snapshot')
    assert.equal(snapshots.length, 30)
  })
})

test('a channel that does not exist answers authentication failure; an unknown product is missing from the acknowledgement', async () => {
  await withSimulator({}, async (simulator) => {
    const client = await Client.connect(simulator)
    client.subscribe('heartbeat')
    const refusal = await client.find(() => true)
    assert.equal(refusal.text, '{"type":"error","message":"authentication failure"}')
    client.subscribe('ticker', ['BTC-USDC', 'NOPE-USD'])
    const ack = await client.find(({ text }) => text.includes('"channel":"subscriptions"'))
    assert.ok(ack.text.endsWith('"events":[{"subscriptions":{"ticker":["BTC-USD"]}}]}'))
  })
})

test('an unsubscribed product is silent after the acknowledgement and snapshots anew when it comes back', async () => {
  await withSimulator({}, async (simulator) => {
    const client = await Client.connect(simulator)
    client.subscribe('level2', ['BTC-USD', 'ETH-USD'])
    client.send({ type: 'unsubscribe', channel: 'level2', product_ids: ['BTC-USD'] })
    await client.find(({ text }) => text.includes('{"level2":["ETH-USD"]}'))
    const after = client.frames.findIndex(({ text }) => text.includes('{"level2":["ETH-USD"]}'))
    await client.count(client.frames.length + 50)
    assert.ok(!client.frames.slice(after).some(({ text }) => text.includes('BTC-USD')))
    const from = client.frames.length
    client.subscribe('level2', ['BTC-USD'])
    const first = await client.find(({ text }) => text.includes('BTC-USD'), from)
    assert.match(first.text, /"type":"snapshot","product_id":"BTC-USD"/)
  })
})

interface Level {
  readonly side: 'bid' | 'offer'
  readonly price_level: string
  readonly new_quantity: string
}

class Book {
  readonly #sides = { bid: new Map<string, string>(), offer: new Map<string, string>() }

  apply(updates: readonly Level[]): void {
    for (const { side, price_level: price, new_quantity: size } of updates)
      if (size === '0') this.#sides[side].delete(price)
      else this.#sides[side].set(price, size)
  }

  get bestBid(): number {
    return Math.max(...[...this.#sides.bid.keys()].map(Number))
  }

  get bestOffer(): number {
    return Math.min(...[...this.#sides.offer.keys()].map(Number))
  }
}

const feeds = [
  { unconflated: true, framesPerSecond: 4000, frames: 2000 },
  { unconflated: true, framesPerSecond: 200_000, frames: 4000 },
  { unconflated: false, framesPerSecond: 500, frames: 80 },
]

for (const { frames, ...feed } of feeds)
  test(`a book made from the stream is never crossed after an event and trade ids have no holes, ${feed.unconflated ? 'un' : ''}conflated at ${feed.framesPerSecond}`, async () => {
    await withSimulator(feed, async (simulator) => {
      const client = await Client.connect(simulator)
      const ids = ['BTC-USD', 'ETH-USD', 'SOL-USD']
      client.subscribe('level2', ids)
      client.subscribe('market_trades', ids)
      await client.count(frames)
      const books = new Map(ids.map((id) => [id, new Book()]))
      const lastTrade = new Map<string, number>()
      for (const { channel, events } of client.envelopes)
        for (const event of events) {
          if (channel === 'l2_data') {
            const book = books.get(String(event['product_id']))
            assert.ok(book !== undefined)
            book.apply(event['updates'] as Level[])
            assert.ok(book.bestBid < book.bestOffer, `${book.bestBid} < ${book.bestOffer}`)
          }
          if (channel !== 'market_trades') continue
          for (const trade of (event['trades'] as Record<string, string>[]).toReversed()) {
            const before = lastTrade.get(trade['product_id'] ?? '')
            const id = Number(trade['trade_id'])
            if (before !== undefined) assert.equal(id, before + 1)
            lastTrade.set(trade['product_id'] ?? '', id)
          }
        }
      assert.equal(lastTrade.size, 3)
    })
  })

test('an update prints plain trimmed decimals, bids from the best down, then offers from the best up, with one engine time 25 to 70 ms before', async () => {
  await withSimulator({ products: 11 }, async (simulator) => {
    const client = await Client.connect(simulator)
    client.subscribe('level2')
    client.subscribe('market_trades')
    client.subscribe('ticker')
    await client.count(1500)
    const decimal = /^(0|[1-9]\d*)(\.\d*[1-9])?$/
    const instant = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{0,8}[1-9])?Z$/
    for (const { timestamp, events } of client.envelopes) {
      assert.match(String(timestamp), instant)
      for (const { type, updates, trades } of events) {
        for (const trade of (trades ?? []) as Record<string, string>[]) {
          assert.match(trade['price'] ?? '', decimal)
          assert.match(trade['size'] ?? '', decimal)
          assert.match(trade['time'] ?? '', instant)
        }
        const rows = (updates ?? []) as (Level & { event_time: string })[]
        for (const { price_level: price, new_quantity: size } of rows)
          assert.ok(decimal.test(price) && decimal.test(size), `${price} ${size}`)
        if (type !== 'update' || rows.length === 0) continue
        const bids = rows.filter(({ side }) => side === 'bid').map((row) => Number(row.price_level))
        const offers = rows.filter(({ side }) => side === 'offer').map((row) => Number(row.price_level))
        assert.deepEqual(
          rows.map((row) => Number(row.price_level)),
          [...new Set(bids)].sort((a, b) => b - a).concat([...new Set(offers)].sort((a, b) => a - b)),
        )
        const times = new Set(rows.map((row) => row.event_time))
        const lagMs = Date.parse(String(timestamp)) - Date.parse([...times][0] ?? '')
        assert.ok(times.size === 1 && lagMs >= 24 && lagMs <= 72, `${[...times].join()} ${lagMs}`)
      }
    }
  })
})

test('more messages a second than the limit allows are answered with an error and do nothing', async () => {
  await withSimulator({ messagesPerSecondMax: 3 }, async (simulator) => {
    const client = await Client.connect(simulator)
    for (const channel of ['heartbeats', 'ticker', 'status', 'level2']) client.subscribe(channel)
    await client.find(({ text }) => text === '{"type":"error","message":"rate limit exceeded"}')
    await client.count(client.frames.length + 20)
    assert.ok(!client.frames.some(({ text }) => text.includes('l2_data')))
  })
})

test('conflation keeps a product to one book frame in 50 ms, whatever rate is asked for', async () => {
  await withSimulator(
    { unconflated: false, framesPerSecond: 100_000, products: ['BTC-USD'] },
    async (simulator) => {
      const client = await Client.connect(simulator)
      client.subscribe('level2', ['BTC-USD'])
      await client.count(22)
      const times = client.envelopes
        .filter(({ channel, events }) => channel === 'l2_data' && events[0]?.['type'] === 'update')
        .map(({ timestamp }) => Date.parse(String(timestamp)))
      const span = (times.at(-1) ?? 0) - (times[0] ?? 0)
      // Twenty frames cannot come faster; on a busy machine they come slower.
      assert.ok(times.length >= 20 && span >= (times.length - 1) * 50 - 60, `${times.length} in ${span} ms`)
    },
  )
})

test('a future trades in whole contracts at its tick, and its status in the list is empty', async () => {
  await withSimulator({ products: 11 }, async (simulator) => {
    const url = `${simulator.restUrl}/api/v3/brokerage/market/products?product_type=FUTURE`
    const { products } = (await (await fetch(url)).json()) as { products: Record<string, unknown>[] }
    assert.deepEqual(
      products.map((row) => [
        row['product_id'],
        row['status'],
        row['base_increment'],
        row['price_increment'],
      ]),
      [['BIP-20DEC30-CDE', '', '1', '5']],
    )
    const client = await Client.connect(simulator)
    client.subscribe('level2', ['BIP-20DEC30-CDE'])
    await client.count(20)
    const rows = client.envelopes.flatMap(({ events }) =>
      events.flatMap((event) => (event['updates'] ?? []) as Level[]),
    )
    assert.ok(rows.every((row) => Number(row.price_level) % 5 === 0 && /^\d+$/.test(row.new_quantity)))
  })
})

test('the product list has USDC as an alias and shows a product listed later', async () => {
  await withSimulator({ products: 2 }, async (simulator) => {
    const url = `${simulator.restUrl}/api/v3/brokerage/market/products`
    const read = async (): Promise<{ products: Record<string, unknown>[]; num_products: number }> =>
      (await (await fetch(url)).json()) as { products: Record<string, unknown>[]; num_products: number }
    const client = await Client.connect(simulator)
    client.subscribe('status')
    const before = await read()
    assert.deepEqual(
      before.products.map((row) => [row['product_id'], row['alias']]),
      [
        ['BTC-USD', ''],
        ['BTC-USDC', 'BTC-USD'],
        ['ETH-USD', ''],
        ['OFF-USD', ''],
      ],
    )
    assert.deepEqual(
      [before.products[3]?.['status'], before.products[3]?.['is_disabled']],
      ['delisted', true],
    )
    await fetch(`${simulator.controlUrl}/list`, { method: 'POST', body: '{"product":"NEW-USD"}' })
    assert.equal((await read()).num_products, 5)
    await client.find(({ text }) => text.includes('"id":"NEW-USD"'))
    assert.equal((await fetch(`${url}/NEW-USD`)).status, 200)
    assert.equal((await fetch(`${url}/NOPE-USD`)).status, 404)
  })
})

test('a delisted product falls silent, the list calls it so, and it is missing from an acknowledgement', async () => {
  await withSimulator({ products: 2 }, async (simulator) => {
    const client = await Client.connect(simulator)
    client.subscribe('level2', ['BTC-USD', 'ETH-USD'])
    await client.find(({ text }) => isAck(text, 1))
    const delist = async (): Promise<unknown> =>
      (
        await fetch(`${simulator.controlUrl}/delist`, { method: 'POST', body: '{"product":"ETH-USD"}' })
      ).json()
    assert.deepEqual([await delist(), await delist()], [{ delisted: true }, { delisted: false }])
    const row = await fetch(`${simulator.restUrl}/api/v3/brokerage/market/products/ETH-USD`)
    assert.equal(((await row.json()) as { status: string }).status, 'delisted')
    client.subscribe('ticker', ['BTC-USD', 'ETH-USD'])
    const ack = await client.find(({ text }) => isAck(text, 2))
    assert.ok(ack.text.includes('"ticker":["BTC-USD"]'))
    const after = client.frames.indexOf(ack) + 1
    await client.count(after + 100)
    assert.ok(!client.frames.slice(after).some(({ text }) => text.includes('"product_id":"ETH-USD"')))
  })
})
