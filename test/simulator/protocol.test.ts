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
  await withSimulator({ products: 40 }, async (simulator) => {
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

for (const unconflated of [true, false])
  test(`a book made from the stream is never crossed after an event and trade ids have no holes, ${unconflated ? 'un' : ''}conflated`, async () => {
    await withSimulator({ unconflated, framesPerSecond: unconflated ? 4000 : 500 }, async (simulator) => {
      const client = await Client.connect(simulator)
      const ids = ['BTC-USD', 'ETH-USD', 'SOL-USD']
      client.subscribe('level2', ids)
      client.subscribe('market_trades', ids)
      await client.count(unconflated ? 2000 : 80)
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
      ],
    )
    await fetch(`${simulator.controlUrl}/list`, { method: 'POST', body: '{"product":"NEW-USD"}' })
    assert.equal((await read()).num_products, 4)
    await client.find(({ text }) => text.includes('"id":"NEW-USD"'))
    assert.equal((await fetch(`${url}/NEW-USD`)).status, 200)
    assert.equal((await fetch(`${url}/NOPE-USD`)).status, 404)
  })
})
