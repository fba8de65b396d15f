/** A spool's owner that ships its segment, and a rescuer that ends it: either may die at any step, the other goes on, the dead one returns. */

import { rescueFolder } from '../../src/segment/rescue.ts'
import { listAll, type ObjectStore } from '../../src/storage/object-store.ts'
import { folder, never, venue, World as ShipWorld } from '../segment/ship-world.ts'
import { CrashingStore, CrashNow } from '../storage/crashing-store.ts'
import { openLocalStore } from '../../src/storage/local.ts'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Stand } from './stand.ts'
import type { Cleanup, CrashPoint, Ran, Scenario, World } from './sweep.ts'

/** What one of the two does, as far as it gets. */
type Act = (world: ShipWorld, bucket?: ObjectStore) => Promise<unknown>

const owner: Act = (world, bucket) => world.ship(bucket)
const rescuer: Act = (world, bucket) => rescueFolder(world.rescuer(bucket), venue, folder, never)
const converter: Act = (world) => world.convert()
const seal: Act = (world) => world.seal()

interface Story {
  readonly program: 'ship' | 'rescue'
  readonly name: string
  readonly before: readonly Act[]
  readonly dying: Act
  /** In this order, after the death. */
  readonly after: readonly Act[]
}

const growing: Act = async (world) => {
  await world.grow(3)
  await world.flush()
  await world.grow(6)
}

const stories: readonly Story[] = [
  {
    program: 'ship',
    name: 'a rescuer goes on, the owner returns',
    before: [growing, seal],
    dying: owner,
    after: [rescuer, converter, owner, rescuer],
  },
  {
    program: 'ship',
    name: 'the owner returns alone',
    before: [growing, seal],
    dying: owner,
    after: [owner, rescuer],
  },
  {
    program: 'ship',
    name: 'chunk by chunk',
    before: [(world) => world.grow(3)],
    dying: async (world, bucket) => {
      await world.flush(bucket)
      await world.grow(5)
      await world.flush(bucket)
      await world.grow(6)
      await world.flush(bucket)
    },
    after: [(world) => world.grow(6), seal, owner, rescuer],
  },
  {
    program: 'rescue',
    name: 'the owner returns, another rescuer goes on',
    before: [growing],
    dying: rescuer,
    after: [seal, owner, rescuer],
  },
  {
    program: 'rescue',
    name: 'another rescuer goes on, the owner returns',
    before: [growing],
    dying: rescuer,
    after: [seal, rescuer, owner, rescuer],
  },
]

class SpoolWorld implements World {
  readonly #world: ShipWorld
  readonly #story: Story

  constructor(world: ShipWorld, story: Story) {
    this.#world = world
    this.#story = story
  }

  async run({ at, kind }: CrashPoint): Promise<Ran> {
    for (const act of this.#story.before) await act(this.#world)
    const bucket = new CrashingStore(this.#world.bucket, at, kind)
    await this.#story.dying(this.#world, bucket).catch((error: unknown) => {
      if (!(error instanceof CrashNow)) throw error
    })
    await bucket.quiet()
    return bucket
  }

  /** A segment that can be seen in the bucket is sealed and is what the owner wrote. */
  async assertWhole(): Promise<void> {
    await this.#world.assertReadyWhole()
  }

  async finish(): Promise<void> {
    for (const act of this.#story.after) await act(this.#world)
    await this.#world.assertWhole('in the end')
  }

  /** A fence may stay, and which of the two published may differ: what counts is that the lines are there, and nothing else. */
  async state(): Promise<unknown> {
    const bucket = await listAll(this.#world.bucket, 'raw/ready/', never)
    const spool = await listAll(this.#world.spool, 'raw/', never)
    return { lines: this.#world.durable, bucket, spool }
  }
}

export const shipScenarios: readonly Scenario[] = stories.map((story) => ({
  program: story.program,
  story: story.name,
  kinds: ['landed', 'lost'],
  isTypical: true,
  begin(stand: Stand) {
    return Promise.resolve(async (each: Cleanup): Promise<World> => {
      const base = await mkdtemp(join(tmpdir(), 'mdv-bucket-'))
      each.after(() => rm(base, { recursive: true, force: true }))
      const { store } = await stand.stand(await openLocalStore(base), each)
      return new SpoolWorld(await ShipWorld.make(each, store), story)
    })
  },
}))
