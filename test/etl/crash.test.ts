import assert from 'node:assert/strict'
import { test } from 'node:test'
import { forEachAtOnce } from '../../src/core/at-once.ts'
import { convertAgain } from '../../src/etl/job-again.ts'
import { convertReady, type ReadySegment } from '../../src/etl/job.ts'
import { runEtlOnce, type EtlOptions } from '../../src/etl/run.ts'
import type { SegmentHeader } from '../../src/segment/format.ts'
import { readySegmentKey } from '../../src/storage/keys.ts'
import { Bench, collect, Crash, CrashingStore, etlOptions, never, type CrashMode } from './job-bench.ts'

const products = ['BTC-USD', 'ETH-USD', 'BTC-USD', 'reject', 'ETH-USD']
const twoSegments = [1, 2, 3, 4, 5, 6, 7, 8]
const threeSegments = [...twoSegments, 9, 10]

/** Two segments, the second one small, that one recorder wrote one after the other. */
async function prepare(isFar: boolean): Promise<Bench> {
  const bench = await Bench.make(isFar)
  await bench.segment(1, 1, products)
  await bench.segment(2, 6, ['BTC-USD', 'BTC-USD', 'BTC-USD'])
  return bench
}

/** Crashes are tried side by side: most of a run waits for the disk. */
const crashesAtOnce = 8

async function run(bench: Bench, store = bench.store, options: EtlOptions = etlOptions): Promise<void> {
  await runEtlOnce(await bench.worker(store), options, collect(), never)
}

interface Story {
  readonly name: string
  readonly options: EtlOptions
  /** What was done before the run that crashes. */
  readonly before: (bench: Bench) => Promise<void>
  readonly modes: readonly CrashMode[]
  /** Workers see a store without files. */
  readonly isFar?: true
}

const nothing = async (): Promise<void> => undefined
const archiving: EtlOptions = { ...etlOptions, archive: true }
const batch = { segmentsMax: 3, bytesMax: 1e9, waitMs: 1, isPatient: false }
const batching: EtlOptions = { ...etlOptions, batch }

/** A third segment, so that the batch has one in the middle. */
async function third(bench: Bench): Promise<void> {
  await bench.segment(3, 9, ['ETH-USD', 'reject'])
}

/** A worker that died as soon as all three were bound. */
async function bound(bench: Bench): Promise<void> {
  await third(bench)
  const dying = new CrashingStore(bench.store, 4, 'landed')
  const worker = await bench.worker(dying)
  await assert.rejects(runEtlOnce(worker, batching, collect(), never), Crash)
  bench.kill(worker.pid)
  assert.equal((await bench.keys('processed/coinbase/_jobs/')).length, 3)
}

const stories: readonly Story[] = [
  { name: 'a conversion', options: etlOptions, before: nothing, modes: ['landed', 'half'] },
  {
    name: 'a conversion with archive',
    options: archiving,
    before: nothing,
    modes: ['landed', 'half'],
  },
  {
    name: 'a conversion that keeps raw',
    options: { ...etlOptions, deleteRaw: false },
    before: nothing,
    modes: ['landed'],
  },
  {
    name: 'a conversion from the archive',
    options: { ...archiving, fromArchive: true },
    before: async (bench) => {
      const older = await bench.worker(bench.store, { software: 'mdv before' })
      await runEtlOnce(older, archiving, collect(), never)
    },
    modes: ['landed', 'half'],
  },
  {
    name: 'a conversion after software changed in the middle of one',
    options: etlOptions,
    before: async (bench) => {
      const dying = new CrashingStore(bench.store, 5, 'landed')
      const worker = await bench.worker(dying, { software: 'mdv before' })
      await assert.rejects(runEtlOnce(worker, etlOptions, collect(), never), Crash)
      bench.kill(worker.pid)
    },
    modes: ['landed'],
  },
  { name: 'a conversion in a bucket', options: etlOptions, before: nothing, modes: ['landed'], isFar: true },
  {
    name: 'a conversion with archive in a bucket',
    options: archiving,
    before: nothing,
    modes: ['landed'],
    isFar: true,
  },
  {
    name: 'a conversion from the archive in a bucket',
    options: { ...archiving, fromArchive: true },
    before: async (bench) => {
      const older = await bench.worker(bench.store, { software: 'mdv before' })
      await runEtlOnce(older, archiving, collect(), never)
    },
    modes: ['landed'],
    isFar: true,
  },
  { name: 'a batch', options: batching, before: third, modes: ['landed', 'half'] },
  {
    name: 'a batch with archive in a bucket',
    options: { ...archiving, batch },
    before: third,
    modes: ['landed'],
    isFar: true,
  },
  {
    name: 'a batch from the archive',
    options: { ...archiving, batch, fromArchive: true },
    before: async (bench) => {
      await third(bench)
      const older = await bench.worker(bench.store, { software: 'mdv before' })
      await runEtlOnce(older, { ...archiving, batch }, collect(), never)
    },
    modes: ['landed', 'half'],
  },
  {
    name: 'a batch after software changed in the middle of one',
    options: batching,
    before: async (bench) => {
      await third(bench)
      const dying = new CrashingStore(bench.store, 7, 'landed')
      const worker = await bench.worker(dying, { software: 'mdv before' })
      await assert.rejects(runEtlOnce(worker, batching, collect(), never), Crash)
      bench.kill(worker.pid)
    },
    modes: ['landed'],
  },
  {
    name: 'a batch of which one was bound to another job',
    options: batching,
    before: async (bench) => {
      await third(bench)
      const [ready] = await readyOf(bench, 2)
      const dying = new CrashingStore(bench.store, 2, 'landed')
      const worker = await bench.worker(dying)
      const options = { deleteRaw: true, archive: false, wait: false }
      await assert.rejects(convertReady(worker, [ready], options, never), Crash)
      bench.kill(worker.pid)
    },
    modes: ['landed', 'half'],
  },
  {
    name: 'a batch bound with a segment of which a line was damaged since',
    options: batching,
    before: async (bench) => {
      await bound(bench)
      const key = readySegmentKey('coinbase', 'segment_20251203T14_00002')
      const text = (await bench.store.get(key))!.toString('utf8')
      await bench.write(key, text.replace('"test":"BTC-USD"', '"test":"BTC-EUR"'))
    },
    modes: ['landed'],
  },
  ...[1, 2, 3].flatMap((counter): Story[] => [
    {
      name: `a batch bound with its segment ${counter}, which was away while it was converted and came back`,
      options: batching,
      before: async (bench) => {
        await bound(bench)
        const key = readySegmentKey('coinbase', `segment_20251203T14_0000${counter}`)
        const bytes = await bench.store.get(key)
        await bench.store.delete(key)
        await run(bench, bench.store, batching)
        await bench.write(key, bytes!)
      },
      modes: ['landed'],
    },
  ]),
]

