import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import type { Clock } from '../../src/core/clock.ts'
import { countGapsToday } from '../../src/query/gaps-today.ts'
import { readSegmentBytes } from '../../src/query/segments.ts'
import { readStatus } from '../../src/query/status.ts'
import { thisProcess } from '../../src/storage/process-identity.ts'
import { baseNs, reading, SmallVault } from './small-vault.ts'

let vault: SmallVault
const signal = new AbortController().signal
const clock: Clock = {
  nowMs: () => Date.now(),
  nowNs: () => baseNs,
  monotonicMs: () => 0,
  monotonicNs: () => 0n,
  after: () => ({ cancel: () => undefined }),
  sleep: async () => undefined,
}

beforeEach(async () => {
  vault = await SmallVault.make()
})
afterEach(() => vault.remove())

const headerOf = (n: number): string =>
  `{"segment":{"format":1,"venue":"coinbase","url":"","software":"","recorder":"abcdefghij","n":${n},"prev":null,"opened_ns":"1"}}\n`

const bid = (n: number) =>
  ({ table: 'level2', product: 'BTC-USD', n, values: { side: 'bid', price: '1', size: '1' } }) as const

test('an empty vault has a status: nothing anywhere, nobody recording, disk free', async () => {
  const { status } = await readStatus(vault.reader, null, clock, 'coinbase', signal)
  assert.deepEqual(
    status.stages.map((each) => [each.stage, each.count, each.sizeBytes]),
    [
      ['active', 0, 0],
      ['ready', 0, 0],
      ['processing', 0, 0],
      ['rejected', 0, 0],
      ['archive', 0, 0],
      ['parts', 0, 0],
    ],
  )
  assert.equal(status.recorder.state, 'none')
  assert.ok(reading.isFar ? status.disk === null : status.disk!.freeBytes > 0)
  assert.equal(status.disk?.daysLeft ?? null, null)
})

test('a sealed segment waiting is the backlog; one with a claim is being processed; one that a receipt covers is neither', async () => {
  const ready = await vault.readySegment('segment_20251203T14_00001', 1, [{ clock_step: { step_ns: '1' } }])
  await vault.readySegment('segment_20251203T14_00002', 2, [{ clock_step: { step_ns: '1' } }])
  await vault.write('raw/processing/coinbase/segment_20251203T14_00002_abcdefghij_2.1.claim.json', '{}')
  await vault.readySegment('segment_20251203T14_00003', 3, [{ clock_step: { step_ns: '1' } }])
  await vault.job({ label: 'segment_20251203T14_00003', firstN: 3, lastN: 3, rows: [bid(3)] })
  const { status } = await readStatus(vault.reader, null, clock, 'coinbase', signal)
  const counts = Object.fromEntries(status.stages.map((each) => [each.stage, each.count]))
  assert.deepEqual(counts, { active: 0, ready: 1, processing: 1, rejected: 0, archive: 0, parts: 1 })
  assert.equal(status.backlog.segments, 2)
  assert.equal(status.backlog.sizeBytes, 2 * (await vault.sizeOf(ready)))
  assert.equal(status.rows.level2, 1)
})

test('the last frame of each channel is read from the end of the growing segment, of each table from receipts', async () => {
  await vault.job({ label: 'segment_20251203T14_00001', firstN: 1, lastN: 3, rows: [bid(1), bid(3)] })
  const header = headerOf(4)
  const line = (n: number, channel: string): string =>
    `{"n":${n},"recv_ns":"${n}000","conn":"abcdefghij-1","len":9,"msg":{"channel":"${channel}"},"crc":"00000000"}\n`
  await vault.write(
    'raw/active/coinbase/segment_20251203T14_00002.ndjson',
    header + line(4, 'l2_data') + line(5, 'ticker') + line(6, 'l2_data') + '{"n":7,"recv_',
  )
  const { status } = await readStatus(vault.reader, null, clock, 'coinbase', signal)
  assert.deepEqual(
    status.lastFrames.map((last) => [last.of, last.name, last.timeNs]),
    [
      ['table', 'level2', baseNs + 3_000_000n],
      ['channel', 'l2_data', 6000n],
      ['channel', 'ticker', 5000n],
    ],
  )
})

