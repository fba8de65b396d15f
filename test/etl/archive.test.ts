import assert from 'node:assert/strict'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { test } from 'node:test'
import * as zlib from 'node:zlib'
import { VaultError } from '../../src/core/errors.ts'
import { archiveEnding, type ArchivedSegment } from '../../src/etl/archive.ts'
import { expired } from '../../src/etl/retention.ts'
import { runEtlOnce, type EtlOptions } from '../../src/etl/run.ts'
import { readySegmentKey } from '../../src/storage/keys.ts'
import { receiptGenerations } from '../../src/table/receipts.ts'
import { baseMs, Bench, collect, etlOptions, never, segmentBytes } from './job-bench.ts'

const archiving: EtlOptions = { ...etlOptions, archive: true }
const label = 'segment_20251203T14_00001'
const job = `${label}_abcdefghij_1`
const archivedKey = `raw/archive/coinbase/date=2025-12-03/${label}.ndjson.${archiveEnding}`
const gzKey = archivedKey.replace(/zst$/, 'gz')

async function prepare(): Promise<Bench> {
  const bench = await Bench.make()
  await bench.segment(1, 1, ['BTC-USD', 'ETH-USD'])
  return bench
}

test('a raw segment is archived under its date, unpacks to the same bytes, and only then goes', async () => {
  const bench = await prepare()
  await runEtlOnce(await bench.worker(), archiving, collect(), never)
  const { ready, archive } = await bench.state()
  assert.deepEqual([ready, archive], [[], [archivedKey]])
  const packed = await readFile(bench.store.pathOf(archivedKey))
  const unpack =
    archiveEnding === 'gz'
      ? zlib.gunzipSync
      : (zlib as unknown as { zstdDecompressSync: typeof zlib.gunzipSync }).zstdDecompressSync
  assert.equal(unpack(packed).toString('utf8'), segmentBytes(1, ['BTC-USD', 'ETH-USD']))
  await bench.remove()
})

test('a second copy of a converted segment under another name is archived once', async () => {
  const bench = await prepare()
  await runEtlOnce(await bench.worker(), archiving, collect(), never)
  const other = readySegmentKey('coinbase', label.replace('00001', '00002'))
  await bench.write(other, segmentBytes(1, ['BTC-USD', 'ETH-USD']))
  await runEtlOnce(await bench.worker(), archiving, collect(), never)
  const { ready, archive, receipts } = await bench.state()
  assert.deepEqual([ready, archive, receipts.length], [[], [archivedKey], 1])
  await bench.remove()
})

test('an archive of other bytes under the name keeps the raw segment where it is', async () => {
  for (const body of [zlib.gzipSync('something else'), Buffer.from('not packed at all')]) {
    const bench = await prepare()
    await bench.write(gzKey, body)
    const report = collect()
    const summary = await runEtlOnce(await bench.worker(), archiving, report, never)
    assert.equal(summary.failed, 1)
    const failed = report.events.find((event) => event.kind === 'failed')
    assert.ok(
      failed?.kind === 'failed' && failed.error instanceof VaultError && failed.error.kind === 'corrupt',
    )
    const { ready, receipts } = await bench.state()
    assert.deepEqual([ready, receipts.length], [[readySegmentKey('coinbase', label)], 1])
    await bench.remove()
  }
})

test('what is converted again from the archive takes the place of what was', async () => {
  const bench = await prepare()
  await bench.segment(2, 10, ['BTC-USD'])
  await runEtlOnce(await bench.worker(), archiving, collect(), never)
  const again = { ...archiving, fromArchive: true, hours: { from: '20251203T14', until: '20251203T15' } }
  const worker = await bench.worker(bench.store, { software: 'mdv better' })
  const summary = await runEtlOnce(worker, again, collect(), never)
  assert.equal(summary.segments, 2)
  assert.deepEqual(await bench.globbed(), [1, 2, 10])
  assert.deepEqual(await bench.committed(), [1, 2, 10])
  const generations = await receiptGenerations(bench.store, 'coinbase', job)
  assert.deepEqual(
    generations.map((each) => each.software),
    ['mdv test', 'mdv better'],
  )
  const { staged, archive, claims } = await bench.state()
  assert.deepEqual([staged, archive.length, claims], [[], 2, []])
  assert.equal(generations[1]!.sources[0]!.key, archivedKey)

  const twice = await runEtlOnce(worker, again, collect(), never)
  assert.deepEqual([twice.segments, twice.finished], [0, 2], 'the same bytes are not made again')
  assert.equal((await receiptGenerations(bench.store, 'coinbase', job)).length, 2)

  const outside = { ...again, hours: { from: null, until: '20251203T14' } }
  assert.equal((await runEtlOnce(await bench.worker(), outside, collect(), never)).segments, 0)
  await bench.remove()
})

