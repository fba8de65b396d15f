/** A recorder in a folder of its own, and what can be found there afterwards. */

import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as nextTurn, setTimeout as realMillisecond } from 'node:timers/promises'
import type { VaultError } from '../../src/core/errors.ts'
import type { Line, SegmentHeader } from '../../src/segment/format.ts'
import { writeHere } from '../../src/segment/writer.ts'
import { SegmentLog, type SegmentLogOptions } from '../../src/segment/log.ts'
import { readSegment, type BadLine } from '../../src/segment/read.ts'
import { recoverActive, type RecoveredSegment } from '../../src/segment/recovery.ts'
import type { ScanResult } from '../../src/segment/scan.ts'
import type { Disk } from '../../src/storage/disk.ts'
import { openLocalStore } from '../../src/storage/local.ts'
import { listAll, type LocalObjectStore, type ObjectStore } from '../../src/storage/object-store.ts'
import { ForgetfulDisk } from './forgetful-disk.ts'
import { ManualClock } from './manual-clock.ts'

export const never = new AbortController().signal
export const recorder = 'abcdefghij'

export const smallOptions: SegmentLogOptions = {
  venue: 'coinbase',
  url: 'wss://example.test',
  software: 'mdv test',
  recorder,
  segmentBytesMax: 4_000,
  segmentAgeMsMax: null,
  flushEveryMs: 200,
  flushBytes: 1_000,
  fsync: true,
  queueBytesMax: 4 * 1024 * 1024,
}

export interface Place {
  readonly base: string
  readonly grave: string
}

export async function makePlace(t: { after(undo: () => Promise<void>): void }): Promise<Place> {
  const folder = await mkdtemp(join(tmpdir(), 'mdv-segment-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const place = { base: join(folder, 'vault'), grave: join(folder, 'grave') }
  await mkdir(place.grave)
  return place
}

export interface Recording {
  readonly log: SegmentLog
  readonly store: LocalObjectStore
  readonly clock: ManualClock
  readonly troubles: VaultError[]
}

export async function startRecording(
  place: Place,
  disk: Disk,
  options: Partial<SegmentLogOptions> = {},
  clock = new ManualClock(),
): Promise<Recording> {
  const store = await openLocalStore(place.base, disk)
  const troubles: VaultError[] = []
  const log = new SegmentLog(
    { clock, openWriter: writeHere({ store, disk, clock }), onTrouble: (error) => troubles.push(error) },
    { ...smallOptions, ...options },
  )
  return { log, store, clock, troubles }
}

/** The `i`-th frame of a recording: by it a reader can tell whether the right bytes stand at a counter. */
export function frameOfLine(n: number): Buffer {
  return Buffer.from(`{"channel":"ticker","sequence_num":${n},"pad":"${'é'.repeat(n % 97)}"}`)
}

export const sequenceOf = (frame: Buffer): number =>
  Number(/"sequence_num":(\d+)/.exec(frame.toString())?.[1] ?? -1)

export async function recover(place: Place, disk?: Disk): Promise<RecoveredSegment[]> {
  const used = disk ?? new ForgetfulDisk(place.grave)
  const store = await openLocalStore(place.base, used)
  return recoverActive({ store, disk: used, clock: new ManualClock(), sequenceOf }, 'coinbase', never)
}

export interface Found {
  readonly key: string
  readonly header: SegmentHeader
  readonly result: ScanResult
  readonly lines: readonly Line[]
  readonly bad: readonly BadLine[]
}

/** Every published segment of a folder, in the order of its first counter. */
export async function publishedSegments(place: Place): Promise<Found[]> {
  return segmentsIn(await openLocalStore(place.base, new ForgetfulDisk(place.grave)))
}

/** Every published segment, in the order of its first counter. */
export async function segmentsIn(store: ObjectStore): Promise<Found[]> {
  const found: Found[] = []
  for (const { key, sizeBytes } of await listAll(store, 'raw/ready/', never)) {
    const lines: Line[] = []
    const bad: BadLine[] = []
    const batches = readSegment(store, key, sizeBytes, never)
    for (;;) {
      const { done, value } = await batches.next()
      if (done === true) {
        assert.ok(value.header !== null, `${key}: ${value.headerProblem}`)
        found.push({ key, header: value.header, result: value, lines, bad })
        break
      }
      for (const line of value)
        if (line.kind === 'bad') bad.push(line)
        else lines.push(line)
    }
  }
  return found.sort((a, b) => a.header.n - b.header.n)
}

/** Sealed, chained, without hole or repetition, each frame the one its counter was given to. @returns the last counter */
export function assertWhole(segments: readonly Found[]): number {
  let next = 1
  let prev: string | null = null
  for (const { key, header, result, lines, bad } of segments) {
    assert.deepEqual(bad, [], key)
    assert.ok(
      result.seal !== null && result.sealProblem === null,
      `${key}: ${result.sealProblem ?? 'no seal'}`,
    )
    assert.equal(header.prev, prev, `${key}: prev`)
    assert.equal(result.seal.lines, lines.length)
    assert.equal(result.seal.last_n, lines.at(-1)?.n ?? null)
    for (const line of lines) {
      assert.equal(line.n, next++, key)
      if (line.kind === 'frame') assert.deepEqual(line.frame, frameOfLine(line.n), `${key} n ${line.n}`)
    }
    assert.equal(result.seal.last_recv_ns, String(lines.at(-1)?.recvNs), key)
    prev = result.contentSha256
  }
  return next - 1
}

/** Lets timers fire until the promise is settled: retries wait by the clock. */
export async function settle<T>(recording: Recording, promise: Promise<T>): Promise<T> {
  const state = { isDone: false }
  const done = (): void => {
    state.isDone = true
  }
  promise.then(done, done)
  while (!state.isDone) {
    // Real disk operations, and the thread that keeps digests, take real time: the clock must not run far ahead of it.
    for (let i = 0; i < 20 && !state.isDone; i++) await nextTurn()
    if (!state.isDone) await realMillisecond()
    recording.clock.advance(10)
  }
  return promise
}
