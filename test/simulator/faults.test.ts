/** Each fault can be seen on the wire, and the account says what was done. */

import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import { closeCodes, usualKinds, type Fault, type FaultKind } from '../../src/simulator/faults.ts'
import type { Simulator } from '../../src/simulator/simulator.ts'
import { FrameSink } from '../../src/simulator/wire.ts'
import { Client, withSimulator, type Envelope, type ReceivedFrame } from './client.ts'

const ids = ['BTC-USD', 'ETH-USD', 'SOL-USD']

async function subscribedClient(simulator: Simulator): Promise<Client> {
  const client = await Client.connect(simulator)
  for (const channel of ['level2', 'market_trades', 'ticker']) client.subscribe(channel, ids)
  client.subscribe('heartbeats')
  await client.find(({ text }) => text.includes('"heartbeats":["heartbeats"]'))
  return client
}

/** Kinds whose trace is one frame that looks like this. */
const visible: Partial<Record<FaultKind, (frame: ReceivedFrame, parsed: Envelope | null) => boolean>> = {
  client_id: (_, parsed) => parsed?.['client_id'] === '',
  heartbeat_string: ({ text }) => /"heartbeat_counter":"\d+"/.test(text),
  epoch_event_time: ({ text }) => text.includes('"event_time":"1970-01-01T00:00:00Z"'),
  several_events: (_, parsed) => parsed?.events?.length === 2,
  mixed_trades: (_, parsed) => new Set(tradesOf(parsed).map((trade) => trade['product_id'])).size === 2,
  unknown_channel: (_, parsed) => parsed?.channel === 'auction_book',
  unknown_fields: ({ text }) => ['"shard":', '"epoch":', '"order_count":'].every((key) => text.includes(key)),
  crossed: (_, parsed) => isCrossedInside(parsed),
  odd_decimals: ({ text }) => /"price_level":"[0-9.]+0","/.test(text) && text.includes('.'),
  line_break: ({ text }) => text.startsWith('{\n  "channel"'),
  path_product: ({ text }) => text.includes('"product_id":"../x"'),
  huge_trade: ({ text }) => text.includes('"trade_id":"99999999999999999999"'),
  huge_numbers: ({ text }) => text.includes(':1e400,') && text.includes(':12345678901234567890'),
  not_json: ({ text }) => text.startsWith('upstream connect error'),
  bad_utf8: ({ text }) => text.includes('\xff\xfe'),
  binary: ({ isBinary }) => isBinary,
  forged: ({ text }) => text === '{"a":1},"n":99,"crc":"00000000","x":{"b":2}',
}

const tradesOf = (parsed: Envelope | null): Record<string, string>[] =>
  (parsed?.channel === 'market_trades' ? parsed.events.flatMap((event) => event['trades']) : []) as Record<
    string,
    string
  >[]

/** Its first row is a bid taken back in the last one. */
function isCrossedInside(parsed: Envelope | null): boolean {
  const rows = (parsed?.events?.[0]?.['updates'] ?? []) as Record<string, string>[]
  const [first, last] = [rows[0], rows.at(-1)]
  if (first === undefined || last === undefined || rows.length < 3) return false
  return (
    first['price_level'] === last['price_level'] && last['side'] === 'bid' && last['new_quantity'] === '0'
  )
}

function parse({ text }: ReceivedFrame): Envelope | null {
  try {
    return JSON.parse(text) as Envelope
  } catch (error) {
    assert.ok(error instanceof SyntaxError)
    return null
  }
}

test('every fault of content is seen on the wire and the account has its bytes', async () => {
  await withSimulator({}, async (simulator) => {
    const client = await subscribedClient(simulator)
    for (const [kind, fits] of Object.entries(visible)) {
      const from = client.frames.length
      assert.equal(simulator.inject(kind as FaultKind), 1)
      await client.find((frame) => fits(frame, parse(frame)), from)
    }
    await simulator.pause()
    const sent = simulator.framesOf(1)
    await client.count(sent.length)
    assert.deepEqual(
      client.frames.map(({ crc }) => crc),
      sent.map(({ crc }) => crc),
    )
    const numbers = sent.map(({ sequence }) => sequence)
    assert.equal(numbers.filter((sequence) => sequence === -1).length, 4)
    const numbered = numbers.filter((sequence) => sequence >= 0)
    assert.deepEqual(
      numbered,
      numbered.map((_, i) => i),
    )
  })
})

