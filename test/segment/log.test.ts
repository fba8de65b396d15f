/** The recorder's log on disks that work, refuse, and take half of what they are given. */

import assert from 'node:assert/strict'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { test } from 'node:test'
import { ForgetfulDisk, type DiskStep } from './forgetful-disk.ts'
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

function append(recording: Recording, count: number): void {
  const { log } = recording
  const connection = log.openConnection(`${recorder}-1`)
  for (let i = 0; i < count; i++)
    assert.equal(
      log.appendFrame(connection, BigInt(log.nextN), frameOfLine(log.nextN), false, log.nextN),
      true,
    )
  log.closeConnection(connection)
}

function systemError(code: string): Error {
  return Object.assign(new Error(code), { code })
}

/** A segment's file, or a folder of them; not the store's own probe. */
function isOfSegments(path: string): boolean {
  return /segment_|[\\/]raw[\\/].*coinbase$/.test(path)
}

/** Refuses the `k`-th step of a kind, once. */
function refuseOnce(disk: ForgetfulDisk, step: DiskStep, k: number, code: string): void {
  let seen = 0
  disk.refuse = (one, path) => {
    if (one === step && isOfSegments(path) && ++seen === k) throw systemError(code)
  }
}

test('frames go through rotation and close into segments that are whole, chained and in order', async (t) => {
  const place = await makePlace(t)
  const recording = await startRecording(place, new ForgetfulDisk(place.grave))
  append(recording, 200)
  await settle(recording, recording.log.close())
  const segments = await publishedSegments(place)
  assert.equal(assertWhole(segments), recording.log.nextN - 1)
  assert.ok(segments.length > 5)
  assert.equal(recording.log.durableN, recording.log.nextN - 1)
  assert.equal(segments.flatMap(({ lines }) => lines).filter(({ kind }) => kind === 'frame').length, 200)
  assert.equal(recording.log.queuedBytes, 0)
  assert.equal(recording.clock.timers, 0, 'closing leaves no timer')
  const [connection] = segments[0]!.result.seal!.connections
  assert.deepEqual(
    [connection?.first_seq, connection?.last_seq, connection?.gaps],
    [1, segments[0]!.result.lastN, []],
  )
})

test('a segment in which nothing was written is not rotated, and an idle one is at the hour', async (t) => {
  const place = await makePlace(t)
  const recording = await startRecording(place, new ForgetfulDisk(place.grave))
  for (let i = 0; i < 5; i++) recording.clock.advance(3_600_000)
  append(recording, 3)
  await settle(recording, recording.log.flush())
  for (let i = 0; i < 5; i++) recording.clock.advance(3_600_000)
  await settle(recording, recording.log.close())
  const segments = await publishedSegments(place)
  assert.equal(segments.length, 1)
  assert.equal(assertWhole(segments), 3)
})

test('a disk that takes two bytes at a time gets every byte', async (t) => {
  const place = await makePlace(t)
  const disk = new ForgetfulDisk(place.grave)
  disk.writeBytesMax = 2
  const recording = await startRecording(place, disk)
  append(recording, 5)
  await settle(recording, recording.log.close())
  assert.equal(assertWhole(await publishedSegments(place)), 5)
})

