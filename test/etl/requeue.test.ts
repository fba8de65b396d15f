import assert from 'node:assert/strict'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { test } from 'node:test'
import { VaultError } from '../../src/core/errors.ts'
import { runEtlOnce, type EtlOptions } from '../../src/etl/run.ts'
import { readySegmentKey } from '../../src/storage/keys.ts'
import type { Receipt } from '../../src/table/receipt.ts'
import { currentReceipt, receiptGenerations } from '../../src/table/receipts.ts'
import { Bench, collect, etlOptions, never, segmentBytes } from './job-bench.ts'

const archiving: EtlOptions = { ...etlOptions, archive: true }
const label = 'segment_20251203T14_00001'
const job = `${label}_abcdefghij_1`
const damaged = 'processed/coinbase/_damaged/'

async function converted(options: EtlOptions = archiving): Promise<{ bench: Bench; receipt: Receipt }> {
  const bench = await Bench.make()
  await bench.segment(1, 1, ['BTC-USD', 'ETH-USD', 'reject'])
  await bench.segment(2, 10, ['BTC-USD'])
  await runEtlOnce(await bench.worker(), options, collect(), never)
  return { bench, receipt: (await currentReceipt(bench.store, 'coinbase', job))! }
}

async function requeue(bench: Bench, ...names: string[]) {
  const report = collect()
  const options = { ...archiving, requeue: names }
  const summary = await runEtlOnce(await bench.worker(), options, report, never)
  const failed = report.events.flatMap((event) => (event.kind === 'failed' ? [event.error] : []))
  return { summary, failed }
}

test('a damaged part is converted again as the next generation, and kept where no glob finds it', async () => {
  const { bench, receipt } = await converted()
  const { key } = receipt.parts[0]!
  await writeFile(bench.store.pathOf(key), 'damaged')
  await rm(bench.store.pathOf(receipt.parts[1]!.key))
  const { summary } = await requeue(bench, job)
  assert.equal(summary.segments, 1)
  assert.deepEqual(
    [await bench.committed(), await bench.globbed()],
    [
      [1, 2, 10],
      [1, 2, 10],
    ],
  )
  assert.equal((await receiptGenerations(bench.store, 'coinbase', job)).length, 2)
  const [kept, ...more] = await bench.keys(damaged)
  assert.deepEqual(more, [], 'of the part that was gone there is nothing to keep')
  assert.equal(kept, `${damaged}${job}.g1/${key.slice('processed/coinbase/'.length)}.kept`)
  assert.equal(await readFile(bench.store.pathOf(kept), 'utf8'), 'damaged')
  await bench.remove()
})

test('a job without a damaged part is converted again all the same, and every part is kept: rows in them may be wrong', async () => {
  const { bench, receipt } = await converted()
  assert.equal((await requeue(bench, label)).summary.segments, 1)
  assert.deepEqual(
    [await bench.committed(), await bench.globbed()],
    [
      [1, 2, 10],
      [1, 2, 10],
    ],
  )
  assert.equal((await bench.keys(damaged)).length, receipt.parts.length)
  const [, next] = await receiptGenerations(bench.store, 'coinbase', job)
  assert.notEqual(next!.rejects_key, receipt.rejects_key)
  assert.equal((await bench.keys('raw/rejected/')).length, 2, 'the rejects of both generations')
  await bench.remove()
})

test('raw bytes in raw/ready will do, whatever they are called', async () => {
  const { bench, receipt } = await converted(etlOptions)
  await rm(bench.store.pathOf(receipt.parts[0]!.key))
  await bench.write(
    readySegmentKey('coinbase', 'segment_20251203T14_00077'),
    segmentBytes(1, ['BTC-USD', 'ETH-USD', 'reject']),
  )
  assert.equal((await requeue(bench, job)).summary.segments, 1)
  assert.deepEqual(
    [await bench.committed(), await bench.globbed()],
    [
      [1, 2, 10],
      [1, 2, 10],
    ],
  )
  await bench.remove()
})

test('raw bytes that a repair put aside, damaged as they were when they were converted, will do too', async () => {
  const { bench, receipt } = await converted(etlOptions)
  await rm(bench.store.pathOf(receipt.parts[0]!.key))
  const text = segmentBytes(1, ['BTC-USD', 'ETH-USD', 'reject'])
  const digest = receipt.sources[0]!.file_sha256.slice(0, 12)
  await bench.write(`raw/rejected/coinbase/${label}.ndjson.${digest}.damaged`, text)
  assert.equal((await requeue(bench, job)).summary.segments, 1)
  assert.deepEqual(
    [await bench.committed(), await bench.globbed()],
    [
      [1, 2, 10],
      [1, 2, 10],
    ],
  )
  await bench.remove()
})

test('where the raw bytes are gone it is said what is lost and how it comes back, and nothing is touched', async () => {
  const { bench, receipt } = await converted(etlOptions)
  await writeFile(bench.store.pathOf(receipt.parts[0]!.key), 'damaged')
  const before = await bench.state()
  const { summary, failed } = await requeue(bench, job)
  assert.deepEqual([summary.segments, summary.failed], [0, 1])
  const [error] = failed
  assert.ok(error instanceof VaultError && error.kind === 'corrupt')
  assert.match(error.message, /raw bytes of 1 of its 1 segments are gone \(segment_20251203T14_00001\)/)
  assert.match(error.message, /1 rows in 1 parts are missing or damaged \(ticker BTC-USD 2025-12-03\)/)
  assert.match(error.remedy!, /mdv sync COPY VAULT/)
  assert.deepEqual(await bench.state(), before)
  assert.deepEqual(await bench.keys(damaged), [])
  await bench.remove()
})

test('raw bytes that are not those converted change nothing', async () => {
  const { bench, receipt } = await converted(etlOptions)
  await rm(bench.store.pathOf(receipt.parts[0]!.key))
  const other = segmentBytes(1, ['BTC-USD', 'ETH-EUR', 'reject'])
  await bench.write(readySegmentKey('coinbase', label), other)
  const { failed } = await requeue(bench, job)
  assert.match(String(failed[0]), /in the receipt of segment_20251203T14_00001/)
  assert.equal((await receiptGenerations(bench.store, 'coinbase', job)).length, 1)
  await bench.remove()
})

test('a name that is no job and no segment of one is refused before anything is done', async () => {
  const { bench } = await converted()
  await assert.rejects(requeue(bench, label, 'segment_20251203T14_00099'), /no job that is committed/)
  assert.equal((await receiptGenerations(bench.store, 'coinbase', job)).length, 1)
  await bench.remove()
})

test('raw bytes that come back go only after every part was read and found whole; a flipped byte is repaired from them', async () => {
  const { bench, receipt } = await converted(etlOptions)
  const { key } = receipt.parts[0]!
  const bytes = await readFile(bench.store.pathOf(key))
  bytes[2]! ^= 1
  await writeFile(bench.store.pathOf(key), bytes)
  await bench.write(readySegmentKey('coinbase', label), segmentBytes(1, ['BTC-USD', 'ETH-USD', 'reject']))
  const summary = await runEtlOnce(await bench.worker(), etlOptions, collect(), never)
  assert.equal(summary.segments, 1)
  assert.deepEqual(
    [await bench.committed(), await bench.globbed()],
    [
      [1, 2, 10],
      [1, 2, 10],
    ],
  )
  assert.deepEqual(await bench.keys('raw/ready/'), [])
  assert.equal((await bench.keys(damaged)).length, 1)
  await bench.remove()
})
