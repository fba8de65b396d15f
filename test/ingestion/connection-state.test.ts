/** Every state against every event, then the watchdogs at their limits. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import {
  reconnectBackoff,
  step,
  watchdogs,
  type Action,
  type ConnectionEvent,
  type ConnectionSettings,
  type ConnectionState,
  type Streaming,
} from '../../src/ingestion/connection-state.ts'
import { coinbase } from '../../src/venue/coinbase.ts'

type StateKind = ConnectionState['kind']
type EventKind = ConnectionEvent['kind']

const settings: ConnectionSettings = {
  products: ['BTC-USD', 'ETH-USDC'],
  channels: ['level2', 'heartbeats'],
  keepAliveChannel: 'heartbeats',
  bookChannel: 'level2',
  labelOf: coinbase.labelOf,
}
const nowMs = 100_000

const streaming: Streaming = {
  kind: 'streaming',
  attempt: 2,
  sinceMs: nowMs - 1_000,
  unacked: [],
  unsnapped: [],
  begun: [],
  heartbeat: null,
}

const states: Record<StateKind, ConnectionState> = {
  waiting: { kind: 'waiting', attempt: 2 },
  connecting: { kind: 'connecting', attempt: 2, sinceMs: nowMs - 1_000 },
  streaming,
  closing: { kind: 'closing', attempt: 2, sinceMs: nowMs - 1_000, cause: 'silence', reason: 'no frame' },
  stopped: { kind: 'stopped', cause: 'stopped', reason: 'told to stop' },
}

const events: Record<EventKind, ConnectionEvent> = {
  due: { kind: 'due' },
  opened: { kind: 'opened' },
  added: { kind: 'added', products: ['NEW-USD'] },
  removed: { kind: 'removed', products: ['ETH-USDC'] },
  sent: { kind: 'sent', channel: 'level2', products: ['BTC-USD'] },
  notice: { kind: 'notice', notice: { kind: 'error', message: 'authentication failure' } },
  jumped: { kind: 'jumped', afterSequence: 4, beforeSequence: 7, fromNs: '10', untilNs: '20' },
  disordered: { kind: 'disordered', expected: 9, got: 5, isDuplicate: true },
  refused_by_queue: { kind: 'refused_by_queue' },
  tick: { kind: 'tick', lastFrameMs: nowMs - 100 },
  closed: {
    kind: 'closed',
    code: 1006,
    reason: 'reset',
    position: { frames: 9, lastSequence: 8, lastRecvNs: '30' },
    untilNs: '40',
  },
  stop: { kind: 'stop' },
}

/** An action in a few words. */
function words(action: Action): string {
  switch (action.kind) {
    case 'subscribe':
      return `subscribe ${action.channel}(${action.products.join(',')})${action.afterMs === 0 ? '' : ` in ${action.afterMs}`}`
    case 'unsubscribe':
      return `unsubscribe ${action.channel}(${action.products.join(',')})`
    case 'log': {
      const [kind, body] = Object.entries(action.event)[0] as [string, Record<string, unknown>]
      return `log ${kind}${typeof body['cause'] === 'string' ? ` ${body['cause']}` : ''}`
    }
    case 'retry':
      return action.whenQueueIsLow ? 'retry when the queue is low' : 'retry'
    case 'connect':
    case 'hang_up':
      return action.kind
  }
}

function take(
  state: ConnectionState,
  event: ConnectionEvent,
  atMs = nowMs,
): { state: ConnectionState; actions: readonly Action[]; said: string } {
  const [next, actions] = step(state, event, atMs, settings, () => 0.5)
  return { state: next, actions, said: [next.kind, ...actions.map(words)].join('; ') }
}