for (const [step, code] of [
  ['datasync', 'EIO'],
  ['write', 'EIO'],
  ['write', 'ENOSPC'],
  ['create', 'ENOSPC'],
  ['syncFolder', 'EIO'],
  ['link', 'ENOSPC'],
  ['truncate', 'EIO'],
] as const) {
  test(`${code} at one ${step} costs no line and doubles none, whichever one it is`, async (t) => {
    let hits = 0
    for (let k = 1; k <= 9; k++) {
      const place = await makePlace(t)
      const disk = new ForgetfulDisk(place.grave)
      if (step === 'truncate') {
        // Only a file that failed is cut: make one fail first.
        let synced = 0
        let cut = 0
        disk.refuse = (one, path) => {
          if (one === 'datasync' && path.includes('segment_') && ++synced === 3) throw systemError('EIO')
          if (one === 'truncate' && ++cut === 1) throw systemError('EIO')
        }
      } else refuseOnce(disk, step, k, code)
      const recording = await startRecording(place, disk)
      for (let i = 0; i < 6; i++) {
        append(recording, 10)
        await settle(recording, recording.log.flush())
        assert.equal(recording.log.durableN, recording.log.nextN - 1)
      }
      await settle(recording, recording.log.close())
      hits += recording.troubles.length > 0 ? 1 : 0
      assert.equal(recording.log.stats.suspects, 0, `k ${k}: all is published without a restart`)
      const segments = await publishedSegments(place)
      assert.equal(assertWhole(segments), recording.log.nextN - 1, `k ${k}`)
      const frames = segments.flatMap(({ lines }) => lines).filter(({ kind }) => kind === 'frame')
      assert.equal(frames.length, 60, `k ${k}`)
      assert.deepEqual(await readdir(join(place.base, 'raw', 'active', 'coinbase')), [])
      if (step === 'truncate') break
    }
    assert.ok(hits > 0, 'the fault was met')
  })
}

async function activeBytes(place: Place): Promise<number> {
  const folder = join(place.base, 'raw', 'active', 'coinbase')
  const sizes = (await readdir(folder)).map(async (name) => (await stat(join(folder, name))).size)
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0)
}

/** A recording with ten lines in a sync that goes on until it is let go, and ten more that were written behind them meanwhile. */
async function writeBehindSync(
  place: Place,
): Promise<{ recording: Recording; disk: ForgetfulDisk; endSync: () => void }> {
  const disk = new ForgetfulDisk(place.grave)
  const recording = await startRecording(place, disk)
  const held: (() => void)[] = []
  disk.holdSync = (path) =>
    isOfSegments(path) ? new Promise((resolve) => held.push(resolve)) : Promise.resolve()
  append(recording, 10)
  void recording.log.flush()
  while (held.length === 0) await nextTurn()
  const sizeBytes = await activeBytes(place)
  append(recording, 10)
  void recording.log.flush()
  // The write is reported before the look that found its bytes.
  while ((await activeBytes(place)) === sizeBytes) await nextTurn()
  await nextTurn()
  return { recording, disk, endSync: () => held.shift()?.() }
}

test('what is written while a sync is at work is not durable by it', async (t) => {
  const { recording, disk, endSync } = await writeBehindSync(await makePlace(t))
  const { log } = recording
  const told = new Promise<void>((resolve) => void log.flush().then(resolve))
  endSync()
  while (log.durableN === 0) await nextTurn()
  assert.equal(log.durableN, 10)
  disk.holdSync = () => Promise.resolve()
  while (log.durableN === 10) {
    endSync()
    await nextTurn()
  }
  await told
  assert.equal(log.durableN, 20)
  await settle(recording, log.close())
})

test('what was written while a sync was at work that fails is written again, once', async (t) => {
  const place = await makePlace(t)
  const { recording, disk, endSync } = await writeBehindSync(place)
  let refusals = 0
  disk.refuse = (step, path) => {
    if (step === 'datasync' && isOfSegments(path) && ++refusals === 1) throw systemError('EIO')
  }
  disk.holdSync = () => Promise.resolve()
  endSync()
  await settle(recording, recording.log.close())
  assert.equal(recording.log.durableN, 20)
  const segments = await publishedSegments(place)
  assert.equal(assertWhole(segments), 20)
  assert.equal(segments.flatMap(({ lines }) => lines).length, 20)
  assert.deepEqual(
    recording.troubles.map(({ kind }) => kind),
    ['unavailable'],
  )
})