test('a segment that grows by chunks in a bucket is one segment, with the frames of its last chunk', async () => {
  const header = headerOf(1)
  const line = (n: number): string =>
    `{"n":${n},"recv_ns":"${n}000","conn":"abcdefghij-1","len":9,"msg":{"channel":"ticker"},"crc":"00000000"}\n`
  const chunks = 'raw/active/coinbase/segment_20251203T14_00001.abcdefghij/'
  await vault.write(`${chunks}00001.ndjson`, header + line(1))
  await vault.write(`${chunks}00002.ndjson`, line(2) + line(3))
  const { status, catalog } = await readStatus(vault.reader, null, clock, 'coinbase', signal)
  const sizeBytes = header.length + 3 * line(1).length
  assert.deepEqual([status.stages[0]!.count, status.stages[0]!.sizeBytes], [1, sizeBytes])
  assert.deepEqual(
    status.lastFrames.map((last) => [last.name, last.timeNs]),
    [['ticker', 3000n]],
  )
  const [segment] = catalog.segments
  assert.deepEqual(
    [segment!.label, segment!.state, segment!.rawKey, segment!.header!.n],
    ['segment_20251203T14_00001', 'active', chunks, 1],
  )
  let whole = ''
  for await (const bytes of readSegmentBytes(vault.reader, segment!.rawKey!, signal)) whole += bytes
  assert.equal(whole, header + line(1) + line(2) + line(3))
})

test('what waits in a local spool is told, and its recorder is the one of the vault', async () => {
  const spool = await SmallVault.make()
  const ready = await spool.readySegment('segment_20251203T14_00001', 1, [{ clock_step: { step_ns: '1' } }])
  const lease = { ...(await thisProcess()), purpose: 'mdv ingest', token: 't' }
  await spool.write('raw/active/coinbase/recorder.1.lease.json', JSON.stringify({ lease }))
  const { status } = await readStatus(vault.reader, spool.store, clock, 'coinbase', signal)
  assert.equal(status.recorder.state, 'recording')
  assert.deepEqual([status.spool!.segments, status.spool!.sizeBytes], [1, await spool.sizeOf(ready)])
  await spool.remove()
})

test('a foreign file in raw/ready is named as a problem and is no backlog', async () => {
  await vault.write('raw/ready/coinbase/holiday.jpg', 'not a segment\n')
  await vault.write('raw/ready/coinbase/segment_20251203T14_00009.ndjson', '')
  const { status } = await readStatus(vault.reader, null, clock, 'coinbase', signal)
  assert.equal(status.backlog.segments, 0)
  assert.equal(status.problems.length, 2)
  assert.match(status.problems.join('\n'), /holiday\.jpg: its first line is not a segment header/)
})

test('gaps of today are counted by cause from that day only', async () => {
  const gap = (cause: string, missing: number | null) =>
    JSON.stringify({ gap: { cause, after_seq: 1, before_seq: 9, missing, products: [] } })
  const event = (n: number, date: string, body: string) =>
    ({ table: 'other', product: null, date, n, values: { kind: 'event', body } }) as const
  await vault.job({
    label: 'segment_20251203T14_00001',
    firstN: 1,
    lastN: 3,
    rows: [
      event(1, '2025-12-03', gap('sequence', 7)),
      event(2, '2025-12-03', gap('closed', null)),
      event(3, '2025-12-04', gap('sequence', 5)),
    ],
  })
  const { catalog } = await readStatus(vault.reader, null, clock, 'coinbase', signal)
  assert.deepEqual(await countGapsToday(vault.reader, catalog, '2025-12-03', signal), {
    date: '2025-12-03',
    gaps: 2,
    missing: 7n,
    causes: { closed: 1, sequence: 1 },
  })
})

test('a recorder that holds its lease is recording; one whose process is gone has died', async () => {
  const key = 'raw/active/coinbase/recorder.1.lease.json'
  const lease = { ...(await thisProcess()), purpose: 'mdv ingest', token: 't' }
  await vault.write(key, JSON.stringify({ lease }))
  assert.equal(
    (await readStatus(vault.reader, null, clock, 'coinbase', signal)).status.recorder.state,
    'recording',
  )
  await vault.write(key, JSON.stringify({ lease: { ...lease, started: 'another start' } }))
  const { recorder } = (await readStatus(vault.reader, null, clock, 'coinbase', signal)).status
  assert.equal(recorder.state, lease.started === null ? 'recording' : 'died')
})
