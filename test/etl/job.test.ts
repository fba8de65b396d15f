import assert from 'node:assert/strict'
import { test } from 'node:test'
import { VaultError } from '../../src/core/errors.ts'
import { claimTtlMs } from '../../src/etl/job-claim.ts'
import { convertReady, type JobOutcome, type ReadySegment } from '../../src/etl/job.ts'
import { runEtlOnce } from '../../src/etl/run.ts'
import type { SegmentHeader } from '../../src/segment/format.ts'
import { bindingKey, readySegmentKey, receiptKey } from '../../src/storage/keys.ts'
import { receiptGenerations } from '../../src/table/receipts.ts'
import { Bench, collect, etlOptions, never, segmentBytes, smallConvert } from './job-bench.ts'
import { CrashingStore, CrashNow } from '../storage/crashing-store.ts'

const products = ['BTC-USD', 'ETH-USD', 'BTC-USD', 'reject']
const lines = [1, 2, 3, 4]
const label = 'segment_20251203T14_00001'
const job = `${label}_abcdefghij_1`
const options = { deleteRaw: true, archive: false, wait: false }

async function prepare(): Promise<{ bench: Bench; ready: ReadySegment }> {
  const bench = await Bench.make()
  await bench.segment(1, 1, products)
  const header = (JSON.parse(segmentBytes(1, products).split('\n')[0]!) as { segment: SegmentHeader }).segment
  return {
    bench,
    ready: { key: readySegmentKey('coinbase', label), label, sizeBytes: 0, header, lastN: 4, readyMs: 0 },
  }
}

/** Runs until nothing is left to do, as the watcher would. */
async function settle(bench: Bench, software = 'mdv test'): Promise<void> {
  for (let round = 0; round < 3; round++)
    await runEtlOnce(await bench.worker(bench.store, { software }), etlOptions, collect(), never)
}

async function changesOfOneJob(): Promise<number> {
  const { bench, ready } = await prepare()
  const store = new CrashingStore(bench.store)
  await convertReady(await bench.worker(store), [ready], options, never)
  await bench.remove()
  return store.steps
}

/** Starts a job that is held up before its k-th change; `resume` lets it go on and gives its end. */
async function heldUp(bench: Bench, ready: ReadySegment, at: number, software = 'mdv test') {
  const store = new CrashingStore(bench.store)
  let resume = (): void => undefined
  const isResumed = new Promise<void>((resolve) => (resume = resolve))
  let reached = (): void => undefined
  const isReached = new Promise<void>((resolve) => (reached = resolve))
  store.pause = async (change) => {
    if (change !== at) return
    reached()
    await isResumed
  }
  const ending = convertReady(await bench.worker(store, { software }), [ready], options, never).then(
    (outcome): JobOutcome | VaultError => outcome,
    (error: unknown) => {
      if (error instanceof VaultError) return error
      throw error
    },
  )
  await Promise.race([isReached, ending])
  return {
    async resume(): Promise<JobOutcome | VaultError> {
      resume()
      return ending
    },
  }
}

test('two copies of a segment under two names, taken up by two workers at once, become rows once', async () => {
  const changes = await changesOfOneJob()
  for (let at = 1; at <= changes; at++) {
    const { bench, ready } = await prepare()
    const twin = 'segment_20251203T14_00002'
    const twinKey = readySegmentKey('coinbase', twin)
    await bench.write(twinKey, segmentBytes(1, products))
    // Both know their job by the name of their copy, since neither is bound.
    const second = await heldUp(bench, { ...ready, label: twin, key: twinKey }, 1)
    const first = await heldUp(bench, ready, at)
    await second.resume()
    await first.resume()
    await settle(bench)
    await bench.assertWhole(lines)
    const { receipts, ready: left } = await bench.state()
    assert.deepEqual([receipts.length, left], [1, []], `held up before change ${at}`)
    await bench.remove()
  }
})