test('after a sync that failed no other is tried on that file, even if a write was under way', async (t) => {
  const place = await makePlace(t)
  const { recording, disk, endSync } = await writeBehindSync(place)
  let endWrite = (): void => undefined
  disk.holdWrite = () => new Promise((resolve) => (endWrite = resolve))
  const sizeBytes = await activeBytes(place)
  append(recording, 10)
  void recording.log.flush()
  while ((await activeBytes(place)) === sizeBytes) await nextTurn()
  const steps: DiskStep[] = []
  disk.refuse = (step, path) => {
    if (!isOfSegments(path)) return
    steps.push(step)
    if (steps.length === 1) throw systemError('EIO')
  }
  disk.holdSync = () => Promise.resolve()
  disk.holdWrite = () => Promise.resolve()
  endSync()
  while (steps.length === 0) await nextTurn()
  for (let i = 0; i < 10; i++) await nextTurn()
  endWrite()
  await settle(recording, recording.log.close())
  assert.deepEqual(steps.slice(0, 2), ['datasync', 'unlink'])
  const segments = await publishedSegments(place)
  assert.equal(assertWhole(segments), recording.log.nextN - 1)
  const frames = segments.flatMap(({ lines }) => lines).filter(({ kind }) => kind === 'frame')
  assert.equal(frames.length, 30)
})

test('a full disk stops the taking of frames at the limit of the queue, and goes on by itself in a new segment', async (t) => {
  const place = await makePlace(t)
  const disk = new ForgetfulDisk(place.grave)
  const recording = await startRecording(place, disk, { queueBytesMax: 1024 * 1024 + 5_000 })
  append(recording, 10)
  await settle(recording, recording.log.flush())
  disk.refuse = (step) => {
    if (step === 'write' || step === 'create') throw systemError('ENOSPC')
  }
  const { log } = recording
  const connection = log.openConnection(`${recorder}-2`)
  while (log.appendFrame(connection, BigInt(log.nextN), frameOfLine(log.nextN), false, log.nextN));
  assert.ok(log.queuedBytes <= 5_000)
  const refusedAt = log.nextN
  log.appendEvent(BigInt(refusedAt), connection, { recorder_stopped: { reason: 'full' } })
  // Several attempts, each of which takes real turns of the loop.
  for (let i = 0; i < 50 || recording.troubles.length < 3; i++) {
    await nextTurn()
    recording.clock.advance(100)
  }
  assert.equal(log.durableN, 10)
  assert.match(recording.troubles[0]?.remedy ?? '', /free space/)
  const files = await readdir(join(place.base, 'raw', 'active', 'coinbase'))
  assert.ok(files.length <= 2, `attempts left files: ${files.join(' ')}`)
  disk.refuse = () => undefined
  await settle(recording, log.flush())
  assert.equal(log.durableN, refusedAt)
  await settle(recording, log.close())
  assert.equal(assertWhole(await publishedSegments(place)), refusedAt)
})

test('a failed file that cannot be cut does not hold up or harm the next one', async (t) => {
  const place = await makePlace(t)
  const disk = new ForgetfulDisk(place.grave)
  const recording = await startRecording(place, disk, { segmentBytesMax: 1_000_000 })
  append(recording, 10)
  await settle(recording, recording.log.flush())
  let failed = false
  disk.refuse = (step, path) => {
    if (step === 'datasync' && path.includes('segment_') && !failed) {
      failed = true
      throw systemError('EIO')
    }
    if (step === 'truncate') throw systemError('EIO')
  }
  for (let i = 0; i < 20; i++) {
    append(recording, 10)
    await settle(recording, recording.log.flush())
    recording.clock.advance(2_000)
  }
  assert.equal(recording.log.stats.suspects, 1)
  await settle(recording, recording.log.close())
  await recover(place)
  const segments = await publishedSegments(place)
  assert.equal(assertWhole(segments), recording.log.nextN - 1)
  assert.equal(segments.length, 2)
})

test('a log that cannot close in time says how many lines the disk did not take', async (t) => {
  const place = await makePlace(t)
  const disk = new ForgetfulDisk(place.grave)
  const recording = await startRecording(place, disk)
  disk.refuse = (step) => {
    if (step === 'write') throw systemError('EIO')
  }
  append(recording, 7)
  await assert.rejects(() => settle(recording, recording.log.close(500)), {
    kind: 'unavailable',
    message: /last 7 lines/,
  })
  assert.equal(
    recording.log.appendFrame(recording.log.openConnection('x-1'), 1n, frameOfLine(8), false, 8),
    false,
  )
})
