import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { test } from 'node:test'
import { VaultError } from '../../src/core/errors.ts'
import { planBatches, type Batch, type BatchLimits } from '../../src/etl/batch-plan.ts'
import { convertReady, type JobOutcome, type ReadySegment } from '../../src/etl/job.ts'
import { runEtlOnce } from '../../src/etl/run.ts'
import type { SegmentHeader } from '../../src/segment/format.ts'
import { readySegmentKey } from '../../src/storage/keys.ts'
import { Bench, collect, etlOptions, never, smallConvert } from './job-bench.ts'
import { CrashingStore } from '../storage/crashing-store.ts'

const batch: BatchLimits = { segmentsMax: 3, bytesMax: 1e9, waitMs: 1, isPatient: false }
const batching = { ...etlOptions, batch }
const options = { deleteRaw: true, archive: false, wait: false }
const rows = [1, 2, 3, 5, 6, 7, 8, 9]
const lines = [...rows, 4, 10].sort((a, b) => a - b)

/** Three segments of one recorder, in a store without files. */
async function prepare(): Promise<Bench> {
  const bench = await Bench.make(true)
  await bench.segment(1, 1, ['BTC-USD', 'ETH-USD', 'BTC-USD', 'reject', 'ETH-USD'])
  await bench.segment(2, 6, ['BTC-USD', 'BTC-USD', 'BTC-USD'])
  await bench.segment(3, 9, ['ETH-USD', 'reject'])
  return bench
}

async function segmentsOf(bench: Bench, counters: readonly number[]): Promise<Batch> {
  const segments: ReadySegment[] = []
  for (const counter of counters) {
    const label = `segment_20251203T14_0000${counter}`
    const key = readySegmentKey('coinbase', label)
    const text = (await bench.store.get(key))!.toString('utf8')
    const { segment: header } = JSON.parse(text.split('\n')[0]!) as { segment: SegmentHeader }
    segments.push({ key, label, sizeBytes: text.length, header, lastN: null, readyMs: 0 })
  }
  return segments as unknown as Batch
}

async function settle(bench: Bench, software: string): Promise<void> {
  for (let round = 0; round < 3; round++)
    await runEtlOnce(await bench.worker(bench.store, { software }), batching, collect(), never)
}

async function assertDone(bench: Bench, message: string): Promise<void> {
  await bench.assertWhole(lines)
  assert.deepEqual(await bench.globbed(), rows, message)
  assert.deepEqual(await bench.committed(), rows, message)
  const { ready, claims, staged } = await bench.state()
  assert.deepEqual([ready, claims, staged], [[], [], []], message)
}

test('a batch becomes one job with one part of each product, and its receipt names every segment with its digest', async () => {
  const bench = await prepare()
  const summary = await runEtlOnce(await bench.worker(), batching, collect(), never)
  assert.deepEqual([summary.segments, summary.parts, summary.lines], [3, 2, 10])
  const { receipts } = await bench.state()
  assert.deepEqual(
    receipts.map(({ job, sources }) => [job, sources.map(({ first_n, lines: count }) => [first_n, count])]),
    [
      [
        'segment_20251203T14_00001_abcdefghij_1',
        [
          [1, 5],
          [6, 3],
          [9, 2],
        ],
      ],
    ],
  )
  await assertDone(bench, 'all of it')
  await bench.remove()
})

