/** What is left after kills and power losses, and what recovery makes of it. */

import assert from 'node:assert/strict'
import { appendFile, copyFile, mkdir, readdir, readFile, rename, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import * as fc from 'fast-check'
import type { Gap } from '../../src/segment/format.ts'
import { forEachAtOnce } from '../../src/core/at-once.ts'
import { play, playNames } from '../crash/power-plays.ts'
import { recordScenarios } from '../crash/record-scenarios.ts'
import { localStand } from '../crash/stand.ts'
import { sweep, thin } from '../crash/sweep.ts'
import { active, assertEndIsSaid, leaveOpen } from './cut-off.ts'
import { ForgetfulDisk, Losses } from './forgetful-disk.ts'
import {
  assertWhole,
  frameOfLine,
  makePlace,
  publishedSegments,
  recorder,
  recover,
  settle,
  startRecording,
  type Place,
} from './recorded.ts'

const rejected = (place: Place): string => join(place.base, 'raw', 'rejected', 'coinbase')

function framesOf(segments: Awaited<ReturnType<typeof publishedSegments>>): number[] {
  return segments.flatMap(({ lines }) => lines.filter((line) => line.kind === 'frame').map((line) => line.n))
}

for (const scenario of recordScenarios)
  test(`a kill of ${scenario.program} at a step loses nothing durable and doubles nothing; all steps: test-full/`, async () => {
    const { reached } = await sweep(scenario, localStand, thin(8))
    assert.ok(reached.landed > 5 && reached.lost > 5, JSON.stringify(reached))
  })

test('a successor that holds its header only does not silence the one before: that one says where its connection stood', async (t) => {
  const place = await makePlace(t)
  const path = await leaveOpen(place, 5)
  const header = (await readFile(path)).toString('utf8').split('\n')[0]!
  await writeFile(path.replace('_00001', '_00002'), `${header.replace('"n":1', '"n":6')}\n`)
  await recover(place)
  const segments = await publishedSegments(place)
  assert.deepEqual(framesOf(segments), [1, 2, 3, 4, 5])
  assertEndIsSaid(segments)
})

test('the last words of a dead recorder name the products of that moment, not those of its first connect', async (t) => {
  const place = await makePlace(t)
  const { log, ...recording } = await startRecording(place, new ForgetfulDisk(place.grave))
  const connection = log.openConnection(`${recorder}-1`, ['A', 'B'])
  const opened = { url: '', local_port: 1, products: ['A', 'B'], channels: ['ticker'] }
  log.appendEvent(1n, connection, { connection_opened: opened })
  log.appendFrame(connection, 2n, frameOfLine(2), false, 2)
  log.appendEvent(3n, null, { products_changed: { added: ['C'], removed: ['A'] } })
  const asked = { channel: 'ticker', products: ['C'], authenticated: false }
  log.appendEvent(4n, connection, { subscribe_sent: asked })
  await settle({ log, ...recording }, log.flush())
  await recover(place)
  const [segment] = await publishedSegments(place)
  const gap = segment!.lines
    .map((line) => (line.kind === 'event' ? (line.event as { gap?: Gap }).gap : undefined))
    .find((one) => one?.after_seq === 2)
  assert.deepEqual(gap?.products, ['B', 'C'])
})

test('a file that failed is kept when the one opened in its place holds no line', async (t) => {
  const place = await makePlace(t)
  const path = await leaveOpen(place, 5)
  const header = (await readFile(path)).toString('utf8').split('\n')[0]!
  await writeFile(path.replace('_00001', '_00002'), `${header}\n`)
  await recover(place)
  assert.deepEqual(framesOf(await publishedSegments(place)), [1, 2, 3, 4, 5])
})

for (const name of playNames)
  test(`power lost at a moment of ${name} loses nothing durable and lets nothing false in; 2,000 seeds: test-full/`, async () => {
    const seeds = Array.from({ length: 15 }, (_, i) => i + 1)
    let lost = 0
    await forEachAtOnce(seeds, 8, async (seed) => {
      if (await play(name, seed, new Losses())) lost++
    })
    assert.ok(lost > 7, `the power went out in ${lost}`)
  })

test('a segment cut at any byte is recovered to exactly its whole lines', async (t) => {
  const origin = await makePlace(t)
  const bytes = await readFile(await leaveOpen(origin, 12))
  const ends: number[] = []
  for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, at + 1)) ends.push(at + 1)
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 0, max: bytes.length }), async (cut) => {
      const place = await makePlace(t)
      await mkdir(active(place), { recursive: true })
      await writeFile(join(active(place), 'segment_20260930T14_00001.ndjson'), bytes.subarray(0, cut))
      await recover(place)
      const whole = Math.max(0, ends.filter((end) => end <= cut).length - 1)
      const segments = await publishedSegments(place)
      assert.equal(segments.length, whole === 0 ? 0 : 1)
      assertWhole(segments)
      assert.deepEqual(
        framesOf(segments),
        Array.from({ length: whole }, (_, i) => i + 1),
      )
    }),
    { numRuns: 60 },
  )
})

