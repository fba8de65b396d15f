/**
 * A recorder against the simulator, both in this process. What was recorded is read by another reader than the vault's own and
 * compared, frame by frame, with the simulator's account of what it sent.
 */

import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { systemClock } from '../../src/cli/system-clock.ts'
import type { Clock } from '../../src/core/clock.ts'
import { VaultError } from '../../src/core/errors.ts'
import { seededRandom } from '../../src/core/random.ts'
import { watchdogs } from '../../src/ingestion/connection-state.ts'
import { fetchText, type FetchText } from '../../src/ingestion/products.ts'
import { runIngestion, type IngestionOptions, type IngestionProgress } from '../../src/ingestion/run.ts'
import { dialWebSocket } from '../../src/ingestion/socket.ts'
import type { Simulator } from '../../src/simulator/simulator.ts'
import { realDisk, type Disk } from '../../src/storage/disk.ts'
import { coinbase } from '../../src/venue/coinbase.ts'
import { compareWithAccount, type Comparison } from '../../test-full/compare.ts'
import type { RecordedSegment } from '../../test-full/segment-lines.ts'
import { withSimulator } from '../simulator/client.ts'
import { openLog, type ObservedLog } from './observed-log.ts'

const patience = { timeout: 40_000 }
/** Waits between connects and between messages are short; what is measured is as it is. */
const hurried: Clock = {
  ...systemClock,
  after: (delayMs, callback) => systemClock.after(delayMs / 10, callback),
  sleep: (delayMs, signal) => systemClock.sleep(delayMs / 10, signal),
}
const books = ['level2']

interface Settings {
  readonly channels?: readonly string[]
  readonly products?: IngestionOptions['products']
  readonly clock?: Clock
  readonly disk?: Disk
  readonly queueBytesMax?: number
  readonly fetchText?: FetchText
  readonly makeToken?: () => Promise<string>
}

interface Recorded {
  readonly log: ObservedLog
  readonly said: string[]
  /** Stops the recorder and compares. */
  readonly stop: () => Promise<Ending>
  readonly running: Promise<IngestionProgress>
}

interface Ending {
  readonly progress: IngestionProgress
  readonly segments: RecordedSegment[]
  readonly comparison: Comparison
}

async function record(t: TestContext, simulator: Simulator, settings: Settings = {}): Promise<Recorded> {
  const { clock = hurried, disk = realDisk, queueBytesMax = 64 * 1024 * 1024 } = settings
  const { log, finish } = await openLog(t, { disk, queueBytesMax })
  const said: string[] = []
  const stopping = new AbortController()
  const running = runIngestion(
    {
      clock,
      random: seededRandom(3),
      log,
      venue: coinbase,
      fetchText: settings.fetchText ?? fetchText,
      dial: dialWebSocket,
      makeToken: settings.makeToken ?? null,
      report: () => undefined,
      say: (_subject, text) => said.push(text),
      host: 'test',
      pid: 1,
    },
    {
      wsUrl: simulator.wsUrl,
      restUrl: simulator.restUrl,
      products: settings.products ?? 'all',
      channels: settings.channels ?? books,
      software: 'mdv test',
      queueBytesMax,
    },
    stopping.signal,
  )
  const stop = async (): Promise<Ending> => {
    stopping.abort()
    const progress = await running
    const segments = await finish()
    return { progress, segments, comparison: compareWithAccount(segments, sentBy(simulator)) }
  }
  return { log, said, stop, running }
}

function sentBy(simulator: Simulator): Parameters<typeof compareWithAccount>[1] {
  return simulator.account().connections.map(({ id, clientPort, skipped }) => ({
    port: clientPort,
    skipped,
    frames: simulator.framesOf(id),
  }))
}

/** All channels are acknowledged and frames flow. */
async function flowing(log: ObservedLog, moreFrames = 200): Promise<void> {
  const from = log.frames
  await log.until(() => log.frames > from + moreFrames)
}

/** Faults strike while frames flow; afterwards nothing may be unexplained. */
async function strike(
  t: TestContext,
  act: (simulator: Simulator) => void,
  isSeen: (log: ObservedLog) => boolean,
  settings: Settings = {},
): Promise<Ending & Recorded> {
  const endings: (Ending & Recorded)[] = []
  await withSimulator({}, async (simulator) => {
    const recorded = await record(t, simulator, settings)
    await flowing(recorded.log)
    act(simulator)
    await recorded.log.until(() => isSeen(recorded.log))
    await flowing(recorded.log)
    await simulator.pause()
    endings.push({ ...recorded, ...(await recorded.stop()) })
  })
  assert.deepEqual(endings[0]!.comparison.differences, [])
  return endings[0]!
}

