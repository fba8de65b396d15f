/** The shipper's own account of what is in the bucket, and what it clears away at its start. */

import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import type { VaultError } from '../../src/core/errors.ts'
import { Shipper, type RecorderMark, type ShipState } from '../../src/ingestion/shipper.ts'
import { listRaw } from '../../src/query/segments.ts'
import { rescueFolder } from '../../src/segment/rescue.ts'
import { chunkFolder, chunkKey, readySegmentKey } from '../../src/storage/keys.ts'
import { listAll } from '../../src/storage/object-store.ts'
import { ManualClock } from '../segment/manual-clock.ts'
import { folder, grown, label, never, recorder, sealed, venue, World } from '../segment/ship-world.ts'

const refuse = (error: VaultError): void => {
  throw error
}

/** One round with a mark. @returns what it said in the end */
async function round(world: World, mark: RecorderMark, onTrouble = refuse): Promise<ShipState> {
  const stop = new AbortController()
  let last: ShipState | undefined
  const shipper = new Shipper({
    ...world.owner(),
    // The pause after the round ends it.
    clock: Object.assign(new ManualClock(), {
      sleep: () => {
        stop.abort()
        return Promise.resolve()
      },
    }),
    random: () => 0.5,
    openBucket: async () => world.bucket,
    onState: (state) => (last = state),
    onFenced: () => undefined,
    onTrouble,
  })
  shipper.mark(mark)
  await shipper.run(stop.signal)
  return last!
}

const next = 'segment_20251203T14_00002'
const growing = (lines: number): RecorderMark => ({
  durableN: lines,
  growing: { label, firstN: 1, durableBytes: grown(lines).length },
})

async function begin(t: TestContext): Promise<World> {
  const world = await World.make(t)
  await world.grow(3)
  return world
}

test('a segment begun since the mark does not hold it up', async (t) => {
  const world = await begin(t)
  await world.growOther(next, 4)
  assert.equal((await round(world, growing(3))).replicatedN, 3)
})

test('a segment that waits to be sealed since before the mark does', async (t) => {
  const world = await begin(t)
  await world.growOther('segment_20251203T13_00009', 0)
  assert.equal((await round(world, growing(3))).replicatedN, 0)
})

test('a mark whose segment was sealed since is reached with the segment', async (t) => {
  const world = await begin(t)
  await world.seal()
  await world.growOther(next, 4)
  const state = await round(world, growing(3))
  assert.deepEqual([state.replicatedN, state.segmentsWaiting], [3, 0])
})

test('a mark whose segment was sealed while older ones were shipped is reached up to that segment', async (t) => {
  const world = await begin(t)
  await world.seal()
  // Another one has its name by now.
  await world.growOther(next, 9)
  const mark = { durableN: 6, growing: { label: next, firstN: 4, durableBytes: 100 } }
  assert.equal((await round(world, mark)).replicatedN, 3)
})

const fence = Buffer.from(`${JSON.stringify({ fence: { by: recorder, size_bytes: 0 } })}\n`)

test('a fence that a dead owner left beside its published segment is removed at the next start', async (t) => {
  const world = await World.make(t)
  await world.bucket.putIfAbsent(chunkKey(folder, 1), fence)
  await world.bucket.putIfAbsent(readySegmentKey(venue, next), Buffer.from(sealed(3)))
  await round(world, { durableN: 0, growing: null })
  assert.deepEqual(await listAll(world.bucket, 'raw/active/', never), [])
})

test('chunks that a dead owner left of its published segment are removed at the next start', async (t) => {
  const world = await World.make(t)
  await world.grow(3)
  await world.flush()
  await world.bucket.putIfAbsent(readySegmentKey(venue, next), Buffer.from(sealed(3)))
  await round(world, { durableN: 0, growing: null })
  assert.deepEqual(await listAll(world.bucket, 'raw/active/', never), [])
})

test('chunks of a segment that is not published are left to rescuers', async (t) => {
  const world = await World.make(t)
  await world.grow(3)
  await world.flush()
  await round(world, { durableN: 0, growing: null })
  assert.equal((await listAll(world.bucket, 'raw/active/', never)).length, 1)
})

test('a published segment that is shorter than its chunks is damaged, and they stay', async (t) => {
  const world = await World.make(t)
  await world.grow(3)
  await world.flush()
  const whole = sealed(3)
  for (const damaged of [sealed(1), whole.slice(0, whole.indexOf('{"seal"')), grown(3) + grown(3)]) {
    await world.bucket.putIfAbsent(readySegmentKey(venue, next), Buffer.from(damaged))
    await round(world, { durableN: 0, growing: null })
    assert.equal(await rescueFolder(world.rescuer(), venue, folder, never), null)
    assert.equal((await listAll(world.bucket, 'raw/active/', never)).length, 1)
    await world.bucket.delete(readySegmentKey(venue, next))
  }
})

test('a folder that cannot be read holds up neither what waits nor the clearing of others', async (t) => {
  const world = await begin(t)
  await world.flush()
  await world.seal()
  const stranger = chunkFolder(venue, label, 'aaaaaaaaaa', 1)
  await world.bucket.putIfAbsent(chunkKey(stranger, 1), Buffer.from('{"fence":{"by":"x"'))
  const left = chunkFolder(venue, next, recorder, 1)
  await world.bucket.putIfAbsent(chunkKey(left, 1), Buffer.from(grown(3)))
  const troubles: string[] = []
  const state = await round(world, { durableN: 3, growing: null }, (error) => troubles.push(error.message))
  assert.deepEqual([state.segmentsWaiting, state.replicatedN], [0, 3])
  assert.deepEqual(
    (await listAll(world.bucket, 'raw/active/', never)).map(({ key }) => key),
    [chunkKey(stranger, 1)],
  )
  assert.equal(troubles.length, 1)
  assert.match(troubles[0]!, /a fence that does not say how far it goes/)
})

test('a fence without its segment stays, and is no segment to readers', async (t) => {
  const world = await World.make(t)
  await world.bucket.putIfAbsent(chunkKey(folder, 1), fence)
  await round(world, { durableN: 0, growing: null })
  assert.equal((await listAll(world.bucket, 'raw/active/', never)).length, 1)
  assert.deepEqual((await listRaw(world.bucket, venue, never)).entries, [])
})
