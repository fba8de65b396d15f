/** Repairs of raw segments that may die at any step. */

import { repairRaw } from '../../src/etl/repair.ts'
import { runEtlOnce } from '../../src/etl/run.ts'
import { realDisk } from '../../src/storage/disk.ts'
import { readySegmentKey } from '../../src/storage/keys.ts'
import type { ObjectStore } from '../../src/storage/object-store.ts'
import { Bench, collect, etlOptions, never } from '../etl/job-bench.ts'
import { CrashingStore, CrashNow } from '../storage/crashing-store.ts'
import type { Stand, Standing } from './stand.ts'
import type { Cleanup, CrashPoint, Ran, Scenario, World } from './sweep.ts'

const lines = [1, 2, 3, 4, 5, 6, 7, 8]

interface Story {
  readonly name: string
  readonly isTypical: boolean
  readonly before: (bench: Bench) => Promise<void>
}

async function change(bench: Bench, counter: number, from: string, to: string): Promise<void> {
  const key = readySegmentKey('coinbase', `segment_20251203T14_0000${counter}`)
  const text = (await bench.store.get(key))!.toString('utf8')
  await bench.write(key, text.replace(from, to))
}

const stories: readonly Story[] = [
  {
    name: 'damaged seals, of two segments',
    isTypical: true,
    before: async (bench) => {
      await change(bench, 1, '{"seal"', '{"sael"')
      await change(bench, 2, '{"seal"', '{"sael"')
    },
  },
  {
    name: 'damaged after its conversion',
    isTypical: false,
    before: async (bench) => {
      await runEtlOnce(await bench.worker(), { ...etlOptions, deleteRaw: false }, collect(), never)
      await change(bench, 1, 'ETH-USD', 'ETH-EUR')
      await change(bench, 2, 'BTC-USD', 'BTC-EUR')
    },
  },
]

class RepairWorld implements World {
  readonly #bench: Bench
  readonly #standing: Standing

  constructor(bench: Bench, standing: Standing) {
    this.#bench = bench
    this.#standing = standing
  }

  async run({ at, kind }: CrashPoint): Promise<Ran> {
    const store = new CrashingStore(this.#standing.store, at, kind)
    const pid = await this.#repair(store)
    await store.quiet()
    if (store.isCrashed) this.#bench.kill(pid)
    return store
  }

  async #repair(store: ObjectStore): Promise<number> {
    const worker = await this.#bench.worker(store)
    const deps = { ...worker, disk: realDisk, sequenceOf: () => -1, software: 'mdv test' }
    await repairRaw(deps, { names: [], isDryRun: false }, never).catch((error: unknown) => {
      if (!(error instanceof CrashNow)) throw error
    })
    return worker.pid
  }

  async assertWhole(): Promise<void> {
    await this.#standing.mirror()
    await this.#bench.assertWhole(lines)
  }

  async finish(): Promise<void> {
    await this.#repair(this.#standing.store)
    await this.assertWhole()
    await runEtlOnce(await this.#bench.worker(this.#standing.store), etlOptions, collect(), never)
    await this.#standing.mirror()
  }

  state(): Promise<unknown> {
    return this.#bench.state()
  }
}

export const repairScenarios: readonly Scenario[] = stories.map(({ name, isTypical, before }) => ({
  program: 'repair',
  story: name,
  kinds: ['landed', 'lost', 'half'],
  isTypical,
  async begin(stand: Stand, cleanup: Cleanup) {
    const origin = await Bench.make()
    cleanup.after(() => origin.remove())
    await origin.segment(1, 1, ['BTC-USD', 'ETH-USD', 'BTC-USD', 'reject', 'ETH-USD'])
    await origin.segment(2, 6, ['BTC-USD', 'BTC-USD', 'BTC-USD'])
    await before(origin)
    return async (each: Cleanup): Promise<World> => {
      const bench = await origin.copy()
      each.after(() => bench.remove())
      return new RepairWorld(bench, await stand.stand(bench.store, each))
    }
  },
}))
