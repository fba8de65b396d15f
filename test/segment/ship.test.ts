/**
 * Owner and rescuer of one segment, each dying or cut off at any step: what the owner had durable is in ready segments in the end, each line
 * once, whoever was faster.
 */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seededRandom } from '../../src/core/random.ts'
import type { Random } from '../../src/core/clock.ts'
import { readChunkFolder } from '../../src/segment/chunk-folder.ts'
import { rescueAbandoned, rescueFolder, type RescueMemory } from '../../src/segment/rescue.ts'
import { readySegmentKey } from '../../src/storage/keys.ts'
import { listAll, type LocalObjectStore } from '../../src/storage/object-store.ts'
import { CrashingStore, CrashNow } from '../storage/crashing-store.ts'
import { ManualClock } from './manual-clock.ts'
import { folder, grown, label, never, recorder, sealed, venue, World } from './ship-world.ts'

test('flushed, sealed, shipped: the same bytes lie in raw/ready, and nothing else is left', async (t) => {
  const world = await World.make(t)
  await world.grow(3)
  await world.flush()
  await world.grow(5)
  await world.flush()
  const { chunks, sizeBytes } = await readChunkFolder(world.bucket, folder, never)
  assert.equal(chunks.length, 2)
  assert.equal(sizeBytes, grown(5).length)
  await world.grow(6)
  await world.seal()
  await world.ship()
  assert.equal((await world.bucket.get(readySegmentKey(venue, label)))?.toString(), sealed(6))
  assert.deepEqual(
    (await listAll(world.bucket, '', never)).map(({ key }) => key),
    [readySegmentKey(venue, label)],
  )
  assert.deepEqual(await listAll(world.spool, 'raw/', never), [])
})

test('a lost machine loses what it had not flushed, and the rest is rescued with where its connection stood', async (t) => {
  const world = await World.make(t)
  await world.grow(4)
  await world.flush()
  await world.grow(7)
  const rescued = await rescueFolder(world.rescuer(), venue, folder, never)
  assert.equal(rescued?.lines, 4)
  const segments = await world.segments()
  assert.deepEqual(
    [...segments.keys()].filter((identity) => identity.startsWith(recorder)),
    [`${recorder} 1`],
  )
  const words = [...segments].find(([identity]) => !identity.startsWith(recorder))![1]
  assert.match(
    words,
    new RegExp(`"conn":"${recorder}-1","event":\\{"gap":\\{"cause":"recorder_died","after_seq":4,`),
  )
  world.durable = 4
  await world.assertWhole('after the rescue')
  // It comes back after all, with what nobody else has.
  world.durable = 7
  await world.seal()
  await world.ship()
  await world.assertWhole('after its return')
})

test('an owner that only was slow is not rescued', async (t) => {
  const world = await World.make(t)
  const clock = new ManualClock()
  const deps = { ...world.rescuer(), clock }
  const memory: RescueMemory = new Map()
  await world.grow(2)
  await world.flush()
  assert.deepEqual(await rescueAbandoned(deps, venue, memory, never), [])
  await clock.advance(59_000)
  await world.grow(3)
  await world.flush()
  assert.deepEqual(await rescueAbandoned(deps, venue, memory, never), [])
  await clock.advance(59_000)
  assert.deepEqual(await rescueAbandoned(deps, venue, memory, never), [])
  await clock.advance(2_000)
  assert.equal((await rescueAbandoned(deps, venue, memory, never)).length, 1)
  assert.deepEqual(await rescueAbandoned(deps, venue, memory, never), [])
  assert.equal(memory.size, 0, 'a fence alone is nothing to watch')
})

/** One step of the story by whoever is told to; it may die at its k-th durable step. */
type Step = (world: World, bucket?: LocalObjectStore) => Promise<unknown>

const ownerShips: Step = async (world, bucket) => {
  await world.ship(bucket)
}
const rescues: Step = (world, bucket) => rescueFolder(world.rescuer(bucket), venue, folder, never)

async function crashing(world: World, step: Step, at: number, kind: 'landed' | 'lost'): Promise<boolean> {
  const bucket = new CrashingStore(world.bucket, at, kind)
  try {
    await step(world, bucket)
    return false
  } catch (error) {
    if (!(error instanceof CrashNow)) throw error
    return true
  }
}

for (const kind of ['landed', 'lost'] as const) {
  test(`the owner dies at any step of shipping (${kind}), a rescuer goes on, the owner returns`, async (t) => {
    for (let at = 1; ; at++) {
      const world = await World.make(t)
      await world.grow(3)
      await world.flush()
      await world.grow(6)
      await world.seal()
      if (!(await crashing(world, ownerShips, at, kind))) {
        assert.ok(at > 3, `only ${at} steps`)
        return
      }
      await rescues(world)
      await world.convert()
      await ownerShips(world)
      await rescues(world)
      await world.assertWhole(`owner ${kind} at ${at}`)
    }
  })

  test(`the rescuer dies at any step (${kind}), the owner returns, another rescuer goes on`, async (t) => {
    for (const ownerFirst of [true, false])
      for (let at = 1; ; at++) {
        const world = await World.make(t)
        await world.grow(3)
        await world.flush()
        await world.grow(6)
        if (!(await crashing(world, rescues, at, kind))) {
          assert.ok(at > 4, `only ${at} steps`)
          break
        }
        await world.seal()
        for (const step of ownerFirst ? [ownerShips, rescues] : [rescues, ownerShips]) await step(world)
        await rescues(world)
        await world.assertWhole(`rescuer ${kind} at ${at}, owner ${ownerFirst ? 'first' : 'last'}`)
      }
  })
}

test('any order of growing, flushing, dying and rescuing ends with each line once', async (t) => {
  const seed = Number(process.env['MDV_SEED'] ?? Date.now() % 1_000_000)
  t.diagnostic(`MDV_SEED=${seed}`)
  for (let story = 0; story < 60; story++) {
    const random = seededRandom(seed + story)
    await tell(await World.make(t), random, `MDV_SEED=${seed + story}`)
  }
})

async function tell(world: World, random: Random, words: string): Promise<void> {
  let isSealed = false
  await world.grow(1)
  for (let i = 0; i < 14; i++) {
    const at = random() < 0.4 ? 1 + Math.floor(random() * 6) : Infinity
    const kind = random() < 0.5 ? 'landed' : 'lost'
    const choice = random()
    if (choice < 0.3 && !isSealed) await world.grow(world.durable + 1 + Math.floor(random() * 3))
    else if (choice < 0.55 && !isSealed) await crashing(world, (w, bucket) => w.flush(bucket), at, kind)
    else if (choice < 0.62 && !isSealed) {
      await world.seal()
      isSealed = true
    } else if (choice < 0.75) await crashing(world, ownerShips, at, kind)
    else if (choice < 0.9) await crashing(world, rescues, at, kind)
    else await world.convert()
  }
  if (!isSealed) await world.seal()
  await ownerShips(world)
  await rescues(world)
  await world.assertWhole(words)
}
