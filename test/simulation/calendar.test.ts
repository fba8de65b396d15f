/**
 * A leap year of a recorder's log, from the noon before it to the noon after it, on a clock that jumps: what a segment is called, and on which
 * dates its rows lie, by UTC, whatever the clock, the calendar and the time zone of the process do.
 */

import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, test } from 'node:test'
import type { Clock, Timer } from '../../src/core/clock.ts'
import { utcHour } from '../../src/core/time.ts'
import { ClaimBoard } from '../../src/etl/claim-board.ts'
import { convertSegments } from '../../src/etl/convert.ts'
import { runEtlOnce } from '../../src/etl/run.ts'
import { SourceFiles } from '../../src/etl/source-files.ts'
import { SegmentLog, type LogConnection } from '../../src/segment/log.ts'
import { writeHere } from '../../src/segment/writer.ts'
import { openLocalStore } from '../../src/storage/local.ts'
import { thisProcess } from '../../src/storage/process-identity.ts'
import { readReceipts } from '../../src/table/receipts.ts'
import { collect, etlOptions, never } from '../etl/job-bench.ts'
import { smallOptions } from '../segment/recorded.ts'
import { MemoryFolder } from './memory-folder.ts'

const zoneBefore = process.env['TZ']
after(() => setZone(zoneBefore))

function setZone(zone: string | undefined): void {
  if (zone === undefined) delete process.env['TZ']
  else process.env['TZ'] = zone
}

/** Far from UTC, with a day that is another one, with half and quarter hours, and with summer time. */
const zones = [
  'Pacific/Kiritimati',
  'Pacific/Pago_Pago',
  'Asia/Kathmandu',
  'America/New_York',
  'Australia/Lord_Howe',
]

/** What is due by the time it is asked is called then, once, as for a process that slept. */
class JumpingClock implements Clock {
  wallMs: number
  #elapsedMs = 0
  #due = new Map<() => void, number>()

  constructor(wallMs: number) {
    this.wallMs = wallMs
  }

  nowMs = (): number => this.wallMs
  nowNs = (): bigint => BigInt(this.wallMs) * 1_000_000n
  monotonicMs = (): number => this.#elapsedMs
  monotonicNs = (): bigint => BigInt(this.#elapsedMs) * 1_000_000n

  after(delayMs: number, callback: () => void): Timer {
    this.#due.set(callback, this.#elapsedMs + delayMs)
    return { cancel: () => void this.#due.delete(callback) }
  }

  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => void this.after(delayMs, resolve))
  }