for (const { name, software, counters } of [
  { name: 'an equal one did the same batch', software: 'mdv test', counters: [1, 2, 3] },
  { name: 'one of another version did the same batch', software: 'mdv other', counters: [1, 2, 3] },
  { name: 'another did one of its segments alone', software: 'mdv test', counters: [2] },
  { name: 'another did its end as a batch', software: 'mdv other', counters: [2, 3] },
])
  test(`a worker that slept before any step of a batch wakes after ${name}, and harms nothing`, async () => {
    for (let at = 1, isOver = false; !isOver; at++) {
      const bench = await prepare()
      const sleeper = await heldUp(bench, await segmentsOf(bench, [1, 2, 3]), at)
      isOver = sleeper.isOver
      if (!isOver) {
        const other = await bench.worker(bench.store, { software })
        const left = (await bench.state()).ready.length
        // After the commit there may be nothing left of what it wants.
        if (left === 3)
          await convertReady(other, await segmentsOf(bench, counters), { ...options, wait: true }, never)
        const committed = await bench.committed()
        await sleeper.resume()
        const after = await bench.committed()
        assert.deepEqual(
          committed.filter((row) => !after.includes(row)),
          [],
          `the sleeper harmed what was committed, step ${at}`,
        )
      }
      await settle(bench, software)
      await assertDone(bench, `step ${at}`)
      await bench.remove()
    }
  })

async function heldUp(bench: Bench, segments: Batch, at: number) {
  const store = new CrashingStore(bench.store)
  const { promise: isResumed, resolve: resume } = promised()
  const { promise: isReached, resolve: reached } = promised()
  store.pause = async (change) => {
    if (change !== at) return
    reached()
    await isResumed
  }
  const ending = convertReady(await bench.worker(store), segments, options, never).then(
    (outcome): JobOutcome | VaultError => outcome,
    (error: unknown) => {
      if (error instanceof VaultError) return error
      throw error
    },
  )
  const isOver = await Promise.race([isReached.then(() => false), ending.then(() => true)])
  return {
    isOver,
    async resume(): Promise<void> {
      resume()
      await ending
    },
  }
}

function promised(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve = (): void => undefined
  const promise = new Promise<void>((done) => (resolve = done))
  return { promise, resolve }
}

test('a segment that was away while its batch was converted goes alone when it comes back', async () => {
  for (const counter of [1, 2, 3]) {
    const bench = await prepare()
    const dying = new CrashingStore(bench.store, 4)
    const worker = await bench.worker(dying)
    await assert.rejects(runEtlOnce(worker, batching, collect(), never))
    bench.kill(worker.pid)
    const key = readySegmentKey('coinbase', `segment_20251203T14_0000${counter}`)
    const bytes = await bench.store.get(key)
    await bench.store.delete(key)
    await settle(bench, 'mdv test')
    await bench.write(key, bytes!)
    await settle(bench, 'mdv test')
    await assertDone(bench, `segment ${counter}`)
    const { receipts } = await bench.state()
    assert.deepEqual(
      receipts.map(({ sources }) => sources.length).sort((a, b) => a - b),
      [1, 2],
      `segment ${counter} has a job of its own`,
    )
    await bench.remove()
  }
})

test('parts of a table are on their way while the next ones are made, and the receipt comes after all of them', async () => {
  const bench = await Bench.make(true)
  await bench.segment(1, 1, ['BTC-USD', 'ETH-USD'])
  const store = new CrashingStore(bench.store)
  const order: string[] = []
  const { promise: firstIsPut, resolve } = promised()
  store.pause = async (_change, key) => {
    if (key.endsWith('.parquet') || key.includes('_receipts'))
      order.push(key.includes('_receipts') ? 'receipt' : 'part')
    if (key.includes('BTC-USD')) resolve()
  }
  const small = smallConvert('mdv test')
  const worker = await bench.worker(store, {}, (sources, plan, signal) => {
    let isFirst = true
    return small(
      sources,
      {
        ...plan,
        onParts: (parts) => {
          plan.onParts(parts)
          isFirst = false
        },
      },
      signal,
    ).then(async (conversion) => {
      assert.equal(isFirst, false)
      // A conversion that ends only once its first part is in the vault: it would never end if parts waited for it.
      await firstIsPut
      return conversion
    })
  })
  await runEtlOnce(worker, etlOptions, collect(), never)
  assert.deepEqual(order, ['part', 'part', 'receipt'])
  await bench.remove()
})

