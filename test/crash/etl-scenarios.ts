/** Conversions, batches, conversions from the archive and retention, each as a scenario that may die at any step. */

import assert from 'node:assert/strict'
import { convertAgain } from '../../src/etl/job-again.ts'
import { convertReady, type ReadySegment } from '../../src/etl/job.ts'
import { runEtlOnce, type EtlOptions } from '../../src/etl/run.ts'
import type { SegmentHeader } from '../../src/segment/format.ts'
import { readySegmentKey } from '../../src/storage/keys.ts'
import type { ObjectStore } from '../../src/storage/object-store.ts'
import { Bench, collect, etlOptions, never } from '../etl/job-bench.ts'
import { CrashingStore, CrashNow, type CrashKind } from '../storage/crashing-store.ts'
import type { Stand, Standing } from './stand.ts'
import type { Cleanup, CrashPoint, Ran, Scenario, World } from './sweep.ts'

const products = ['BTC-USD', 'ETH-USD', 'BTC-USD', 'reject', 'ETH-USD']
const twoSegments = [1, 2, 3, 4, 5, 6, 7, 8]
const threeSegments = [...twoSegments, 9, 10]

interface Story {
  readonly program: string
  readonly name: string
  readonly options: EtlOptions
  /** What was done before the run that crashes. */
  readonly before: (bench: Bench) => Promise<void>
  readonly kinds: readonly CrashKind[]
  /** Every counter that has to be somewhere at any moment. */
  readonly lines: readonly number[]
  readonly convertsAgain?: true
  /** Stands for its program in a bucket, where each case takes five times as long. */
  readonly isTypical?: true
}

const nothing = async (): Promise<void> => undefined
const archiving: EtlOptions = { ...etlOptions, archive: true }
const batch = { segmentsMax: 3, bytesMax: 1e9, waitMs: 1, isPatient: false }
const batching: EtlOptions = { ...etlOptions, batch }
const everyKind = ['landed', 'lost', 'half'] as const

/** Two segments, the second one small, that one recorder wrote one after the other. */
async function twoReady(): Promise<Bench> {
  const bench = await Bench.make()
  await bench.segment(1, 1, products)
  await bench.segment(2, 6, ['BTC-USD', 'BTC-USD', 'BTC-USD'])
  return bench
}

/** A third segment, so that the batch has one in the middle. */
async function third(bench: Bench): Promise<void> {
  await bench.segment(3, 9, ['ETH-USD', 'reject'])
}

async function converted(bench: Bench, options: EtlOptions): Promise<void> {
  const older = await bench.worker(bench.store, { software: 'mdv before' })
  await runEtlOnce(older, options, collect(), never)
}

/** A worker of an earlier version that died after so many steps. */
async function diedBefore(bench: Bench, options: EtlOptions, at: number, software: string): Promise<void> {
  const worker = await bench.worker(new CrashingStore(bench.store, at), { software })
  await assert.rejects(runEtlOnce(worker, options, collect(), never), CrashNow)
  bench.kill(worker.pid)
}

/** A worker that died as soon as all three were bound. */
async function bound(bench: Bench): Promise<void> {
  await third(bench)
  await diedBefore(bench, batching, 4, 'mdv test')
  assert.equal((await bench.keys('processed/coinbase/_jobs/')).length, 3)
}

const convert = { program: 'convert', kinds: everyKind, lines: twoSegments } as const
const inBatches = { program: 'batch', kinds: everyKind, lines: threeSegments } as const
const again = { program: 'archive reconversion', kinds: everyKind, convertsAgain: true } as const