for (const software of ['mdv test', 'mdv other'])
  test(`a worker that slept before any step wakes after ${software === 'mdv test' ? 'an equal one' : 'one of another version'} was done, and harms nothing`, async () => {
    const changes = await changesOfOneJob()
    assert.ok(changes > 6)
    for (let at = 1; at <= changes; at++) {
      const { bench, ready } = await prepare()
      const sleeper = await heldUp(bench, ready, at)
      const other = await convertReady(
        await bench.worker(bench.store, { software }),
        [ready],
        { ...options, wait: true },
        never,
      )
      assert.notEqual(other.kind, 'held', `the sleeper's claim was not taken over at step ${at}`)
      const committed = await bench.committed()
      await sleeper.resume()
      assert.deepEqual(
        await bench.committed(),
        committed,
        `the sleeper harmed what was committed, step ${at}`,
      )
      // What it had in flight beyond its lease may lie there once more: the next run's sweep knows it.
      await settle(bench, software)
      await bench.assertWhole(lines)
      assert.deepEqual(await bench.globbed(), [1, 2, 3])
      assert.deepEqual((await bench.state()).ready, [])
      assert.equal((await receiptGenerations(bench.store, 'coinbase', job)).length, 1)
      await bench.remove()
    }
  })

test('a worker that is awake keeps its job: a second one leaves it alone', async () => {
  const { bench, ready } = await prepare()
  const first = await heldUp(bench, ready, 4)
  const second = await convertReady(await bench.worker(), [ready], options, never)
  assert.equal(second.kind, 'held')
  assert.deepEqual(await bench.committed(), [])
  const ending = await first.resume()
  assert.ok(!(ending instanceof VaultError) && ending.kind === 'converted')
  assert.deepEqual(await bench.globbed(), [1, 2, 3])
  await bench.remove()
})

test('two workers interleaved at any two steps commit one set of parts', async () => {
  const changes = await changesOfOneJob()
  for (let first = 1; first <= changes; first++)
    for (const second of [5, 7]) {
      const { bench, ready } = await prepare()
      const a = await heldUp(bench, ready, first)
      // The second takes over a claim that ran out, and is held up itself while the first goes on.
      bench.time.ms += claimTtlMs
      bench.kill(1)
      const b = await heldUp(bench, ready, second, 'mdv other')
      await a.resume()
      await b.resume()
      await settle(bench, 'mdv other')
      await bench.assertWhole(lines)
      assert.deepEqual(await bench.globbed(), [1, 2, 3], `held up at ${first} and ${second}`)
      assert.deepEqual(await bench.committed(), [1, 2, 3])
      assert.deepEqual((await bench.state()).ready, [])
      await bench.remove()
    }
})

test('a receipt whose parts were removed by another plan is followed by the next generation', async () => {
  const { bench, ready } = await prepare()
  await convertReady(await bench.worker(), [ready], { ...options, deleteRaw: false }, never)
  const [part] = (await bench.state()).receipts[0]!.parts
  await bench.store.delete(part!.key)
  await settle(bench)
  const generations = await receiptGenerations(bench.store, 'coinbase', job)
  assert.deepEqual(
    generations.map((each) => each.generation),
    [1, 2],
  )
  await bench.assertWhole(lines)
  assert.deepEqual(await bench.globbed(), [1, 2, 3])
  assert.deepEqual((await bench.state()).staged, [])
  await bench.remove()
})

test('a receipt whose answer was lost is found to be committed, and raw goes', async () => {
  const { bench, ready } = await prepare()
  const store = new CrashingStore(bench.store)
  // The put lands and throws; the worker lives on and sees the same process try again.
  store.pause = async (_change, key) => {
    if (!key.includes('_receipts')) return
    store.pause = async () => undefined
    await bench.store.putIfAbsent(key, Buffer.from('{}'))
    await bench.store.delete(key)
    throw new VaultError('unavailable', 'no answer')
  }
  const worker = await bench.worker(store)
  await assert.rejects(convertReady(worker, [ready], options, never), /no answer/)
  assert.deepEqual((await bench.state()).ready, [ready.key], 'nothing is deleted on an unknown outcome')
  assert.deepEqual(await bench.globbed(), [1, 2, 3])
  const outcome = await convertReady(worker, [ready], options, never)
  assert.equal(outcome.kind, 'converted')
  assert.deepEqual((await bench.state()).ready, [])
  await bench.remove()
})