/** What a state becomes; what is done. A state or event that is missing here does not compile. */
const table: Record<StateKind, Record<EventKind, string>> = {
  waiting: {
    due: 'connecting; connect',
    opened: 'waiting',
    added: 'waiting',
    removed: 'waiting',
    sent: 'waiting',
    notice: 'waiting',
    jumped: 'waiting; log gap sequence',
    disordered: 'waiting; log disorder',
    refused_by_queue: 'waiting',
    tick: 'waiting',
    closed: 'waiting',
    stop: 'stopped',
  },
  connecting: {
    due: 'connecting',
    opened: 'streaming; subscribe level2(BTC-USD,ETH-USDC); subscribe heartbeats()',
    added: 'connecting',
    removed: 'connecting',
    sent: 'connecting',
    notice: 'connecting',
    jumped: 'connecting; log gap sequence',
    disordered: 'connecting; log disorder',
    refused_by_queue: 'connecting',
    tick: 'connecting',
    closed: 'waiting; log gap connect_failed; log connection_closed connect_failed; retry',
    stop: 'stopped; hang_up',
  },
  streaming: {
    due: 'streaming',
    opened: 'streaming',
    added: 'streaming; subscribe level2(NEW-USD)',
    removed: 'streaming; unsubscribe level2(ETH-USDC)',
    sent: 'streaming',
    notice: 'streaming; log watchdog',
    jumped: 'closing; log gap sequence; hang_up',
    disordered: 'streaming; log disorder',
    refused_by_queue: 'closing; hang_up',
    tick: 'streaming',
    closed: 'waiting; log gap closed; log connection_closed closed; retry',
    stop: 'stopped; hang_up',
  },
  closing: {
    due: 'closing',
    opened: 'closing',
    added: 'closing',
    removed: 'closing',
    sent: 'closing',
    notice: 'closing',
    jumped: 'closing; log gap sequence',
    disordered: 'closing; log disorder',
    refused_by_queue: 'closing',
    tick: 'closing',
    closed: 'waiting; log gap silence; log connection_closed silence; retry',
    stop: 'stopped',
  },
  stopped: {
    due: 'stopped',
    opened: 'stopped',
    added: 'stopped',
    removed: 'stopped',
    sent: 'stopped',
    notice: 'stopped',
    jumped: 'stopped; log gap sequence',
    disordered: 'stopped; log disorder',
    refused_by_queue: 'stopped',
    tick: 'stopped',
    closed: 'stopped; log gap stopped; log connection_closed stopped',
    stop: 'stopped',
  },
}

for (const state of Object.keys(table) as StateKind[]) {
  for (const event of Object.keys(table[state]) as EventKind[]) {
    test(`${state} meets ${event}: ${table[state][event]}`, () => {
      assert.equal(take(states[state], events[event]).said, table[state][event])
    })
  }
}

function gapsOf(actions: readonly Action[]): unknown[] {
  return actions.flatMap((one) => (one.kind === 'log' && 'gap' in one.event ? [one.event.gap] : []))
}

test('a jump names the missing numbers, both times and the products', () => {
  assert.deepEqual(gapsOf(take(streaming, events.jumped).actions), [
    {
      cause: 'sequence',
      after_seq: 4,
      before_seq: 7,
      missing: 2,
      from_ns: '10',
      until_ns: '20',
      products: settings.products,
    },
  ])
})

test('a first number other than 0 is written down and not worth a new connection', () => {
  const first = take(streaming, { ...events.jumped, afterSequence: -1 } as ConnectionEvent)
  assert.equal(first.said, 'streaming; log gap sequence')
  assert.deepEqual(
    gapsOf(first.actions).map((gap) => ({ ...(gap as object), products: 0 })),
    [
      {
        cause: 'sequence',
        after_seq: null,
        before_seq: 7,
        missing: 7,
        from_ns: '10',
        until_ns: '20',
        products: 0,
      },
    ],
  )
})

test('an end is an open gap after the last number received', () => {
  assert.deepEqual(gapsOf(take(streaming, events.closed).actions), [
    {
      cause: 'closed',
      after_seq: 8,
      before_seq: null,
      missing: null,
      from_ns: '30',
      until_ns: '40',
      products: settings.products,
    },
  ])
})

test('who is told to stop while hanging up still says why it hung up', () => {
  const stopping = take(states.closing, events.stop)
  assert.equal(
    take(stopping.state, events.closed).said,
    'stopped; log gap silence; log connection_closed silence',
  )
})

test('silence is five seconds after the last frame, or after the opening where none came', () => {
  const at = (lastFrameMs: number, sinceMs: number): string =>
    take({ ...streaming, sinceMs }, { kind: 'tick', lastFrameMs }).said
  assert.equal(at(nowMs - watchdogs.silenceMs, 0), 'streaming')
  assert.equal(at(nowMs - watchdogs.silenceMs - 1, 0), 'closing; log watchdog; hang_up')
  assert.equal(at(0, nowMs - watchdogs.silenceMs), 'streaming')
  assert.equal(at(0, nowMs - watchdogs.silenceMs - 1), 'closing; log watchdog; hang_up')
})