test('drop, duplicate, reorder and fragment change what is sent as the account says', async () => {
  await withSimulator({}, async (simulator) => {
    const client = await subscribedClient(simulator)
    for (const kind of ['drop', 'duplicate', 'reorder', 'fragment'] as const) {
      await fetch(`${simulator.controlUrl}/fault`, { method: 'POST', body: JSON.stringify({ kind }) })
      await client.count(client.frames.length + 20)
    }
    await simulator.pause()
    const sent = simulator.framesOf(1).map(({ sequence }) => sequence)
    await client.count(sent.length)
    const [account] = simulator.account().connections
    const [dropped, doubled, late] = [account?.skipped[0], account?.duplicated[0], account?.reordered[0]]
    assert.ok(dropped !== undefined && doubled !== undefined && late !== undefined)
    const received = client.frames.map(({ text }) => (JSON.parse(text) as Envelope).sequence_num)
    assert.deepEqual(received, sent)
    assert.equal(sent.indexOf(dropped), -1)
    assert.equal(sent[sent.indexOf(doubled) + 1], doubled)
    assert.equal(sent[sent.indexOf(late) - 1], late + 1)
  })
})

test('a fault without a connection waits for the next one: a snapshot in fragments, a product missing from the acknowledgement', async () => {
  await withSimulator({}, async (simulator) => {
    assert.equal(simulator.inject('fragment'), null)
    simulator.inject('missing_product')
    const client = await Client.connect(simulator)
    client.subscribe('level2', ids)
    const ack = await client.find(({ text }) => text.includes('"subscriptions":{'))
    assert.ok(ack.text.includes('{"level2":["BTC-USD","ETH-USD"]}'))
    assert.match(client.frames[0]?.text ?? '', /"type":"snapshot"/)
    await client.count(100)
    assert.ok(!client.frames.some(({ text }) => text.includes('SOL-USD')))
  })
})

test('a silent connection sends nothing, and afterwards its stream is whole', async () => {
  await withSimulator({}, async (simulator) => {
    const client = await subscribedClient(simulator)
    const other = await subscribedClient(simulator)
    simulator.inject({ kind: 'silence', ms: 300 }, 1)
    const { frames } = simulator.account().connections[0] ?? { frames: 0 }
    await other.count(other.frames.length + 100)
    assert.equal(simulator.account().connections[0]?.frames, frames)
    await client.count(frames + 100)
    const trades = client.envelopes.flatMap((frame) => tradesOf(frame).toReversed())
    for (const id of ids) {
      const own = trades
        .filter((trade) => trade['product_id'] === id)
        .map((trade) => Number(trade['trade_id']))
      assert.deepEqual(
        own,
        own.map((_, i) => (own[0] ?? 0) + i),
      )
    }
  })
})

const endings: readonly (readonly [Fault, number])[] = [
  [{ kind: 'reset' }, 1006],
  ...closeCodes.map((code) => [{ kind: 'close', code }, code] as const),
  [{ kind: 'error_close', code: 1012 }, 1012],
]

test('a frame broken off in the middle ends the connection, and its number counts as not sent', async () => {
  await withSimulator({}, async (simulator) => {
    const client = await subscribedClient(simulator)
    simulator.inject('half_frame')
    assert.equal(await client.closed, 1006)
    const [account] = simulator.account().connections
    const sent = simulator.framesOf(1)
    assert.equal(account?.cause, 'half_frame')
    assert.deepEqual(account.skipped, [sent.length])
    assert.deepEqual(
      client.frames.map(({ crc }) => crc),
      sent.slice(0, client.frames.length).map(({ crc }) => crc),
    )
  })
  const pipe = new PassThrough()
  const sink = new FrameSink(pipe, 1000)
  sink.half('{"channel":"ticker"}')
  sink.flush()
  assert.deepEqual(pipe.read(), Buffer.from('\x81\x14{"channel"', 'latin1'))
})

test('an error is told before a close, a slow consumer is closed with 1008', async () => {
  await withSimulator({}, async (simulator) => {
    const [told, slow] = [await subscribedClient(simulator), await subscribedClient(simulator)]
    simulator.inject('error_close', 1)
    assert.equal(await told.closed, 1011)
    assert.equal(told.frames.at(-1)?.text, '{"type":"error","message":"internal error"}')
    assert.equal(simulator.account().connections[0]?.unnumbered, 1)
    simulator.inject('slow_consumer', 2)
    assert.equal(await slow.closed, 1008)
  })
})