test('a damaged part is replaced from the archive', async () => {
  const bench = await prepare()
  await runEtlOnce(await bench.worker(), archiving, collect(), never)
  const { key } = (await bench.state()).receipts[0]!.parts[0]!
  await writeFile(bench.store.pathOf(key), 'damaged')
  await assert.rejects(bench.committed(), /is not what was committed/)
  await runEtlOnce(await bench.worker(), { ...archiving, fromArchive: true }, collect(), never)
  assert.deepEqual(await bench.committed(), [1, 2])
  assert.deepEqual(await bench.globbed(), [1, 2])
  await bench.remove()
})

test('an archive that is a bomb is not unpacked: not beyond what the receipt says', async () => {
  const bench = await prepare()
  await runEtlOnce(await bench.worker(), archiving, collect(), never)
  await rm(bench.store.pathOf(archivedKey))
  await bench.write(gzKey, zlib.gzipSync(Buffer.alloc(100_000_000)))
  const report = collect()
  const worker = await bench.worker(bench.store, { software: 'mdv better' })
  const summary = await runEtlOnce(worker, { ...archiving, fromArchive: true }, report, never)
  assert.equal(summary.failed, 1)
  const failed = report.events.find((event) => event.kind === 'failed')
  assert.match(String(failed?.kind === 'failed' && failed.error), /unpacks to more than the \d{3,4} bytes/)
  await bench.remove()
})

test('a damaged archive changes nothing that is committed', async () => {
  const bench = await prepare()
  await runEtlOnce(await bench.worker(), archiving, collect(), never)
  const packed = await readFile(bench.store.pathOf(archivedKey))
  await writeFile(bench.store.pathOf(archivedKey), packed.subarray(0, packed.length - 9))
  const before = await bench.state()
  const report = collect()
  const worker = await bench.worker(bench.store, { software: 'mdv better' })
  const summary = await runEtlOnce(worker, { ...archiving, fromArchive: true }, report, never)
  assert.equal(summary.failed, 1)
  assert.deepEqual((await bench.state()).parts, before.parts)
  assert.deepEqual((await bench.state()).receipts, before.receipts)
  await bench.remove()
})

const day = 86_400_000

function archived(counter: number, ageDays: number, sizeBytes: number): ArchivedSegment {
  const name = `segment_20251101T14_${String(counter).padStart(5, '0')}`
  const object = { key: name, sizeBytes, modifiedMs: baseMs - ageDays * day }
  return { object, label: name, date: '2025-11-01' }
}

test('archived segments go by age and by size, oldest first, and never without a receipt', () => {
  const all = [archived(1, 20, 100), archived(2, 10, 100), archived(3, 5, 100), archived(4, 1, 100)]
  const named = new Set(all.filter((_, i) => i !== 1).map((each) => each.label))
  const going = (maxDays: number | null, maxBytes: number | null): string[] =>
    expired(all, named, { maxDays, maxBytes }, baseMs).map((each) => each.label.slice(-1))
  assert.deepEqual(going(7, null), ['1'])
  assert.deepEqual(going(null, 250), ['1', '3'])
  assert.deepEqual(going(3, 1000), ['1', '3'])
  assert.deepEqual(going(null, 400), [])
  assert.deepEqual(going(null, null), [])
  // Recorded a month ago and archived yesterday: its time begins with the archive.
  assert.deepEqual(going(2, null).includes('4'), false)
})

test('retention removes what it has to at the end of a run', async () => {
  const bench = await prepare()
  await bench.segment(2, 10, ['BTC-USD'])
  await runEtlOnce(await bench.worker(), archiving, collect(), never)
  const stranger = 'raw/archive/coinbase/date=2025-12-03/segment_20251203T14_00099.ndjson.gz'
  await bench.write(stranger, 'x')
  const report = collect()
  const limit = { ...archiving, retention: { maxDays: null, maxBytes: 0 } }
  await runEtlOnce(await bench.worker(), limit, report, never)
  assert.deepEqual((await bench.state()).archive, [stranger])
  assert.equal(report.events.filter((event) => event.kind === 'archive_removed').length, 2)
  await bench.remove()
})