const opened = (log: ObservedLog): number => log.all('connection_opened').length

test(
  'three products on all channels, stopped in order: every frame sent is recorded, byte for byte',
  patience,
  async (t) => {
    await withSimulator({}, async (simulator) => {
      const { log, stop, said } = await record(t, simulator, { channels: coinbase.channels })
      await flowing(log, 3_000)
      await simulator.pause()
      await log.until(() => log.frames === simulator.totals().frames)
      const { comparison, progress, segments } = await stop()
      const { sent, recorded, lost, differences } = comparison
      assert.deepEqual([sent, recorded, lost, differences], [log.frames, log.frames, 0, []])
      assert.deepEqual([progress.frames, progress.gaps, progress.queuedBytes], [log.frames, 0, 0])
      const channels = new Set(
        segments
          .flatMap((one) => one.frames)
          .map((one) => /"channel":"(\w+)"/.exec(one.bytes.toString())?.[1]),
      )
      for (const channel of [
        'l2_data',
        'market_trades',
        'ticker',
        'ticker_batch',
        'candles',
        'status',
        'subscriptions',
      ])
        assert.ok(channels.has(channel), `${channel} was recorded`)
      assert.deepEqual(said, [])
      assert.ok(segments.every((one) => one.sealed))
      assert.deepEqual(
        log.all('gap').map((gap) => gap['cause']),
        ['stopped'],
      )
      assert.equal(log.all('recorder_stopped').length, 1)
    })
  },
)

test('a frame left out is an exact gap, and a new connection brings fresh books', patience, async (t) => {
  const { log, said } = await strike(
    t,
    (simulator) => simulator.inject('drop'),
    (log) => opened(log) === 2,
  )
  const [jump, end] = log.all('gap')
  assert.equal(jump!['cause'], 'sequence')
  assert.equal(Number(jump!['before_seq']) - Number(jump!['after_seq']), 2)
  assert.equal(jump!['missing'], 1)
  assert.deepEqual([end!['cause'], end!['before_seq']], ['resubscribe', null])
  assert.ok(Number(end!['after_seq']) >= Number(jump!['before_seq']))
  assert.match(said.join('\n'), /gap: sequence after \d+ before \d+/)
})

test('a frame sent twice is recorded twice, said to be a duplicate, and no gap', patience, async (t) => {
  const { log } = await strike(
    t,
    (simulator) => simulator.inject('duplicate'),
    (log) => log.all('disorder').length > 0,
  )
  assert.deepEqual(
    log.all('disorder').map((one) => one['kind']),
    ['duplicate'],
  )
  assert.deepEqual(
    log.all('gap').map((gap) => gap['cause']),
    ['stopped'],
  )
  assert.equal(opened(log), 1)
})

test('a frame sent after its successor is a gap that a late frame takes back', patience, async (t) => {
  const { log } = await strike(
    t,
    (simulator) => simulator.inject('reorder'),
    (log) => opened(log) === 2,
  )
  const [jump] = log.all('gap')
  const late = log.all('disorder')
  // It may not have been read any more when the gap hung up: then the open end of the connection covers it.
  assert.ok(late.length <= 1)
  for (const one of late)
    assert.deepEqual([one['kind'], one['got']], ['late', Number(jump!['after_seq']) + 1])
})

for (const [fault, code] of [
  [{ kind: 'reset' }, 1006],
  [{ kind: 'close', code: 1006 }, 1006],
  [{ kind: 'close', code: 1012 }, 1012],
] as const) {
  test(
    `the other side's ${JSON.stringify(fault)} is an open gap after the last frame`,
    patience,
    async (t) => {
      const { log } = await strike(
        t,
        (simulator) => simulator.inject(fault),
        (log) => opened(log) === 2,
      )
      const [gap] = log.all('gap')
      const [closed] = log.all('connection_closed')
      assert.deepEqual([gap!['cause'], gap!['before_seq']], ['closed', null])
      assert.deepEqual([closed!['cause'], closed!['code']], ['closed', code])
      assert.equal(gap!['after_seq'], closed!['last_seq'])
    },
  )
}

test('a server that refuses is asked again until it does not', patience, async (t) => {
  await withSimulator({}, async (simulator) => {
    simulator.inject({ kind: 'refuse_connects', ms: 400, code: 429 })
    const { log, stop, said } = await record(t, simulator)
    await log.until(() => opened(log) === 1)
    await flowing(log)
    const { comparison } = await stop()
    assert.deepEqual(comparison.differences, [])
    assert.match(said[0]!, /^no connection: .*429.*; trying again · look at the network and coinbase\.ws_url/)
    const refused = log.all('connection_closed').filter((one) => one['cause'] === 'connect_failed')
    assert.ok(refused.length >= 1)
    assert.match(String(refused[0]!['reason']), /429/)
  })
})