test('a segment that is bound keeps its job under another file name', async () => {
  const { bench, ready } = await prepare()
  const dying = new CrashingStore(bench.store, 4)
  const first = await bench.worker(dying)
  await assert.rejects(convertReady(first, [ready], options, never), CrashNow)
  bench.kill(first.pid)
  assert.notEqual(await bench.store.head(bindingKey('coinbase', 'abcdefghij', 1, 1)), undefined)

  const renamed = 'segment_20251203T15_00007'
  await bench.write(readySegmentKey('coinbase', renamed), segmentBytes(1, products))
  await bench.store.delete(ready.key)
  await settle(bench)
  assert.notEqual(await bench.store.head(receiptKey('coinbase', job, 1)), undefined)
  const { receipts, ready: left } = await bench.state()
  assert.deepEqual(
    receipts.map((each) => each.job),
    [job],
  )
  assert.deepEqual(left, [])
  assert.deepEqual(await bench.globbed(), [1, 2, 3])
  await bench.remove()
})

test('raw bytes that the receipt does not name are left alone', async () => {
  const { bench, ready } = await prepare()
  await convertReady(await bench.worker(), [ready], options, never)
  await bench.write(ready.key, segmentBytes(1, [...products, 'BTC-USD']))
  await assert.rejects(
    convertReady(await bench.worker(), [ready], options, never),
    (error) => error instanceof VaultError && error.kind === 'corrupt' && /left alone/.test(error.message),
  )
  assert.deepEqual((await bench.state()).ready, [ready.key])
  await bench.remove()
})

test('a part under our name with other bytes makes the next plan, with more digits', async () => {
  const { bench, ready } = await prepare()
  const probe = await prepare()
  await convertReady(await probe.bench.worker(), [probe.ready], options, never)
  const { key } = (await probe.bench.state()).receipts[0]!.parts[0]!
  await probe.bench.remove()

  await bench.write(key, '{"rows":[]}\nsomething else')
  const outcome = await convertReady(await bench.worker(), [ready], options, never)
  assert.equal(outcome.kind, 'converted')
  const { receipts } = await bench.state()
  assert.match(receipts[0]!.parts[0]!.key, /_[0-9a-f]{16}\.parquet$/)
  assert.deepEqual(await bench.globbed(), [1, 2, 3])
  await bench.remove()
})

test('an empty segment becomes a receipt without parts', async () => {
  const bench = await Bench.make()
  await bench.segment(1, 1, [])
  await settle(bench)
  const { receipts, ready, parts } = await bench.state()
  assert.equal(receipts.length, 1)
  assert.deepEqual([receipts[0]!.parts, receipts[0]!.sources[0]!.last_n, ready, parts], [[], null, [], []])
  await bench.remove()
})

test('a claim is renewed while its holder works, and lost past its deadline even when nobody took it', async () => {
  const { bench, ready } = await prepare()
  let slow: (() => Promise<void>) | undefined
  const convert = smallConvert('mdv test')
  const worker = await bench.worker(bench.store, {}, async (sources, plan, signal) => {
    await slow?.()
    signal.throwIfAborted()
    return convert(sources, plan, signal)
  })
  const clock = worker.clock
  slow = async () => {
    bench.time.ms += claimTtlMs + 1
    await clock.fire()
  }
  assert.equal((await convertReady(worker, [ready], options, never)).kind, 'held')
  assert.deepEqual(await bench.globbed(), [])
  bench.kill(worker.pid)

  const next = await bench.worker(bench.store, {}, async (sources, plan, signal) => {
    for (let i = 0; i < 5; i++) {
      bench.time.ms += claimTtlMs / 3
      const before = await bench.keys('raw/processing/')
      await nextClock.fire()
      // Renewed when the claim's generation is another, and the old one gone.
      for (let now = before; now.length !== 1 || now[0] === before[0];)
        now = await bench.keys('raw/processing/')
    }
    return convert(sources, plan, signal)
  })
  const nextClock = next.clock
  assert.equal((await convertReady(next, [ready], options, never)).kind, 'converted')
  await bench.remove()
})
