/**
 * Owner and rescuer of one segment, each dying or cut off at any step: what the owner had durable is in ready segments in the end, each line
 * once, whoever was faster.
 */

import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { test } from 'node:test'
import { seededRandom } from '../../src/core/random.ts'
import type { Random } from '../../src/core/clock.ts'
import { readChunkFolder } from '../../src/segment/chunk-folder.ts'
import { shipGrowing } from '../../src/segment/ship.ts'
import { rescueAbandoned, rescueFolder, type RescueMemory } from '../../src/segment/rescue.ts'
import { chunkFolder, chunkKey, readySegmentKey } from '../../src/storage/keys.ts'
import { emptyStore } from '../../src/storage/empty-store.ts'
import { listAll, type LocalObjectStore, type ObjectStore } from '../../src/storage/object-store.ts'
import { CrashingStore, CrashNow } from '../storage/crashing-store.ts'
import { shipScenarios } from '../crash/ship-scenarios.ts'
import { localStand } from '../crash/stand.ts'
import { everyCase, sweep } from '../crash/sweep.ts'
import { ManualClock } from './manual-clock.ts'
import { folder, grown, header, label, line, never, recorder, sealed, venue, World } from './ship-world.ts'

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

for (const [what, key] of [
  ['archived', `raw/archive/${venue}/date=2025-12-03/${label}.ndjson.zst`],
  ['converted', `processed/${venue}/_receipts/${label}_zzzzzzzzzz_1.json`],
] as const)
  test(`a spool that counts from 1 again does not take the name of a segment that was ${what} before`, async (t) => {
    const world = await World.make(t)
    await world.bucket.putIfAbsent(key, Buffer.from('{}'))
    await world.grow(3)
    await world.flush()
    await world.seal()
    await world.ship()
    const ready = (await listAll(world.bucket, 'raw/ready/', never)).map((object) => object.key)
    assert.deepEqual(ready, [readySegmentKey(venue, 'segment_20251203T14_00002')])
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

test("a machine that comes back and seals under another label still finds the rescuer's fence", async (t) => {
  const world = await World.make(t)
  await world.grow(4)
  await world.flush()
  await world.grow(7)
  assert.equal((await rescueFolder(world.rescuer(), venue, folder, never))?.lines, 4)
  await world.seal('segment_20251203T14_00002')
  await world.ship()
  await world.assertWhole('after its return')
})

test('a fence that its owner put under the new label hides no chunks under the old one', async (t) => {
  const world = await World.make(t)
  await world.grow(4)
  const other = 'segment_20251203T14_00002'
  await world.seal(other)
  const bucket = new CrashingStore(world.bucket, 2, 'lost')
  await assert.rejects(world.ship(bucket), CrashNow)
  assert.notEqual(await world.bucket.head(chunkKey(chunkFolder(venue, other, recorder, 1), 1)), undefined)
  // Under way since before the owner died, and rescued as the segment's beginning.
  await world.bucket.putIfAbsent(chunkKey(folder, 1), Buffer.from(grown(2)))
  assert.equal((await rescueFolder(world.rescuer(), venue, folder, never))?.lines, 2)
  await world.ship()
  await world.assertWhole('after its return')
})

test('a rescue between two pieces of a large file parts them between two lines', async (t) => {
  const world = await World.make(t)
  await world.grow(105_000)
  assert.ok(grown(105_000).length > 16 * 1024 * 1024)
  await assert.rejects(world.flush(new CrashingStore(world.bucket, 2, 'lost')), CrashNow)
  assert.ok((await rescueFolder(world.rescuer(), venue, folder, never))!.lines > 80_000)
  await world.seal()
  await world.ship()
  await world.assertReadyWhole()
  await world.assertWhole('after its return')
})

test('a fence that goes between its listing and the look at it is no piece of the segment', async (t) => {
  const world = await World.make(t)
  const fence = chunkKey(folder, 1)
  await world.bucket.putIfAbsent(fence, Buffer.from('{"fence":{"by":"abcdefghij","size_bytes":0}}\n'))
  let looks = 0
  const going: ObjectStore = {
    ...emptyStore('going'),
    list: (prefix, signal) => world.bucket.list(prefix, signal),
    get: async (key) => {
      if (looks++ === 0) await world.bucket.delete(fence)
      return world.bucket.get(key)
    },
  }
  const { chunks, sizeBytes, isFenced } = await readChunkFolder(going, folder, never)
  assert.deepEqual([chunks, sizeBytes, isFenced], [[], 0, false])
})

test('a store that lists for ever what it does not give is named', async (t) => {
  const world = await World.make(t)
  await world.bucket.putIfAbsent(chunkKey(folder, 1), Buffer.from('x'))
  const lying = { ...emptyStore('lying'), list: world.bucket.list.bind(world.bucket) }
  await assert.rejects(readChunkFolder(lying, folder, never), {
    kind: 'unavailable',
    message: /is not there/,
  })
})

test('a line longer than a piece is a piece of its own', async (t) => {
  const world = await World.make(t)
  const long = `${line(1).trimEnd()}${' '.repeat(20 * 1024 * 1024)}\n`
  const path = world.spool.pathOf(`raw/active/${venue}/${label}.ndjson`)
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, header + long + line(2))
  const durableBytes = header.length + long.length + line(2).length
  await shipGrowing(world.owner(), { label, firstN: 1, durableBytes }, null, never)
  const { chunks, sizeBytes } = await readChunkFolder(world.bucket, folder, never)
  assert.deepEqual(
    [chunks.map((chunk) => chunk.sizeBytes), sizeBytes],
    [[header.length, long.length + line(2).length], durableBytes],
  )
})

test('chunks of a file that was sealed under another label are finished where they lie', async (t) => {
  const world = await World.make(t)
  await world.grow(4)
  await world.flush()
  await world.grow(7)
  await world.seal('segment_20251203T14_00002')
  await world.ship()
  await world.assertWhole('after its return')
  assert.deepEqual(await listAll(world.bucket, 'raw/active/', never), [])
})

test('an owner that only was slow is not rescued', async (t) => {
  const world = await World.make(t)
  const clock = new ManualClock()
  const deps = { ...world.rescuer(), clock }
  const memory: RescueMemory = new Map()
  const look = async () => (await rescueAbandoned(deps, venue, memory, never)).rescued
  await world.grow(2)
  await world.flush()
  assert.deepEqual(await look(), [])
  clock.advance(59_000)
  await world.grow(3)
  await world.flush()
  assert.deepEqual(await look(), [])
  clock.advance(59_000)
  assert.deepEqual(await look(), [])
  clock.advance(2_000)
  assert.equal((await look()).length, 1)
  assert.deepEqual(await look(), [])
  assert.equal(memory.size, 0, 'a fence alone is nothing to watch')
})

test('an owner that finds the first chunks removed puts no others in their place', async (t) => {
  const world = await World.make(t)
  for (let lines = 1; lines <= 4; lines++) {
    await world.grow(lines)
    await world.flush()
  }
  await world.seal()
  // Published, but the answer was lost; a rescuer found it so, and died while it removed the chunks.
  await world.bucket.putIfAbsent(readySegmentKey(venue, label), Buffer.from(sealed(4)))
  for (const number of [1, 2, 3]) await world.bucket.delete(chunkKey(folder, number))
  await world.ship()
  await world.assertWhole('after all')
  assert.deepEqual(await listAll(world.bucket, 'raw/active/', never), [])
})

test('a chunk that arrives long after its owner gave it up begins no second segment', async (t) => {
  const world = await World.make(t)
  await world.grow(3)
  await world.seal()
  const bucket = new CrashingStore(world.bucket, 2, 'lost')
  await assert.rejects(world.ship(bucket), CrashNow)
  const late = await world.bucket.putIfAbsent(chunkKey(folder, 1), Buffer.from(grown(2)))
  assert.equal(late, 'exists')
  assert.equal(await rescueFolder(world.rescuer(), venue, folder, never), null)
  await world.ship()
  await world.assertWhole('after all')
  assert.deepEqual(await listAll(world.bucket, 'raw/active/', never), [])
})

test('chunks that this version cannot read stay, and stand before nobody', async (t) => {
  const world = await World.make(t)
  const clock = new ManualClock()
  const strange = chunkFolder(venue, 'segment_20251203T13_00001', 'zzzzzzzzzz', 1)
  const newer = header.replace('"format":1', '"format":2')
  await world.bucket.putIfAbsent(chunkKey(strange, 1), Buffer.from(newer + line(1)))
  await world.grow(2)
  await world.flush()
  const memory: RescueMemory = new Map()
  const deps = { ...world.rescuer(), clock }
  await rescueAbandoned(deps, venue, memory, never)
  clock.advance(60_000)
  const { rescued, troubles } = await rescueAbandoned(deps, venue, memory, never)
  assert.deepEqual([rescued.length, troubles.length], [1, 1])
  assert.match(
    troubles[0]!.message,
    /segment_20251203T13_00001\.zzzzzzzzzz_1\/: it has format 2, written by a newer version/,
  )
  assert.equal((await readChunkFolder(world.bucket, strange, never)).chunks.length, 1)
})

test('the rest of a rescued segment that a newer version wrote is not given our header: it stays, and says who can send it', async (t) => {
  const world = await World.make(t)
  await world.grow(2)
  await world.flush()
  await world.grow(5)
  await rescueFolder(world.rescuer(), venue, folder, never)
  await world.seal()
  // The owner was replaced by a newer version meanwhile, which went back to this one.
  const newer = sealed(5).replace('"format":1', '"format":2')
  await world.spool.delete(readySegmentKey(venue, label))
  await world.spool.putIfAbsent(readySegmentKey(venue, label), Buffer.from(newer))
  const inBucket = async () => (await listAll(world.bucket, '', never)).map(({ key }) => key)
  const before = await inBucket()
  await assert.rejects(world.ship(), {
    kind: 'preflight',
    message: `raw/ready/${venue}/${label}.ndjson: its beginning was rescued, and its rest is of format 2`,
  })
  assert.equal((await world.spool.get(readySegmentKey(venue, label)))?.toString(), newer)
  assert.deepEqual(await inBucket(), before)
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

for (const scenario of shipScenarios)
  test(`${scenario.program}, dying at any step: ${scenario.story}`, async () => {
    const { steps } = await sweep(scenario, localStand, everyCase)
    assert.ok(steps > 2, `only ${steps} steps`)
  })

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

test('a machine that is lost for ever at a step of shipping loses nothing that had come to the bucket', async (t) => {
  for (const kind of ['landed', 'lost'] as const) {
    let isOver = false
    for (let at = 1; !isOver; at++) {
      const world = await World.make(t)
      await world.grow(3)
      await world.flush()
      await world.grow(6)
      await world.seal()
      const bucket = new CrashingStore(world.bucket, at, kind)
      const end = await world.ship(bucket).catch((error: unknown) => error)
      assert.ok(end === undefined || end instanceof CrashNow)
      isOver = end === undefined
      await bucket.quiet()
      await rescueFolder(world.rescuer(), venue, folder, never)
      const left = [...(await world.segments()).values()].join('')
      for (const n of [1, 2, 3]) assert.ok(left.includes(line(n)), `${kind} ${at}: line ${n}`)
    }
  }
})