/** Monotonic time that can be made to leap, as for a process that was stopped. */
function leaping(): { clock: Clock; leap: (ms: number) => void } {
  let ahead = 0
  const clock: Clock = {
    ...hurried,
    monotonicMs: () => systemClock.monotonicMs() + ahead,
    monotonicNs: () => systemClock.monotonicNs() + BigInt(ahead) * 1_000_000n,
  }
  return { clock, leap: (ms) => (ahead += ms) }
}

test('a venue that falls silent is hung up on and called again', patience, async (t) => {
  const { clock, leap } = leaping()
  const act = (simulator: Simulator): void => {
    simulator.inject({ kind: 'silence', ms: 60_000 })
    leap(watchdogs.silenceMs)
  }
  const { log } = await strike(t, act, (log) => opened(log) === 2, { clock })
  assert.deepEqual(
    log.all('watchdog').map((one) => one['what']),
    ['silence'],
  )
  assert.deepEqual([log.all('gap')[0]!['cause'], log.all('gap')[0]!['before_seq']], ['silence', null])
})

test('who slept himself calls nobody silent, and takes up what was listed meanwhile', patience, async (t) => {
  await withSimulator({}, async (simulator) => {
    const { clock, leap } = leaping()
    const { log, stop, said } = await record(t, simulator, { clock })
    await flowing(log)
    simulator.listProduct('NEW-USD')
    leap(600_000)
    await log.until(() => log.all('subscribe_sent').length === 3)
    await flowing(log)
    const { comparison } = await stop()
    assert.deepEqual(comparison.differences, [])
    assert.deepEqual(log.all('products_changed'), [{ added: ['NEW-USD'], removed: [] }])
    assert.deepEqual(log.all('subscribe_sent')[2]!['products'], ['NEW-USD'])
    assert.deepEqual(
      log.all('watchdog').filter((one) => one['what'] !== 'heartbeat_jump'),
      [],
    )
    assert.equal(opened(log), 1)
    assert.deepEqual(said, ['products: listed NEW-USD'])
  })
})

for (const products of ['all', ['BTC-USD', 'ETH-USD']] as const)
  test(
    `a product that is delisted is unsubscribed, once, and missed by nobody: ${String(products)}`,
    patience,
    async (t) => {
      await withSimulator({ products: 3 }, async (simulator) => {
        const { clock, leap } = leaping()
        let looks = 0
        const counting: FetchText = async (url, signal) => {
          const body = await fetchText(url, signal)
          looks++
          return body
        }
        const channels = ['level2', 'market_trades']
        const { log, stop, said } = await record(t, simulator, {
          clock,
          products,
          channels,
          fetchText: counting,
        })
        await log.until(() => log.all('subscribe_sent').length === 3)
        await flowing(log)
        simulator.delistProduct('ETH-USD')
        leap(600_000)
        await log.until(() => looks === 2)
        assert.deepEqual(log.all('products_changed'), [])
        leap(60_000)
        await log.until(() => log.all('products_changed').length === 1)
        await flowing(log, 500)
        simulator.inject('reset')
        await log.until(() => opened(log) === 2)
        await flowing(log)
        leap(600_000)
        await log.until(() => looks === 4)
        await flowing(log)
        const { comparison, segments } = await stop()
        assert.deepEqual(comparison.differences, [])
        assert.deepEqual(log.all('products_changed'), [{ added: [], removed: ['ETH-USD'] }])
        assert.deepEqual(
          log.all('watchdog').filter((one) => one['what'] !== 'heartbeat_jump'),
          [],
        )
        assert.ok(said.includes('products: traded no more ETH-USD'), said.join('\n'))
        const acks = segments
          .flatMap((one) => one.frames)
          .map((one) => one.bytes.toString())
          .filter((text) => text.includes('"channel":"subscriptions"'))
        const withIt = acks.filter((text) => text.includes('ETH-USD')).length
        const [subscribes, unsubscribes] = [3, 2]
        assert.deepEqual([withIt, acks.length], [subscribes + 1, subscribes + unsubscribes + subscribes])
      })
    },
  )