test('a subscribe without an ack hangs up after ten seconds, and its ack ends that', () => {
  const sent = take(streaming, { kind: 'sent', channel: 'heartbeats', products: [] }).state
  const late = nowMs + watchdogs.ackMs
  const tick = { kind: 'tick', lastFrameMs: late } as const
  assert.equal(take(sent, tick, late).said, 'streaming')
  assert.equal(take(sent, tick, late + 1).said, 'closing; log watchdog; hang_up')
  const subscriptions = new Map([['heartbeats', ['heartbeats']]])
  const acked = take(sent, { kind: 'notice', notice: { kind: 'ack', subscriptions } }).state
  assert.equal(take(acked, tick, late + 1).said, 'streaming')
})

test('a refused subscribe is not answered by the ack of another channel', () => {
  const level2 = take(streaming, { kind: 'sent', channel: 'level2', products: settings.products }).state
  const both = take(level2, { kind: 'sent', channel: 'heartbeats', products: [] }).state
  const subscriptions = new Map([['heartbeats', ['heartbeats']]])
  const acked = take(both, { kind: 'notice', notice: { kind: 'ack', subscriptions } }).state as Streaming
  assert.deepEqual(
    acked.unacked.map((one) => one.channel),
    ['level2'],
  )
})

function sentBooks(): ConnectionState {
  return take(streaming, { kind: 'sent', channel: 'level2', products: settings.products }).state
}

function snapshot(state: ConnectionState, ...products: string[]): ConnectionState {
  return take(state, { kind: 'notice', notice: { kind: 'snapshot', products } }).state
}

function ack(state: ConnectionState, ...products: string[]): ReturnType<typeof take> {
  const subscriptions = new Map([['level2', products]])
  return take(state, { kind: 'notice', notice: { kind: 'ack', subscriptions } })
}

test('a book that does not begin within fifteen seconds hangs up, and is named', () => {
  const one = ack(snapshot(sentBooks(), 'BTC-USD'), 'BTC-USD', 'ETH-USD').state
  const late = nowMs + watchdogs.snapshotMs
  assert.equal(take(one, { kind: 'tick', lastFrameMs: late }, late).said, 'streaming')
  const { said, actions } = take(one, { kind: 'tick', lastFrameMs: late + 1 }, late + 1)
  assert.equal(said, 'closing; log watchdog; hang_up')
  assert.deepEqual(actions[0], {
    kind: 'log',
    event: {
      watchdog: {
        what: 'missing_snapshot',
        detail: 'no snapshot of ETH-USDC for 15000 ms',
        products: ['ETH-USDC'],
      },
    },
  })
})

test('an USDC pair is answered under the name of the USD pair, in ack and snapshot', () => {
  const done = ack(snapshot(sentBooks(), 'BTC-USD', 'ETH-USD'), 'BTC-USD', 'ETH-USD')
  assert.equal(done.said, 'streaming')
  assert.deepEqual((done.state as Streaming).unsnapped, [])
})

test('a product that the ack lacks is asked for again later, and nobody waits for its book', () => {
  const lacking = ack(snapshot(sentBooks(), 'BTC-USD'), 'BTC-USD')
  assert.equal(lacking.said, 'streaming; log watchdog; subscribe level2(ETH-USDC) in 30000')
  const late = nowMs + watchdogs.snapshotMs + 1
  assert.equal(take(lacking.state, { kind: 'tick', lastFrameMs: late }, late).said, 'streaming')
})

test('a book that flows although the ack lacked it is not waited for when it is asked for again', () => {
  const lacking = ack(snapshot(sentBooks(), 'BTC-USD', 'ETH-USD'), 'BTC-USD').state
  const again = take(lacking, { kind: 'sent', channel: 'level2', products: ['ETH-USDC'] }).state as Streaming
  assert.deepEqual(again.unsnapped, [])
})

test('of a product that is gone neither ack nor book is waited for; back again, its book is', () => {
  const both = snapshot(sentBooks(), 'BTC-USD', 'ETH-USD')
  const asked = take(both, { kind: 'sent', channel: 'level2', products: ['ETH-USDC'] }).state
  const gone = take(asked, events.removed).state as Streaming
  assert.deepEqual(
    [gone.unacked.map((one) => one.products), gone.unsnapped, gone.begun],
    [[['BTC-USD']], [], ['BTC-USD']],
  )
  assert.equal(ack(gone, 'BTC-USD').said, 'streaming')
  const back = take(gone, { kind: 'sent', channel: 'level2', products: ['ETH-USDC'] }).state as Streaming
  assert.deepEqual(
    back.unsnapped.map((one) => one.product),
    ['ETH-USDC'],
  )
})