  jump(ms: number): void {
    this.wallMs += ms
    this.#elapsedMs += ms
    for (const [callback, dueMs] of new Map(this.#due))
      if (dueMs <= this.#elapsedMs && this.#due.delete(callback)) callback()
  }
}

interface Segment {
  readonly label: string
  readonly header: { readonly n: number; readonly opened_ns: string }
  readonly text: string
}

class Recording {
  readonly clock: JumpingClock
  readonly segments: Segment[] = []
  readonly #folder = new MemoryFolder()
  readonly #log: SegmentLog
  readonly #connection: LogConnection
  #sequence = 0

  constructor(from: string) {
    this.clock = new JumpingClock(Date.parse(from))
    const { disk, store } = this.#folder
    this.#log = new SegmentLog(
      { clock: this.clock, openWriter: writeHere({ store, disk, clock: this.clock }) },
      { ...smallOptions, segmentBytesMax: 100_000 },
    )
    this.#connection = this.#log.openConnection('abcdefghij-1', ['BTC-USD'])
  }

  /** Time passes, and a frame of that time comes and is made durable. */
  async pass(ms: number, pad = 0): Promise<void> {
    this.clock.jump(ms)
    const { clock } = this
    const stamp = new Date(clock.nowMs()).toISOString()
    const frame = `{"channel":"ticker","timestamp":"${stamp}","sequence_num":${this.#sequence++},"events":[],"pad":"${'x'.repeat(pad)}"}`
    this.#log.appendFrame(this.#connection, clock.nowNs(), Buffer.from(frame), false, this.#sequence - 1)
    await this.#log.flush()
  }

  /** Takes what was published out of the folder, as a converter does. */
  take(): void {
    for (const key of this.#folder.keys('raw/ready/coinbase/')) {
      const text = this.#folder.take(key).toString()
      const { segment } = JSON.parse(text.slice(0, text.indexOf('\n'))) as { segment: Segment['header'] }
      this.segments.push({ label: /segment_[^.]+/.exec(key)![0], header: segment, text })
    }
  }

  async end(): Promise<readonly Segment[]> {
    await this.#log.close()
    this.take()
    return this.segments.sort((a, b) => a.header.n - b.header.n)
  }
}

/** Counters go on from segment to segment, and each is called after the UTC hour in which it was opened, by a name of its own. */
function assertNamed(segments: readonly Segment[]): void {
  let next = 1
  for (const { label, header, text } of segments) {
    assert.equal(header.n, next)
    next += text.split('\n').length - 3
    const hour = utcHour(Number(BigInt(header.opened_ns) / 1_000_000n))
    assert.ok(label.startsWith(`segment_${hour}_`), `${label} was opened in ${hour}`)
  }
  assert.equal(new Set(segments.map(({ label }) => label)).size, segments.length)
}

const minute = 60_000

test('each of the 8,808 hours around a leap year has one segment of its own, numbered 1, in every time zone', async () => {
  const recording = new Recording('2027-12-31T12:00:00Z')
  const hours = (366 + 1) * 24
  for (let hour = 0; hour < hours; hour++) {
    if (hour % 500 === 0) setZone(zones[(hour / 500) % zones.length])
    for (let half = 0; half < 2; half++) await recording.pass(30 * minute)
    if (hour % 24 === 0) recording.take()
  }
  const segments = await recording.end()
  assertNamed(segments)
  const labels = segments.map(({ label }) => label)
  const first = Date.parse('2027-12-31T12:00:00Z')
  const expected = Array.from(
    { length: hours + 1 },
    (_, i) => `segment_${utcHour(first + i * 60 * minute)}_00001`,
  )
  assert.deepEqual(labels, expected)
  for (const hour of ['20280101T00', '20280229T00', '20280229T23', '20280301T00', '20290101T00'])
    assert.ok(labels.includes(`segment_${hour}_00001`), hour)
})

test('within an hour segments are counted, and the next hour begins at 1 again', async () => {
  const recording = new Recording('2026-12-31T22:30:00Z')
  for (let i = 0; i < 12; i++) await recording.pass(10 * minute, 60_000)
  const segments = await recording.end()
  assertNamed(segments)
  assert.deepEqual(
    segments.map(({ label }) => label.slice(8)),
    [
      '20261231T22_00001',
      '20261231T22_00002',
      '20261231T23_00001',
      '20261231T23_00002',
      '20261231T23_00003',
      '20270101T00_00001',
      '20270101T00_00002',
      '20270101T00_00003',
    ],
  )
})

test('a leap second that comes twice at midnight makes two short segments, and no name twice', async () => {
  const recording = new Recording('2026-06-30T23:30:00Z')
  await recording.pass(29 * minute + 59_500)
  await recording.pass(1_000)
  // 23:59:59 is repeated.
  recording.clock.wallMs -= 1_000
  await recording.pass(1_000, 1)
  for (let i = 0; i < 4; i++) await recording.pass(1_000)
  const segments = await recording.end()
  assertNamed(segments)
  assert.deepEqual(
    [...new Set(segments.map(({ label }) => label.slice(8, 19)))],
    ['20260630T23', '20260701T00'],
  )
})

for (const [backMs, words] of [
  [15 * minute, 'a quarter of an hour'],
  [3 * 60 * minute, 'three hours'],
  [26 * 60 * minute, 'a day'],
] as const)
  test(`a clock set back by ${words} over the hour goes on counting in hours that were there before`, async () => {
    const recording = new Recording('2027-01-01T00:10:00Z')
    for (let i = 0; i < 4; i++) await recording.pass(30 * minute)
    recording.clock.wallMs -= backMs
    await recording.pass(minute)
    for (let i = 0; i < 8; i++) await recording.pass(30 * minute)
    const segments = await recording.end()
    assertNamed(segments)
    const again = segments.filter(({ label }) => !label.endsWith('_00001'))
    assert.ok(backMs > 24 * 60 * minute || again.length > 0, 'an hour came twice')
  })

test('rows lie on the UTC dates of their frames, in whatever time zone they are converted', async (t) => {
  for (const zone of zones) {
    setZone(zone)
    const folder = await mkdtemp(join(tmpdir(), 'mdv-calendar-'))
    t.after(() => rm(folder, { recursive: true, force: true }))
    const recording = new Recording('2028-02-28T23:40:00Z')
    for (const ms of [19 * minute, 59_999, 1, 1, 24 * 60 * minute - 2, 1, 1]) await recording.pass(ms)
    const store = await openLocalStore(folder)
    for (const { label, text } of await recording.end()) {
      const path = store.pathOf(`raw/ready/coinbase/${label}.ndjson`)
      await mkdir(dirname(path), { recursive: true })
      await writeFile(path, text)
    }
    const parts = (await convertIn(store)).flatMap((receipt) => receipt.parts)
    const dates = new Map<string, number>()
    for (const { date, rows, min_time_ns: from, max_time_ns: until } of parts) {
      dates.set(date, (dates.get(date) ?? 0) + rows)
      for (const ns of [from, until])
        assert.equal(new Date(Number(BigInt(ns) / 1_000_000n)).toISOString().slice(0, 10), date, zone)
    }
    assert.deepEqual([...dates.keys()].sort(), ['2028-02-28', '2028-02-29', '2028-03-01'], zone)
  }
})

async function convertIn(store: Awaited<ReturnType<typeof openLocalStore>>) {
  const settings = { software: 'mdv test', numberType: 'decimal', compression: 'zstd' } as const
  const scratchDir = join(await store.scratch('etl'), 'test')
  const clock = new JumpingClock(Date.parse('2028-03-02T00:00:00Z'))
  const deps = {
    store,
    clock,
    venue: 'coinbase',
    settings,
    worker: { writer: 'test', identity: await thisProcess(), isDead: async () => false },
    scratchDir,
    files: new SourceFiles(store, scratchDir),
    board: new ClaimBoard({ store, clock, venue: 'coinbase' }),
    convert: ((sources, plan, signal) =>
      convertSegments(
        sources,
        { ...plan, ...settings, memoryLimitMb: 512, threads: 1 },
        signal,
      )) as Parameters<typeof runEtlOnce>[0]['convert'],
  }
  const { failed } = await runEtlOnce(deps, etlOptions, collect(), never)
  assert.equal(failed, 0)
  return readReceipts(store, 'coinbase', never)
}
