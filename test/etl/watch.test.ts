import assert from 'node:assert/strict'
import { test } from 'node:test'
import { VaultError } from '../../src/core/errors.ts'
import { watchEtl, type WatchReport } from '../../src/etl/watch.ts'
import type { EtlOptions } from '../../src/etl/run.ts'
import type { EtlSummary } from '../../src/etl/run-report.ts'
import { FarStore } from '../storage/far-store.ts'
import { Bench, collect, etlOptions, smallConvert } from './job-bench.ts'

interface Watched extends WatchReport {
  readonly rounds: EtlSummary[]
  readonly failures: unknown[]
  readonly sleeps: number[]
}

/** Watches until `isEnough`; what happens at each sleep is up to `onSleep`. */
async function watched(
  bench: Bench,
  worker: Awaited<ReturnType<Bench['worker']>>,
  onSleep: (count: number) => Promise<boolean>,
  etl: EtlOptions = etlOptions,
): Promise<Watched & ReturnType<typeof collect>> {
  const controller = new AbortController()
  const sleeps: number[] = []
  const clock = {
    ...worker.clock,
    sleep: async (delayMs: number, signal: AbortSignal) => {
      sleeps.push(delayMs)
      bench.time.ms += delayMs
      if (await onSleep(sleeps.length)) controller.abort(new Error('stop'))
      signal.throwIfAborted()
    },
  }
  const rounds: EtlSummary[] = []
  const failures: unknown[] = []
  const report = {
    ...collect(),
    rounds,
    failures,
    sleeps,
    onRound: (summary: EtlSummary) => void rounds.push(summary),
    onRoundFailed: (error: unknown) => void failures.push(error),
  }
  await watchEtl({ ...worker, clock, random: () => 0.5 }, etl, { pollMs: 30_000 }, report, controller.signal)
  return report
}

test('a watcher converts what becomes ready, at once while there is a backlog, and ends when told', async () => {
  const bench = await Bench.make()
  await bench.segment(1, 1, ['BTC-USD'])
  const report = await watched(bench, await bench.worker(), async (count) => {
    if (count === 1) await bench.segment(2, 10, ['BTC-USD'])
    return count === 3
  })
  assert.deepEqual(
    report.rounds.map((round) => round.segments),
    [1, 0, 1, 0, 0],
  )
  assert.deepEqual(report.sleeps, [30_000, 30_000, 30_000])
  assert.deepEqual(await bench.globbed(), [1, 10])
  await bench.remove()
})

test('a segment that fails again and again rests longer each time, and the others do not wait for it', async () => {
  const bench = await Bench.make()
  await bench.segment(1, 1, ['BTC-USD'])
  await bench.segment(2, 10, ['BTC-USD'])
  const convert = smallConvert('mdv test')
  let tries = 0
  const worker = await bench.worker(bench.store, {}, async (sources, plan, signal) => {
    if (sources[0]!.label.endsWith('1') && ++tries < 4) throw new VaultError('corrupt', 'bad')
    return convert(sources, plan, signal)
  })
  const report = await watched(bench, worker, async (count) => {
    if (count === 2) await bench.segment(3, 20, ['BTC-USD'])
    return count === 12
  })
  const rests = report.events.flatMap((event) => (event.kind === 'failed' ? [event.retryMs] : []))
  assert.deepEqual(rests, [5000, 10_000, 20_000])
  assert.equal(tries, 4)
  assert.deepEqual(await bench.globbed(), [1, 10, 20])
  await bench.remove()
})

test('a full disk is no end of watching: rounds are tried again, later each time', async () => {
  const bench = await Bench.make()
  await bench.segment(1, 1, ['BTC-USD'])
  let isFull = true
  const convert = smallConvert('mdv test')
  const worker = await bench.worker(bench.store, {}, async (sources, plan, signal) => {
    if (isFull) throw new VaultError('preflight', 'the disk is full')
    return convert(sources, plan, signal)
  })
  const report = await watched(bench, worker, async (count) => {
    if (count >= 2) isFull = false
    return count === 6
  })
  assert.ok(report.failures.length >= 1)
  assert.deepEqual(await bench.globbed(), [1])
  await bench.remove()
})