test('while one segment is converted the next is fetched, no more than that, and nothing of it stays', async () => {
  const bench = await Bench.make(true)
  for (const counter of [1, 2, 3, 4]) await bench.segment(counter, counter * 10, ['BTC-USD'])
  const small = smallConvert('mdv test')
  const copies: number[] = []
  const worker = await bench.worker(bench.store, {}, async (sources, plan, signal) => {
    await sources[0]!.file(signal)
    // The copy of the next one is there before this one is done.
    const isLast = sources[0]!.label.endsWith('4')
    const count = async (): Promise<number> =>
      (await readdir(worker.scratchDir)).filter((name) => name.startsWith('source_')).length
    if (!isLast) while ((await count()) < 2);
    copies.push(await count())
    if (sources[0]!.label.endsWith('3')) throw new VaultError('corrupt', 'it fails')
    return small(sources, plan, signal)
  })
  const summary = await runEtlOnce(worker, { ...etlOptions, waitForHeld: false }, collect(), never)
  assert.deepEqual([summary.segments, summary.failed, copies], [3, 1, [2, 2, 2, 1]])
  assert.deepEqual(await readdir(worker.scratchDir), [])
  await bench.remove()
})

function ready(n: number, lastN: number, sizeBytes = 10, recorder = 'abcdefghij', readyMs = 0): ReadySegment {
  const label = `segment_20251203T14_${String(n).padStart(5, '0')}`
  const header = { recorder, n } as SegmentHeader
  return { key: readySegmentKey('coinbase', label), label, sizeBytes, header, lastN, readyMs }
}

const counts = (segments: readonly ReadySegment[], limits: Partial<BatchLimits>, nowMs = 0): number[][] =>
  planBatches(
    segments,
    { segmentsMax: 16, bytesMax: 1000, waitMs: 1, isPatient: false, ...limits },
    nowMs,
  ).map((each) => each.map(({ header }) => header.n))

test('segments go together that one recorder wrote without a hole, as many and as much as is allowed', () => {
  const run = [ready(1, 1), ready(2, 2), ready(3, 3), ready(5, 5), ready(6, 6)]
  assert.deepEqual(counts(run, {}), [
    [1, 2, 3],
    [5, 6],
  ])
  assert.deepEqual(counts(run, { segmentsMax: 2 }), [[1, 2], [3], [5, 6]])
  assert.deepEqual(counts(run, { bytesMax: 25 }), [[1, 2], [3], [5, 6]])
  assert.deepEqual(counts([ready(1, 1, 5000), ready(2, 2)], {}), [[1], [2]])
  const mixed = [ready(1, 1), ready(2, 2, 10, 'jihgfedcba'), ready(2, 2), ready(3, 3, 10, 'jihgfedcba')]
  assert.deepEqual(counts(mixed, {}), [
    [1, 2],
    [2, 3],
  ])
})

test('with a latency allowance a batch waits until it is full or its oldest segment has waited long enough', () => {
  const run = [ready(1, 1), ready(2, 2), ready(3, 3), ready(4, 4)]
  const patient = { waitMs: 900, isPatient: true }
  assert.deepEqual(counts(run, patient, 899), [])
  assert.deepEqual(counts(run, patient, 900), [[1, 2, 3, 4]])
  assert.deepEqual(counts(run, { ...patient, segmentsMax: 3 }, 0), [[1, 2, 3]])
  assert.deepEqual(counts(run, { ...patient, bytesMax: 35 }, 0), [[1, 2, 3]])
  assert.deepEqual(counts(run, { ...patient, isPatient: false }, 0), [[1, 2, 3, 4]])
})

test('without one a backlog is cut so that other workers find something too, and a few segments go one by one', () => {
  const run = Array.from({ length: 40 }, (_, i) => ready(i + 1, i + 1))
  const sizes = counts(run, { waitMs: 0 }).map((each) => each.length)
  assert.deepEqual(sizes, [5, 5, 4, 4, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1])
  assert.deepEqual(
    counts(run.slice(0, 8), { waitMs: 0 }).map((each) => each.length),
    Array.from({ length: 8 }, () => 1),
  )
})