test('a connection whose products are all gone subscribes its heartbeats only, never all products', () => {
  const [, actions] = step(states.connecting, events.opened, nowMs, { ...settings, products: [] }, () => 0.5)
  assert.deepEqual(actions.map(words), ['subscribe heartbeats()'])
})

test('a server that answers without an end is hung up on after twenty seconds', () => {
  const { connecting } = states
  assert.equal(take(connecting, events.tick, nowMs - 1_000 + watchdogs.answerMs).said, 'connecting')
  const late = take(connecting, events.tick, nowMs - 999 + watchdogs.answerMs)
  assert.equal(late.said, 'closing; hang_up')
  assert.match(take(late.state, events.closed).said, /^waiting; log gap connect_failed/)
})

test('a heartbeat counter that jumps is written down, whatever it began with', () => {
  const beat = (state: ConnectionState, counter: number): ReturnType<typeof take> =>
    take(state, { kind: 'notice', notice: { kind: 'heartbeat', counter } })
  const first = beat(streaming, 139_651)
  assert.equal(first.said, 'streaming')
  assert.equal(beat(first.state, 139_652).said, 'streaming')
  assert.equal(beat(first.state, 139_654).said, 'streaming; log watchdog')
})

test('back-off doubles to a minute and begins anew after a healthy minute', () => {
  let state: ConnectionState = { kind: 'connecting', attempt: 0, sinceMs: nowMs }
  const waits: number[] = []
  for (let i = 0; i < 10; i++) {
    const closed = take(state, events.closed)
    waits.push(...closed.actions.flatMap((one) => (one.kind === 'retry' ? [one.afterMs * 2] : [])))
    state = take(closed.state, events.due).state
  }
  assert.deepEqual(waits, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000])
  assert.equal(reconnectBackoff.limitMs, 60_000)
  const shaky = take({ ...streaming, sinceMs: nowMs - watchdogs.healthyMs + 1 }, events.closed).state
  const healthy = take({ ...streaming, sinceMs: nowMs - watchdogs.healthyMs }, events.closed).state
  assert.deepEqual(
    [shaky, healthy],
    [
      { kind: 'waiting', attempt: 3 },
      { kind: 'waiting', attempt: 1 },
    ],
  )
})

test('after an overflow it comes back when the queue is low', () => {
  const refused = take(streaming, events.refused_by_queue)
  assert.equal(
    take(refused.state, events.closed).said,
    'waiting; log gap overflow; log connection_closed overflow; retry when the queue is low',
  )
})

test('whatever happens: one connect at a time, one open gap for each end, nothing begun after a stop', () => {
  const anyEvent = fc.constantFrom(...Object.values(events), {
    ...events.tick,
    lastFrameMs: 0,
  } as ConnectionEvent)
  fc.assert(
    fc.property(fc.array(anyEvent, { maxLength: 60 }), (happenings) => {
      let state: ConnectionState = { kind: 'waiting', attempt: 0 }
      // What the performer guarantees: a socket opens and closes once, and only if there is one.
      let socket: 'none' | 'connecting' | 'open' = 'none'
      for (const event of happenings) {
        if (event.kind === 'opened' && socket !== 'connecting') continue
        if (event.kind === 'closed' && socket === 'none') continue
        if (event.kind === 'opened') socket = 'open'
        if (event.kind === 'closed') socket = 'none'
        const { state: next, actions } = take(state, event)
        const did = (kind: Action['kind']): number => actions.filter((one) => one.kind === kind).length
        if (did('connect') > 0) {
          assert.equal(socket, 'none')
          socket = 'connecting'
        }
        const open = gapsOf(actions).filter((gap) => (gap as { before_seq: unknown }).before_seq === null)
        assert.equal(open.length, event.kind === 'closed' ? 1 : 0)
        assert.equal(did('retry'), event.kind === 'closed' && next.kind !== 'stopped' ? 1 : 0)
        if (state.kind === 'stopped') assert.deepEqual([next.kind, did('subscribe')], ['stopped', 0])
        assert.equal(next.kind === 'waiting', socket === 'none' && next.kind !== 'stopped')
        state = next
      }
    }),
    { numRuns: 500 },
  )
})