test('after any damage to an open segment no wrong line is accepted, and the others stay', async (t) => {
  const origin = await makePlace(t)
  const path = await leaveOpen(origin, 12)
  const bytes = await readFile(path)
  const header = bytes.indexOf(10) + 1
  const damage = fc.record({
    at: fc.integer({ min: header, max: bytes.length - 1 }),
    xor: fc.integer({ min: 1, max: 255 }),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(damage, { minLength: 1, maxLength: 4 }), async (flips) => {
      const changed = Buffer.from(bytes)
      for (const { at, xor } of flips) changed[at] = changed[at]! ^ xor
      const hit = new Set(
        flips
          .filter(({ at }) => changed[at] !== bytes[at])
          .map(({ at }) => bytes.subarray(header, at).filter((byte) => byte === 10).length + 1),
      )
      const place = await makePlace(t)
      await mkdir(active(place), { recursive: true })
      await writeFile(join(active(place), 'segment_20260930T14_00001.ndjson'), changed)
      await recover(place)
      const segments = await publishedSegments(place)
      const found = segments.flatMap(({ lines }) => lines.filter((line) => line.kind === 'frame'))
      for (const line of found) assert.deepEqual(line.frame, frameOfLine(line.n))
      // A hit newline takes the line after it along, too.
      for (let n = 1; n <= 12; n++)
        if (!hit.has(n) && !hit.has(n - 1))
          assert.ok(
            found.some((line) => line.n === n),
            `line ${n}`,
          )
    }),
    { numRuns: 60 },
  )
})

test('bad bytes with good lines after them stay where they are: corruption is not a torn tail', async (t) => {
  const place = await makePlace(t)
  const path = await leaveOpen(place, 9)
  const bytes = await readFile(path)
  bytes[bytes.indexOf('"n":4,') + 40]! ^= 1
  await writeFile(path, bytes)
  const [recovered] = await recover(place)
  assert.equal(recovered?.cutBytes, 0)
  const [segment] = await publishedSegments(place)
  assert.deepEqual(framesOf([segment!]), [1, 2, 3, 5, 6, 7, 8, 9])
  assert.deepEqual(
    segment!.bad.map((bad) => bad.reason),
    ['crc'],
  )
  assert.equal(segment!.result.sealProblem, null)
})

test('a tail of zeros is torn, not data', async (t) => {
  const place = await makePlace(t)
  const path = await leaveOpen(place, 5)
  await appendFile(path, Buffer.alloc(4096))
  const [recovered] = await recover(place)
  assert.equal(recovered?.cutBytes, 4096)
  assert.deepEqual(framesOf(await publishedSegments(place)), [1, 2, 3, 4, 5])
})

test('a file under both names loses only its active one, and nothing is put aside', async (t) => {
  const place = await makePlace(t)
  const recording = await startRecording(place, new ForgetfulDisk(place.grave))
  recording.log.appendEvent(1n, null, { recorder_stopped: { reason: 'test' } })
  await settle(recording, recording.log.close())
  const ready = join(place.base, 'raw', 'ready', 'coinbase', 'segment_20260930T14_00001.ndjson')
  const bytes = await readFile(ready)
  await copyFile(ready, join(active(place), 'segment_20260930T14_00001.ndjson'))
  // The crash between link and removal: only the active name goes.
  assert.equal((await recover(place))[0]?.publishedAs, null)
  assert.deepEqual(await readFile(ready), bytes)
  assert.deepEqual(await readdir(active(place)), [])
  await assert.rejects(() => readdir(rejected(place)), { code: 'ENOENT' })
})

test('a sealed file that was not published is published as it is', async (t) => {
  const place = await makePlace(t)
  const recording = await startRecording(place, new ForgetfulDisk(place.grave))
  recording.log.appendEvent(1n, null, { recorder_stopped: { reason: 'test' } })
  await settle(recording, recording.log.close())
  const ready = join(place.base, 'raw', 'ready', 'coinbase', 'segment_20260930T14_00001.ndjson')
  const bytes = await readFile(ready)
  await rename(ready, join(active(place), 'segment_20260930T14_00001.ndjson'))
  assert.equal((await recover(place))[0]?.publishedAs, 'segment_20260930T14_00001')
  assert.deepEqual(await readFile(ready), bytes)
})

test('a label that is taken in ready is not written over: the next free one is used', async (t) => {
  const place = await makePlace(t)
  await leaveOpen(place, 3)
  const ready = join(place.base, 'raw', 'ready', 'coinbase')
  await mkdir(ready, { recursive: true })
  await writeFile(join(ready, 'segment_20260930T14_00001.ndjson'), 'foreign')
  const [recovered] = await recover(place)
  assert.equal(recovered?.publishedAs, 'segment_20260930T14_00002')
  assert.equal((await readFile(join(ready, 'segment_20260930T14_00001.ndjson'))).toString(), 'foreign')
})

test('a file that is no segment is put aside whole, and one of a newer format is left alone', async (t) => {
  const place = await makePlace(t)
  await mkdir(active(place), { recursive: true })
  const path = join(active(place), 'segment_20260930T14_00001.ndjson')
  await writeFile(path, 'not ours\n')
  await recover(place)
  assert.equal(
    (await readFile(join(rejected(place), 'segment_20260930T14_00001.torn'))).toString(),
    'not ours\n',
  )
  await writeFile(path, '{"segment":{"format":2,"recorder":"x"}}\n')
  const [left] = await recover(place)
  assert.deepEqual([left?.isNewer, left?.publishedAs], [true, null])
  assert.equal((await readdir(active(place))).length, 1)
})

test('a file without any whole line leaves no segment', async (t) => {
  const place = await makePlace(t)
  const path = await leaveOpen(place, 3)
  const bytes = await readFile(path)
  await truncate(path, bytes.indexOf(10) + 30)
  const [recovered] = await recover(place)
  assert.deepEqual([recovered?.publishedAs, recovered?.cutBytes], [null, 29])
  assert.deepEqual(await readdir(active(place)), [])
})