const stories: readonly Story[] = [
  { ...convert, name: 'plain', options: etlOptions, before: nothing, isTypical: true },
  { ...convert, name: 'with archive', options: archiving, before: nothing },
  { ...convert, name: 'raw is kept', options: { ...etlOptions, deleteRaw: false }, before: nothing },
  {
    ...convert,
    name: 'software changed in the middle',
    options: etlOptions,
    before: (bench) => diedBefore(bench, etlOptions, 5, 'mdv before'),
  },
  { ...inBatches, name: 'plain', options: batching, before: third },
  { ...inBatches, name: 'with archive', options: { ...archiving, batch }, before: third, isTypical: true },
  {
    ...inBatches,
    name: 'software changed in the middle',
    options: batching,
    before: async (bench) => {
      await third(bench)
      await diedBefore(bench, batching, 7, 'mdv before')
    },
  },
  {
    ...inBatches,
    name: 'one was bound to another job',
    options: batching,
    before: async (bench) => {
      await third(bench)
      const worker = await bench.worker(new CrashingStore(bench.store, 2))
      const options = { deleteRaw: true, archive: false, wait: false }
      await assert.rejects(convertReady(worker, [await readyOf(bench, 2)], options, never), CrashNow)
      bench.kill(worker.pid)
    },
  },
  {
    ...inBatches,
    name: 'a line was damaged since it was bound',
    options: batching,
    before: async (bench) => {
      await bound(bench)
      const key = readySegmentKey('coinbase', 'segment_20251203T14_00002')
      const text = (await bench.store.get(key))!.toString('utf8')
      await bench.write(key, text.replace('"test":"BTC-USD"', '"test":"BTC-EUR"'))
    },
  },
  ...[1, 2, 3].map((counter): Story => ({
    ...inBatches,
    name: `segment ${counter} was away while its batch was converted`,
    options: batching,
    before: async (bench) => {
      await bound(bench)
      const key = readySegmentKey('coinbase', `segment_20251203T14_0000${counter}`)
      const bytes = await bench.store.get(key)
      await bench.store.delete(key)
      await run(bench, bench.store, batching)
      await bench.write(key, bytes!)
    },
  })),
  {
    ...again,
    name: 'one by one',
    options: { ...archiving, fromArchive: true },
    before: (bench) => converted(bench, archiving),
    lines: twoSegments,
  },
  {
    ...again,
    name: 'a batch',
    options: { ...archiving, batch, fromArchive: true },
    before: async (bench) => {
      await third(bench)
      await converted(bench, { ...archiving, batch })
    },
    lines: threeSegments,
    isTypical: true,
  },
  {
    ...again,
    program: 'requeue',
    name: 'two jobs, whose parts are all kept',
    options: { ...archiving, requeue: ['segment_20251203T14_00001', 'segment_20251203T14_00002'] },
    before: (bench) => converted(bench, archiving),
    lines: twoSegments,
    isTypical: true,
  },
  {
    program: 'retention',
    name: 'of the archive, after a conversion',
    options: { ...archiving, retention: { maxDays: null, maxBytes: 0 } },
    before: async (bench) => {
      await converted(bench, archiving)
      await third(bench)
    },
    kinds: everyKind,
    lines: threeSegments,
    isTypical: true,
  },
]

async function readyOf(bench: Bench, counter: number): Promise<ReadySegment> {
  const label = `segment_20251203T14_0000${counter}`
  const key = readySegmentKey('coinbase', label)
  const text = (await bench.store.get(key))!.toString('utf8')
  const { segment: header } = JSON.parse(text.split('\n')[0]!) as { segment: SegmentHeader }
  return { key, label, sizeBytes: text.length, header, lastN: null, readyMs: 0 }
}

async function run(bench: Bench, store: ObjectStore, options: EtlOptions): Promise<void> {
  await runEtlOnce(await bench.worker(store), options, collect(), never)
}

class EtlWorld implements World {
  readonly #bench: Bench
  readonly #standing: Standing
  readonly #story: Story

  constructor(bench: Bench, standing: Standing, story: Story) {
    this.#bench = bench
    this.#standing = standing
    this.#story = story
  }

  async run({ at, kind }: CrashPoint): Promise<Ran> {
    const store = new CrashingStore(this.#standing.store, at, kind)
    const worker = await this.#bench.worker(store)
    await runEtlOnce(worker, this.#story.options, collect(), never).catch((error: unknown) => {
      if (!(error instanceof CrashNow)) throw error
    })
    await store.quiet()
    if (store.isCrashed) this.#bench.kill(worker.pid)
    return store
  }

  async assertWhole(): Promise<void> {
    await this.#standing.mirror()
    await this.#bench.assertWhole(this.#story.lines)
  }

  /** A run from the archive is not begun anew by the next one: what was committed is finished, the rest is asked for again. */
  async finish(): Promise<void> {
    const { options, convertsAgain } = this.#story
    await run(this.#bench, this.#standing.store, { ...options, fromArchive: false, requeue: null })
    await this.assertWhole()
    if (convertsAgain) await this.#convertRest()
  }

  /** Converts from the archive the jobs that have no second generation yet. */
  async #convertRest(): Promise<void> {
    const { receipts } = await this.#bench.state()
    const archived = await this.#bench.keys('raw/archive/')
    const reason = this.#story.options.requeue === null ? 'improvement' : 'repair'
    for (const { job, sources } of receipts.filter((each) => each.generation === 1)) {
      const keys = sources.map(({ label }) => [label, archived.find((key) => key.includes(label))!] as const)
      const worker = await this.#bench.worker(this.#standing.store)
      await convertAgain(worker, job, new Map(keys), reason, false, never)
    }
    await this.#standing.mirror()
  }

  state(): Promise<unknown> {
    return this.#bench.state()
  }
}

export const etlScenarios: readonly Scenario[] = stories.map((story) => ({
  program: story.program,
  story: story.name,
  kinds: story.kinds,
  isTypical: story.isTypical ?? false,
  async begin(stand: Stand, cleanup: Cleanup) {
    const origin = await twoReady()
    cleanup.after(() => origin.remove())
    await story.before(origin)
    return async (each: Cleanup): Promise<World> => {
      const bench = await origin.copy()
      each.after(() => bench.remove())
      return new EtlWorld(bench, await stand.stand(bench.store, each), story)
    }
  },
}))
