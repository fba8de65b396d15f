import assert from 'node:assert/strict'
import { test } from 'node:test'
import { forEachAtOnce } from '../../src/core/at-once.ts'
import { convertAgain } from '../../src/etl/job-again.ts'
import { runEtlOnce, type EtlOptions } from '../../src/etl/run.ts'
import { Bench, collect, Crash, CrashingStore, etlOptions, never, type CrashMode } from './job-bench.ts'

const products = ['BTC-USD', 'ETH-USD', 'BTC-USD', 'reject', 'ETH-USD']
const lines = [1, 2, 3, 4, 5, 6, 7, 8]

/** Two segments, the second one small. */
async function prepare(): Promise<Bench> {
  const bench = await Bench.make()
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
}

const nothing = async (): Promise<void> => undefined
const archiving: EtlOptions = { ...etlOptions, archive: true }

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
]

for (const story of stories) {
  test(`${story.name} that dies at any step leaves everything whole, and the next run ends as if it had not`, async () => {
    const oracle = await prepare()
    await story.before(oracle)
    const counting = new CrashingStore(oracle.store)
    await run(oracle, counting, story.options)
    const expected = await oracle.state()
    await oracle.remove()
    assert.ok(counting.changes > 10, `only ${counting.changes} changes were made`)

    const start = await prepare()
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
  for (const receipt of receipts.filter((each) => each.generation === 1)) {
    const label = receipt.sources[0]!.label
    const archived = (await bench.keys('raw/archive/')).find((key) => key.includes(label))
    await convertAgain(await bench.worker(), receipt.job, new Map([[label, archived!]]), false, never)
  }
}
