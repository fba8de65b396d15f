/** What is left after kills and power losses, and what recovery makes of it. */

import assert from 'node:assert/strict'
import { appendFile, copyFile, mkdir, readdir, readFile, rename, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import * as fc from 'fast-check'
import type { Gap } from '../../src/segment/format.ts'
import { seededRandom } from '../../src/core/random.ts'
import { CrashNow } from '../storage/crashing-store.ts'
import { ForgetfulDisk } from './forgetful-disk.ts'
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
  type Recording,
} from './recorded.ts'

const active = (place: Place): string => join(place.base, 'raw', 'active', 'coinbase')
const rejected = (place: Place): string => join(place.base, 'raw', 'rejected', 'coinbase')

/** Records until done or cut off; returns the last counter that was called durable. */
async function recordUntilCrash(place: Place, disk: ForgetfulDisk, lines: number): Promise<number> {
  let recording: Recording
  try {
    recording = await startRecording(place, disk, { segmentBytesMax: 1_500, flushBytes: 500 })
  } catch (error) {
    if (disk.isCrashed) return 0
    throw error
  }
  const { log } = recording
  const connection = log.openConnection(`${recorder}-1`)
  for (let i = 0; i < lines && !disk.isCrashed; i++) {
    log.appendFrame(connection, BigInt(log.nextN), frameOfLine(log.nextN), false, log.nextN)
    if (i % 7 === 6) await settle(recording, Promise.race([log.flush(), disk.crashed]))
  }
  if (!disk.isCrashed) {
    const gap = { cause: 'stopped', after_seq: log.nextN - 1, before_seq: null } as const
    const unknown = { missing: null, from_ns: null, until_ns: null, products: [] }
    log.appendEvent(BigInt(log.nextN), connection, { gap: { ...gap, ...unknown } })
    log.closeConnection(connection)
    await settle(recording, Promise.race([log.close(), disk.crashed]))
  }
  return log.durableN
}

/** However a recording ended, the log says after which frame its connection brought nothing more. */
function assertEndIsSaid(segments: Awaited<ReturnType<typeof publishedSegments>>): void {
  const lines = segments.flatMap((segment) => segment.lines)
  const last = lines.findLast((line) => line.kind === 'frame')?.n
  if (last === undefined) return
  const ends = lines
    .map((line) =>
      line.kind === 'event' && line.conn !== null ? (line.event as { gap?: Gap }).gap : undefined,
    )
    .filter((gap) => gap !== undefined)
  assert.ok(
    ends.some((gap) => gap.before_seq === null && gap.after_seq !== null && gap.after_seq >= last),
    `nothing says what came after ${last}: ${JSON.stringify(ends)}`,
  )
}

/** A file that a recorder left without closing, with `lines` frames in it. */
async function leaveOpen(place: Place, lines: number): Promise<string> {
  const recording = await startRecording(place, new ForgetfulDisk(place.grave), {
    segmentBytesMax: 1_000_000,
  })
  const connection = recording.log.openConnection(`${recorder}-1`)
  for (let i = 0; i < lines; i++)
    recording.log.appendFrame(connection, BigInt(i + 1), frameOfLine(i + 1), false, i + 1)
  await settle(recording, recording.log.flush())
  const [name] = await readdir(active(place))
  return join(active(place), name!)
}

function framesOf(segments: Awaited<ReturnType<typeof publishedSegments>>): number[] {
  return segments.flatMap(({ lines }) => lines.filter((line) => line.kind === 'frame').map((line) => line.n))
}

test('a kill at any durable step of recording and rotation loses nothing durable and doubles nothing', async (t) => {
  const place = await makePlace(t)
  const counting = new ForgetfulDisk(place.grave)
  await recordUntilCrash(place, counting, 25)
  assert.ok(counting.steps > 20, `${counting.steps} steps`)
  for (let k = 1; k <= counting.steps; k++) {
    for (const kind of ['landed', 'lost'] as const) {
      const place = await makePlace(t)
      const durable = await recordUntilCrash(place, new ForgetfulDisk(place.grave, k, kind), 25)
      await recover(place)
      const segments = await publishedSegments(place)
      const last = assertWhole(segments)
      assert.ok(last >= durable, `crash ${kind} at ${k}: durable ${durable}, found ${last}`)
      assertEndIsSaid(segments)
    }
  }
})

test('a kill at any durable step of recovery, then recovery again, gives one whole segment that says so once', async (t) => {
  let steps = Number.POSITIVE_INFINITY
  for (let k = 1; k <= steps; k++) {
    for (const kind of ['landed', 'lost'] as const) {
      const place = await makePlace(t)
      await appendFile(await leaveOpen(place, 9), '{"n":10,"recv_ns":"1')
      if (steps === Number.POSITIVE_INFINITY) {
        const counting = new ForgetfulDisk(place.grave)
        await recover(place, counting)
        steps = counting.steps
        continue
      }
      await recover(place, new ForgetfulDisk(place.grave, k, kind)).catch((error: unknown) => {
        assert.ok(
          error instanceof CrashNow || (error instanceof Error && error.cause instanceof CrashNow),
          String(error),
        )
      })
      await recover(place)
      await recover(place)
      const segments = await publishedSegments(place)
      assert.equal(segments.length, 1)
      assertWhole(segments)
      assert.equal(segments[0]!.result.seal?.recovered, true)
      const events = segments[0]!.lines.filter((line) => line.kind === 'event').map((line) => line.event)
      assert.equal(
        events.filter((event) => JSON.stringify(event).startsWith('{"recovered":{"lines":9,"torn_bytes":20'))
          .length,
        1,
      )
      assert.equal(events.length, 3, `crash ${kind} at ${k}: ${JSON.stringify(events)}`)
      assert.equal(
        (await readFile(join(rejected(place), 'segment_20260930T14_00001.torn'))).toString(),
        '{"n":10,"recv_ns":"1',
      )
      assert.deepEqual(await readdir(active(place)), [])
    }
  }
  assert.ok(steps >= 8)
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

test('power lost at any moment, in recording or in recovery, loses nothing durable and lets nothing false in', async (t) => {
  let torn = 0
  for (let seed = 1; seed <= 200; seed++) {
    const random = seededRandom(seed)
    const place = await makePlace(t)
    const disk = new ForgetfulDisk(
      place.grave,
      10 + Math.floor(random() * 90),
      random() < 0.5 ? 'landed' : 'lost',
    )
    const durable = await recordUntilCrash(place, disk, 45)
    await disk.loseParts(random)
    if (random() < 0.5) {
      const again = new ForgetfulDisk(place.grave, 1 + Math.floor(random() * 30), 'landed')
      await recover(place, again).catch((error: unknown) => assert.ok(again.isCrashed, String(error)))
      if (again.isCrashed) await again.loseParts(random)
    }
    const recovered = await recover(place)
    torn += recovered.some((one) => one.cutBytes > 0) ? 1 : 0
    const segments = await publishedSegments(place)
    const last = assertWhole(segments)
    assertEndIsSaid(segments)
    assert.ok(last >= durable, `SEED=${seed}: durable ${durable}, found ${last}`)
  }
  assert.ok(torn > 20, `torn tails were met: ${torn}`)
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
  await assert.rejects(() => recover(place), { kind: 'invalid', message: /newer version/ })
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
