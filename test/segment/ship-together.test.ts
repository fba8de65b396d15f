/** Owner, two rescuers and a conversion at once: whatever the order of their requests, each durable line is there once in the end. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Random } from '../../src/core/clock.ts'
import { VaultError } from '../../src/core/errors.ts'
import { seededRandom } from '../../src/core/random.ts'
import { rescueFolder } from '../../src/segment/rescue.ts'
import { removeSpentChunks } from '../../src/segment/spent-chunks.ts'
import { listAll, type ObjectStore } from '../../src/storage/object-store.ts'
import { Stage, type Chances } from '../storage/turn-store.ts'
import { folder, never, venue, World } from './ship-world.ts'

const seed = Number(process.env['MDV_SEED'] ?? Date.now() % 1_000_000)
const stories = Number(process.env['MDV_STORIES'] ?? 40)

/** Tries again as every program does, from what it finds. @returns whether it was done */
async function tries(times: number, act: () => Promise<unknown>): Promise<boolean> {
  for (let i = 0; i < times; i++)
    try {
      await act()
      return true
    } catch (error) {
      if (!(error instanceof VaultError) || (error.kind !== 'unavailable' && error.kind !== 'invalid'))
        throw error
    }
  return false
}

async function owner(world: World, stage: Stage, random: Random, store: ObjectStore): Promise<void> {
  await world.grow(1)
  for (let flushes = Math.floor(random() * 4); flushes > 0; flushes--) {
    await tries(2, () => world.flush(store))
    await world.grow(world.durable + Math.floor(random() * 3))
    if (random() < 0.3) await pause(stage, random)
  }
  await world.seal()
  if (random() < 0.5) await pause(stage, random)
  await tries(6, () => world.ship(store))
}

/** Cut off, or not awake: others act meanwhile. */
async function pause(stage: Stage, random: Random): Promise<void> {
  for (let turns = Math.floor(random() * 40); turns > 0; turns--) await stage.turn()
}

async function rescuer(world: World, stage: Stage, random: Random, by: string, store: ObjectStore) {
  for (let times = 0; times < 3; times++) {
    await pause(stage, random)
    await tries(2, () => rescueFolder(world.rescuer(store, by), venue, folder, never))
    await tries(1, () => removeSpentChunks(store, venue, never))
  }
}

async function converter(world: World, stage: Stage, random: Random, store: ObjectStore): Promise<void> {
  for (let times = 0; times < 3; times++) {
    await pause(stage, random)
    await tries(1, () => world.convert(store))
  }
}

const worlds: Readonly<Record<string, Chances>> = {
  'every request is answered': { lost: 0, landed: 0, late: 0 },
  'requests are lost, or their answers, or take effect late': { lost: 0.08, landed: 0.08, late: 0.08 },
}

for (const [name, chances] of Object.entries(worlds))
  test(`owner, two rescuers and a conversion at once, and ${name} (MDV_SEED=${seed})`, async (t) => {
    for (let story = 0; story < stories; story++) {
      const random = seededRandom(seed + story)
      const world = await World.make(t)
      const stage = new Stage(world.bucket, random, chances)
      await stage.play([
        (store) => owner(world, stage, random, store),
        (store) => rescuer(world, stage, random, 'one', store),
        (store) => rescuer(world, stage, random, 'two', store),
        (store) => converter(world, stage, random, store),
      ])
      await world.ship()
      await rescueFolder(world.rescuer(), venue, folder, never)
      await world.assertWhole(`MDV_SEED=${seed + story}`)
      const left = (await listAll(world.bucket, 'raw/active/', never)).map(({ key }) => key)
      assert.ok(left.length <= 1, `only a fence may be left: ${left.join(' ')} (MDV_SEED=${seed + story})`)
      assert.deepEqual(await listAll(world.spool, 'raw/', never), [])
    }
  })
