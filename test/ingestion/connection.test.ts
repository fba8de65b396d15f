/** One connection against servers that refuse, break the protocol or keep a subscribe unanswered. */

import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { WebSocketServer, type WebSocket } from 'ws'
import { systemClock } from '../../src/cli/system-clock.ts'
import type { Clock } from '../../src/core/clock.ts'
import { Budget } from '../../src/ingestion/budget.ts'
import { Connection, type ConnectionDeps } from '../../src/ingestion/connection.ts'
import { watchdogs } from '../../src/ingestion/connection-state.ts'
import { ReceiveClock } from '../../src/ingestion/receive-clock.ts'
import { dialWebSocket } from '../../src/ingestion/socket.ts'
import { coinbase } from '../../src/venue/coinbase.ts'
import { ManualClock } from '../segment/manual-clock.ts'
import { openLog, type ObservedLog } from './observed-log.ts'
import { sends, serverFrame, withRawServer, type Respond } from './raw-server.ts'

/** What waits for ever has failed. */
const patience = { timeout: 30_000 }

function depsOf(log: ObservedLog, url: string, clock: Clock): ConnectionDeps {
  let made = 0
  return {
    clock,
    random: () => 0.1,
    receiveClock: new ReceiveClock(clock),
    log,
    venue: coinbase,
    url,
    dial: dialWebSocket,
    connects: new Budget(8),
    messages: new Budget(8),
    makeToken: null,
    nextConnection: () => ++made,
    onEvent: () => undefined,
    queueBytesLow: 0,
  }
}

function connectionOf(deps: ConnectionDeps, products: readonly string[] = ['BTC-USD']): Connection {
  return new Connection(deps, {
    products,
    channels: ['level2', coinbase.keepAliveChannel],
    keepAliveChannel: coinbase.keepAliveChannel,
    bookChannel: coinbase.bookChannel,
    labelOf: coinbase.labelOf,
  })
}

function answers(status: string): Respond {
  return (socket) => socket.end(`HTTP/1.1 ${status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`)
}

const good = '{"channel":"ticker","sequence_num":0,"events":[]}'
const text = 0x81
const goodFrame = serverFrame(text, good)
const hundredMegabytes = Buffer.from([text, 0x7f, 0, 0, 0, 0, 0x05, 0xf5, 0xe1, 0x00])
const crumbs = Buffer.concat([
  serverFrame(0x01, '{'),
  ...Array.from({ length: 5_000 }, () => serverFrame(0x00, ' ')),
])

/** 1012 and words, as a close frame has them. */
const farewell = Buffer.concat([Buffer.from([0x88, 9, 0x03, 0xf4]), Buffer.from('restart')])

interface Scenario {
  readonly what: string
  readonly respond: Respond
  readonly scheme?: string
  readonly cause: 'closed' | 'connect_failed'
  readonly code: number
  readonly reason: RegExp
  readonly frames: number
}

const broken = { cause: 'closed', code: 1006, frames: 1 } as const
const refused = { cause: 'connect_failed', code: 1006, frames: 0 } as const

const scenarios: readonly Scenario[] = [
  {
    ...broken,
    what: 'a frame of 100 MB is refused at its length',
    respond: sends(Buffer.concat([goodFrame, hundredMegabytes])),
    reason: /Max payload size exceeded/,
  },
  {
    ...broken,
    what: 'a message in thousands of pieces is refused',
    respond: sends(Buffer.concat([goodFrame, crumbs])),
    reason: /Too many message fragments/,
  },
  {
    ...broken,
    what: 'half a frame before a reset is no frame',
    // Not before the client has spoken: a reset takes what it has not read yet.
    respond: sends(Buffer.concat([goodFrame, goodFrame.subarray(0, 20)]), (socket) =>
      socket.once('data', () => socket.resetAndDestroy()),
    ),
    reason: /ECONNRESET|code 1006/,
  },
  {
    ...broken,
    what: 'a continuation without a start breaks the protocol',
    respond: sends(Buffer.concat([goodFrame, serverFrame(0x80, 'x')])),
    reason: /invalid opcode 0/,
  },
  {
    ...broken,
    what: 'compression that was not agreed on breaks the protocol',
    respond: sends(Buffer.concat([goodFrame, serverFrame(0xc1, 'x')])),
    reason: /RSV1 must be clear/,
  },
  {
    ...broken,
    what: 'a farewell is kept with its code and words',
    code: 1012,
    respond: sends(Buffer.concat([goodFrame, farewell]), (socket) => socket.end()),
    reason: /^restart$/,
  },
  { ...refused, what: 'too many requests', respond: answers('429 Too Many Requests'), reason: /429/ },
  { ...refused, what: 'a server in trouble', respond: answers('503 Service Unavailable'), reason: /503/ },
  {
    ...refused,
    what: 'a redirect is not followed',
    respond: answers('302 Found\r\nLocation: ws://169.254.169.254/'),
    reason: /302/,
  },
  { ...refused, what: 'an answer that is no WebSocket', respond: answers('200 OK'), reason: /200/ },
  {
    ...refused,
    what: 'a hang-up in the handshake',
    respond: (socket) => socket.destroy(),
    reason: /hang up|ECONNRESET/,
  },
  {
    ...refused,
    what: 'a server without TLS at a wss address',
    scheme: 'wss',
    respond: answers('400 Bad Request'),
    reason: /SSL|TLS|EPROTO|wrong version/i,
  },
]