/** A disk that takes nothing while it is shut. */
function gated(): { disk: Disk; shut: () => void; open: () => void } {
  let gate = Promise.resolve()
  let open = (): void => undefined
  const shut = (): void => {
    gate = new Promise((resolve) => (open = resolve))
  }
  const create: Disk['create'] = async (path) =>
    new Proxy(await realDisk.create(path), {
      get: (file, name) => {
        const method: unknown = Reflect.get(file, name)
        if (typeof method !== 'function') return method
        if (!String(name).startsWith('write')) return method.bind(file) as unknown
        return async (...given: unknown[]) => gate.then(() => method.apply(file, given) as unknown)
      },
    })
  return { disk: { ...realDisk, create }, shut, open: () => open() }
}

test(
  'a full queue is a gap of its own; recording goes on when the disk has taken it',
  patience,
  async (t) => {
    await withSimulator({}, async (simulator) => {
      const { disk, shut, open } = gated()
      const { log, stop } = await record(t, simulator, { disk, queueBytesMax: 2 * 1024 * 1024 })
      await flowing(log)
      shut()
      await log.until(() => log.all('connection_closed').length === 1)
      assert.equal(opened(log), 1)
      open()
      await log.until(() => opened(log) === 2)
      assert.ok(log.queuedBytes <= 1024 * 1024, 'it did not come back before the queue was low')
      await flowing(log)
      const { comparison } = await stop()
      assert.deepEqual(comparison.differences, [])
      assert.deepEqual([log.all('gap')[0]!['cause'], log.all('gap')[0]!['before_seq']], ['overflow', null])
    })
  },
)

test('a disk that takes nothing does not hold up the end', patience, async (t) => {
  await withSimulator({}, async (simulator) => {
    const { disk, shut, open } = gated()
    // What is waited for at the end is over at once.
    const sleep: Clock['sleep'] = (delayMs, signal) => systemClock.sleep(delayMs % 5_000, signal)
    const { log, stop, running } = await record(t, simulator, { disk, clock: { ...systemClock, sleep } })
    await flowing(log)
    shut()
    await flowing(log)
    const stopped = stop()
    assert.ok((await running).durableN < log.nextN - 1)
    open()
    assert.deepEqual((await stopped).comparison.differences, [])
  })
})

test(
  'sixty products are on three connections, none with more books than the venue takes',
  patience,
  async (t) => {
    await withSimulator({ products: 60, bookDepth: 5 }, async (simulator) => {
      const { log, stop } = await record(t, simulator)
      await log.until(() => log.all('subscribe_sent').length === 6)
      await flowing(log, 500)
      await simulator.pause()
      const { comparison } = await stop()
      assert.deepEqual(comparison.differences, [])
      assert.equal(opened(log), 3)
      const each = log.all('connection_opened').map((one) => (one['products'] as string[]).length)
      assert.equal(
        each.reduce((sum, one) => sum + one),
        60,
      )
      assert.ok(Math.max(...each) <= 25, each.join(' '))
      assert.deepEqual(log.all('watchdog'), [])
    })
  },
)

test('a product the venue does not have stops the start, with the nearest one', patience, async (t) => {
  await withSimulator({}, async (simulator) => {
    const { log, running } = await record(t, simulator, { products: ['BTC-USD', 'ETH-UDS'] })
    await assert.rejects(running, { kind: 'config', message: /no "ETH-UDS" \(did you mean "ETH-USD"\?\)/ })
    assert.equal(simulator.account().connections.length, 0)
    await log.close()
  })
})

test('a subscribe refused with a key says that none is needed', patience, async (t) => {
  await withSimulator({}, async (simulator) => {
    // The venue says the same to a channel it does not have as to a key it does not know.
    const channels = ['level2', 'nope']
    const refusal = 'watchdog: refused: authentication failure'
    const keyed = await record(t, simulator, { channels, makeToken: async () => 'a.b.c' })
    await keyed.log.until(() => keyed.said.length > 0)
    await keyed.stop()
    assert.match(
      keyed.said[0]!,
      new RegExp(`^${refusal} · correct coinbase.api_key .* public data needs none$`),
    )
    const bare = await record(t, simulator, { channels })
    await bare.log.until(() => bare.said.length > 0)
    await bare.stop()
    assert.equal(bare.said[0], refusal)
  })
})

test('a product list that cannot be had stops nobody who named his products', patience, async (t) => {
  await withSimulator({}, async (simulator) => {
    const fetchText = (): Promise<string> => Promise.reject(new VaultError('unavailable', 'no route'))
    const { log, stop, said } = await record(t, simulator, { products: ['BTC-USD'], fetchText })
    await flowing(log)
    const { comparison } = await stop()
    assert.deepEqual(comparison.differences, [])
    assert.deepEqual(said, ['could not check coinbase.product_ids: no route; going on'])
  })
})