test('strangers in raw/ready are told once, not each round', async () => {
  const bench = await Bench.make()
  await bench.write('raw/ready/coinbase/notes.txt', 'x')
  const report = await watched(bench, await bench.worker(), async (count) => count === 3)
  assert.equal(report.events.filter((event) => event.kind === 'foreign').length, 1)
  assert.deepEqual(
    report.rounds.map((round) => round.foreign),
    [1, 1, 1],
  )
  await bench.remove()
})

test('a round with nothing due costs a bucket two listings, also while segments wait for their batch', async () => {
  const bench = await Bench.make(true)
  await bench.segment(1, 1, ['BTC-USD'])
  const store = new FarStore(bench.store)
  const worker = { ...(await bench.worker()), store }
  const asked: string[] = []
  const batch = { segmentsMax: 3, bytesMax: 1e9, waitMs: Number.MAX_SAFE_INTEGER, isPatient: true }
  const report = await watched(
    bench,
    worker,
    async (count) => {
      asked.push(Object.values(store.requests).join(' '))
      store.requests.list = store.requests.get = store.requests.read = store.requests.head = 0
      store.requests.put = store.requests.delete = 0
      if (count === 3) await bench.segment(2, 2, ['BTC-USD'])
      if (count === 5) await bench.segment(3, 3, ['BTC-USD'])
      return count === 8
    },
    { ...etlOptions, batch },
  )
  const quiet = '0 0 0 2 0 0'
  assert.deepEqual(asked.slice(1, 3), [quiet, quiet])
  assert.equal(asked[3], '0 0 2 2 0 0', 'first and last line of what is new')
  assert.equal(asked[4], quiet)
  assert.deepEqual(asked.slice(6), [quiet, quiet], 'what came of it need not be read back')
  assert.deepEqual(
    report.rounds.map((round) => round.segments),
    [0, 0, 0, 0, 0, 3, 0, 0, 0],
  )
  assert.equal((await bench.state()).receipts.length, 1)
  await bench.remove()
})

test('however many rounds work, the archive is looked through once in a quarter of an hour', async () => {
  const bench = await Bench.make(true)
  const store = new FarStore(bench.store)
  const worker = { ...(await bench.worker()), store }
  const retention = { maxDays: 10_000, maxBytes: null }
  await bench.segment(1, 1, ['BTC-USD'])
  const report = await watched(
    bench,
    worker,
    async (count) => {
      await bench.segment(count + 1, count * 10, ['BTC-USD'])
      return count === 60
    },
    { ...etlOptions, archive: true, retention },
  )
  assert.equal((await bench.state()).archive.length, 60)
  // Sixty rounds that work, half a minute apart.
  assert.equal(report.rounds.filter((round) => round.segments > 0).length, 60)
  assert.equal(store.listed.filter((prefix) => prefix === 'raw/archive/coinbase/').length, 2)
  await bench.remove()
})

test('what is kept too long goes also when nothing is converted any more, and when the disk is full', async () => {
  const bench = await Bench.make(true)
  const worker = await bench.worker()
  // A limit that the second archived segment exceeds.
  const etl = { ...etlOptions, archive: true, retention: { maxDays: null, maxBytes: 1 } }
  const archived: number[] = []
  await bench.segment(1, 1, ['BTC-USD'])
  await watched(
    bench,
    worker,
    async (count) => {
      if (count === 1) await bench.segment(2, 10, ['BTC-USD'])
      archived.push((await bench.state()).archive.length)
      return count === 40
    },
    etl,
  )
  assert.deepEqual([archived[0], archived[1], archived.at(-1)], [0, 1, 0], 'half a minute apart')

  const convert = smallConvert('mdv test')
  let isFull = false
  const filling = await bench.worker(bench.store, {}, async (sources, plan, signal) => {
    if (isFull) throw new VaultError('preflight', 'the disk is full')
    return convert(sources, plan, signal)
  })
  const kept: number[] = []
  await watched(
    bench,
    filling,
    async (count) => {
      if (count === 1) await bench.segment(3, 20, ['BTC-USD'])
      if (count === 2) {
        kept.push((await bench.state()).archive.length)
        isFull = true
        await bench.segment(4, 30, ['BTC-USD'])
      }
      if (count === 3) kept.push((await bench.state()).archive.length)
      return count === 4
    },
    etl,
  )
  assert.deepEqual(kept, [1, 0], 'at once')
  await bench.remove()
})