for (const scenario of scenarios) {
  test(`${scenario.what}: ${scenario.cause}, and it comes back`, patience, async (t) => {
    await withRawServer(scenario.respond, async (port) => {
      const { log, finish } = await openLog(t)
      const connection = connectionOf(
        depsOf(log, `${scenario.scheme ?? 'ws'}://127.0.0.1:${port}`, systemClock),
      )
      connection.start()
      // The second end shows that the first was not the last word.
      await log.until(() => log.all('connection_closed').length === 2)
      await connection.stop()
      const [closed] = log.all('connection_closed')
      assert.equal(closed!['cause'], scenario.cause)
      assert.equal(closed!['code'], scenario.code)
      assert.match(String(closed!['reason']), scenario.reason)
      const [gap] = log.all('gap')
      assert.deepEqual([gap!['cause'], gap!['before_seq']], [scenario.cause, null])
      assert.equal(gap!['after_seq'], scenario.frames === 0 ? null : 0)
      const frames = (await finish()).flatMap((segment) => segment.frames)
      const first = frames.filter((one) => one.conn.endsWith('-1')).map((one) => one.bytes.toString())
      assert.deepEqual(first, scenario.frames === 0 ? [] : [good])
    })
  })
}

test('nobody there is a failed connect that says so', patience, async (t) => {
  const { log, finish } = await openLog(t)
  const connection = connectionOf(depsOf(log, 'ws://127.0.0.1:9', systemClock))
  connection.start()
  await log.until(() => log.all('connection_closed').length === 1)
  await connection.stop()
  assert.match(String(log.all('connection_closed')[0]!['reason']), /ECONNREFUSED/)
  await finish()
})

test(
  'a frame in pieces of one byte, broken UTF-8 and binary are recorded byte for byte',
  patience,
  async (t) => {
    const payloads = [
      Buffer.from(good),
      Buffer.from([0x7b, 0xff, 0xfe, 0x7d]),
      Buffer.from([0, 1, 2, 10, 13, 255]),
    ]
    const bytes = Buffer.concat([
      serverFrame(text, payloads[0]!),
      serverFrame(text, payloads[1]!),
      serverFrame(0x82, payloads[2]!),
    ])
    const piecemeal = sends(Buffer.alloc(0), (socket) => {
      let at = 0
      const next = (): void => {
        if (at < bytes.length) socket.write(bytes.subarray(at, ++at), next)
      }
      next()
    })
    await withRawServer(piecemeal, async (port) => {
      const { log, finish } = await openLog(t)
      const connection = connectionOf(depsOf(log, `ws://127.0.0.1:${port}`, systemClock))
      connection.start()
      await log.until(() => log.frames === 3)
      await connection.stop()
      const frames = (await finish()).flatMap((segment) => segment.frames)
      assert.deepEqual(
        frames.map((one) => one.bytes.toString('hex')),
        payloads.map((one) => one.toString('hex')),
      )
    })
  },
)

interface Heard {
  readonly socket: WebSocket
  readonly messages: { readonly channel: string; readonly product_ids?: readonly string[] }[]
}