test('a fault for a product strikes no other', async () => {
  await withSimulator({}, async (simulator) => {
    simulator.inject({ kind: 'missing_product', product: 'ETH-USD' })
    simulator.inject({ kind: 'epoch_event_time', product: 'SOL-USD' })
    const client = await Client.connect(simulator)
    client.subscribe('level2', ids)
    const struck = await client.find(({ text }) => text.includes('"event_time":"1970-01-01T00:00:00Z"'))
    assert.ok(struck.text.includes('"type":"snapshot","product_id":"SOL-USD"'))
    await client.find(({ text }) => text.includes('{"level2":["BTC-USD","SOL-USD"]}'))
  })
})

test('frames struck by chance: what was delivered and what was left out are the account’s ranges', async () => {
  const faultChances = [
    { kind: 'drop', chance: 0.02 },
    { kind: 'reorder', chance: 0.02 },
    { kind: 'duplicate', chance: 0.02 },
  ] as const
  await withSimulator({ faultChances }, async (simulator) => {
    const client = await subscribedClient(simulator)
    await client.count(1500)
    await simulator.pause()
    const [account] = simulator.account().connections
    assert.ok(account !== undefined)
    await client.count(account.frames)
    const received = client.envelopes.map((frame) => Number(frame.sequence_num))
    assert.deepEqual(
      [...new Set(received)].sort((a, b) => a - b),
      account.delivered.flatMap(([from, until]) => Array.from({ length: until - from }, (_, i) => from + i)),
    )
    for (const numbers of [account.skipped, account.duplicated, account.reordered])
      assert.ok(numbers.length > 5, `${numbers.length}`)
    assert.equal(received.length, new Set(received).size + account.duplicated.length)
  })
})

test('a client sees each way a connection ends', async () => {
  await withSimulator({}, async (simulator) => {
    for (const [i, [fault, code]] of endings.entries()) {
      const client = await subscribedClient(simulator)
      simulator.inject(fault, i + 1)
      assert.equal(await client.closed, code)
      const account = simulator.account().connections[i]
      assert.deepEqual([account?.cause, account?.closeCode], [fault.kind, fault.code ?? null])
    }
  })
})

test('refused connects answer with the given status until the time is over', async () => {
  await withSimulator({}, async (simulator) => {
    simulator.inject({ kind: 'refuse_connects', ms: 60_000, code: 429 })
    await assert.rejects(Client.connect(simulator), /Unexpected server response: 429/)
    simulator.inject({ kind: 'refuse_connects', ms: 0 })
    await Client.connect(simulator)
  })
})

test('a huge frame has the size that was asked for, and the account knows it', async () => {
  await withSimulator({}, async (simulator) => {
    const client = await subscribedClient(simulator)
    const body = JSON.stringify({ kind: 'huge_frame', bytes: 1_000_000 })
    await fetch(`${simulator.controlUrl}/fault`, { method: 'POST', body })
    const { text, crc } = await client.find(({ text }) => text.includes('"huge"'))
    assert.equal(text.length, 1_000_000)
    assert.doesNotThrow(() => JSON.parse(text))
    await simulator.pause()
    assert.ok(simulator.framesOf(1).some((frame) => frame.sequence === -1 && frame.crc === crc))
  })
})

test('random faults strike and every numbered frame stays accounted for', async () => {
  const endings = [
    'silence',
    'reset',
    'close',
    'error_close',
    'slow_consumer',
    'refuse_connects',
    'half_frame',
  ]
  const kinds = usualKinds.filter((kind) => !endings.includes(kind))
  await withSimulator({ faults: kinds, faultRate: 100 }, async (simulator) => {
    const client = await subscribedClient(simulator)
    const skipped = (): number => simulator.account().connections[0]?.skipped.length ?? 0
    // Which fault strikes when depends on how fast the machine is: go on until one has left a frame out.
    for (let frames = 1500; frames === 1500 || skipped() === 0; frames += 500) await client.count(frames)
    await simulator.pause()
    const [account] = simulator.account().connections
    assert.ok(account !== undefined && account.skipped.length > 0)
    const sent = simulator.framesOf(1)
    await client.count(sent.length)
    assert.deepEqual(
      client.frames.map(({ crc }) => crc),
      sent.map(({ crc }) => crc),
    )
    const seen = new Set(sent.map(({ sequence }) => sequence).concat(account.skipped))
    const last = Math.max(...seen)
    const missing = Array.from({ length: last + 1 }, (_, i) => i).filter((sequence) => !seen.has(sequence))
    assert.deepEqual(missing, [])
  })
})