async function readyOf(bench: Bench, counter: number): Promise<[ReadySegment]> {
  const label = `segment_20251203T14_0000${counter}`
  const key = readySegmentKey('coinbase', label)
  const text = (await bench.store.get(key))!.toString('utf8')
  const { segment: header } = JSON.parse(text.split('\n')[0]!) as { segment: SegmentHeader }
  return [{ key, label, sizeBytes: text.length, header, lastN: null, readyMs: 0 }]
}

for (const story of stories) {
  test(`${story.name} that dies at any step leaves everything whole, and the next run ends as if it had not`, async () => {
    const oracle = await prepare(story.isFar ?? false)
    await story.before(oracle)
    const counting = new CrashingStore(oracle.store)
    await run(oracle, counting, story.options)
    const expected = await oracle.state()
    await oracle.remove()
    assert.ok(counting.changes > 5, `only ${counting.changes} changes were made`)

    const start = await prepare(story.isFar ?? false)
    await story.before(start)
    const crashes = story.modes.flatMap((mode) =>
      (mode === 'half' ? counting.published : upTo(counting.changes)).map((at) => ({ mode, at })),
    )
    await forEachAtOnce(crashes, crashesAtOnce, async ({ mode, at }) => {
      const bench = await start.copy()
      await crashAndRunAgain(bench, story, at, mode)
      assert.deepEqual(await bench.state(), expected, `crash ${mode} at change ${at}`)
      await bench.remove()
    })
    await start.remove()
  })
}

async function crashAndRunAgain(bench: Bench, story: Story, at: number, mode: CrashMode): Promise<void> {
  const lines = story.name.startsWith('a batch') ? threeSegments : twoSegments
  const store = new CrashingStore(bench.store, at, mode)
  const worker = await bench.worker(store)
  await runEtlOnce(worker, story.options, collect(), never).catch((error: unknown) => {
    if (!(error instanceof Crash)) throw error
  })
  assert.ok(store.isDead, `change ${at} was never made`)
  bench.kill(worker.pid)
  await bench.assertWhole(lines)

  // A run from the archive is not begun anew by the next one: what was committed is finished, the rest is asked for again.
  await run(bench, bench.store, { ...story.options, fromArchive: false })
  await bench.assertWhole(lines)
  if (story.options.fromArchive) await convertRest(bench)
}

function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i + 1)
}

/** Converts from the archive the jobs that have no second generation yet. */
async function convertRest(bench: Bench): Promise<void> {
  const { receipts } = await bench.state()
  const archived = await bench.keys('raw/archive/')
  for (const { job, sources } of receipts.filter((each) => each.generation === 1)) {
    const keys = sources.map(({ label }) => [label, archived.find((key) => key.includes(label))!] as const)
    await convertAgain(await bench.worker(), job, new Map(keys), false, never)
  }
}