/** A server that answers nothing by itself, and what it heard. */
async function withListener(
  use: (url: string, heard: Heard[], until: (holds: () => boolean) => Promise<void>) => Promise<void>,
): Promise<void> {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' })
  await once(server, 'listening')
  const heard: Heard[] = []
  let wake: () => void = () => undefined
  server.on('connection', (socket) => {
    const one: Heard = { socket, messages: [] }
    heard.push(one)
    socket.on('message', (data: Buffer) => {
      one.messages.push(JSON.parse(data.toString()) as Heard['messages'][number])
      wake()
    })
  })
  const until = async (holds: () => boolean): Promise<void> => {
    while (!holds()) await new Promise<void>((resolve) => (wake = resolve))
  }
  try {
    await use(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`, heard, until)
  } finally {
    for (const client of server.clients) client.terminate()
    server.close()
  }
}

/** Lets the clock's timers due within `ms` happen. */
async function opened(log: ObservedLog, clock: ManualClock, connections: number): Promise<void> {
  clock.advance(200)
  await log.until(() => log.all('connection_opened').length === connections)
}

test(
  'a product that an ack lacked is asked for again, and keeps no other subscribe waiting',
  patience,
  async (t) => {
    await withListener(async (url, heard, until) => {
      const clock = new ManualClock()
      const { log, finish } = await openLog(t)
      const deps = depsOf(log, url, clock)
      const first = connectionOf(deps, ['BTC-USD', 'ETH-USD'])
      first.start()
      await opened(log, clock, 1)
      clock.advance(1_000)
      await until(() => heard[0]?.messages.length === 2)
      heard[0]!.socket.send(
        '{"channel":"subscriptions","sequence_num":0,"events":[{"subscriptions":{"level2":["BTC-USD"]}}]}',
      )
      await log.until(() => log.all('watchdog').length === 1)
      const second = connectionOf(deps, ['SOL-USD'])
      second.start()
      await opened(log, clock, 2)
      clock.advance(1_000)
      await until(() => heard[1]?.messages.length === 2)
      clock.advance(watchdogs.askAgainMs)
      await until(() => heard[0]?.messages.length === 3)
      assert.deepEqual(heard[0]!.messages[2], {
        type: 'subscribe',
        channel: 'level2',
        product_ids: ['ETH-USD'],
      })
      await Promise.all([first.stop(), second.stop()])
      assert.equal(clock.timers, 0, 'a stopped connection leaves no timer')
      await finish()
    })
  },
)

test('products listed later are subscribed on the same socket, and on the next', patience, async (t) => {
  await withListener(async (url, heard, until) => {
    const clock = new ManualClock()
    const { log, finish } = await openLog(t)
    const connection = connectionOf(depsOf(log, url, clock))
    connection.start()
    await opened(log, clock, 1)
    connection.setProducts(['BTC-USD', 'NEW-USD'])
    clock.advance(1_000)
    await until(() => heard[0]?.messages.length === 3)
    assert.deepEqual(
      heard[0]!.messages.map((one) => one.product_ids),
      [['BTC-USD'], undefined, ['NEW-USD']],
    )
    heard[0]!.socket.terminate()
    await log.until(() => log.all('connection_closed').length === 1)
    clock.advance(1_000)
    await opened(log, clock, 2)
    clock.advance(1_000)
    await until(() => heard[1]?.messages.length === 2)
    assert.deepEqual(heard[1]!.messages[0]!.product_ids, ['BTC-USD', 'NEW-USD'])
    await connection.stop()
    await finish()
  })
})

test('each subscribe carries a token of its own', patience, async (t) => {
  await withListener(async (url, heard, until) => {
    const clock = new ManualClock()
    const { log, finish } = await openLog(t)
    let tokens = 0
    const connection = connectionOf({
      ...depsOf(log, url, clock),
      makeToken: async () => `token-${++tokens}`,
    })
    connection.start()
    await opened(log, clock, 1)
    clock.advance(1_000)
    await until(() => heard[0]?.messages.length === 2)
    assert.deepEqual(
      heard[0]!.messages.map((one) => (one as unknown as { jwt: string }).jwt),
      ['token-1', 'token-2'],
    )
    assert.deepEqual(
      log.all('subscribe_sent').map((one) => one['authenticated']),
      [true, true],
    )
    await connection.stop()
    await finish()
  })
})
