/** What rounds of conversion remember of receipts, and what they need not ask. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { makeMemory, runEtlOnce, type EtlMemory, type EtlOptions } from '../../src/etl/run.ts'
import type { JobDeps } from '../../src/etl/job-commit.ts'
import { FarStore } from '../storage/far-store.ts'
import { Bench, collect, etlOptions, never } from './job-bench.ts'

const usual: EtlOptions = { ...etlOptions, sweep: false }

/** @returns kinds of what was told */
async function round(deps: JobDeps, memory: EtlMemory, options: EtlOptions): Promise<string[]> {
  const report = collect()
  await runEtlOnce(deps, options, report, never, memory)
  return report.events.map(({ kind }) => kind)
}

test('what is remembered of a segment goes with its raw bytes, however many were converted', async () => {
  const bench = await Bench.make()
  const worker = await bench.worker()
  const memory = makeMemory()
  for (let i = 1; i <= 5; i++) {
    await bench.segment(i, i, ['BTC-USD'])
    assert.deepEqual(await round(worker, memory, usual), ['converted'])
    assert.ok(memory.sources.ready.size <= 1)
  }
  assert.deepEqual(await round(worker, memory, { ...usual, sweep: true }), [])
  assert.deepEqual(await round(worker, memory, usual), [])
  const { ready, archived } = memory.sources
  assert.deepEqual([ready.size, archived.size, memory.peeks.size], [0, 0, 0])
  await bench.remove()
})

test('where raw segments stay, those that another worker converted are not claimed, and are asked for once', async () => {
  const bench = await Bench.make(true)
  for (const i of [1, 2, 3]) await bench.segment(i, i, ['BTC-USD'])
  const kept = { ...usual, deleteRaw: false }
  assert.deepEqual(await round(await bench.worker(), makeMemory(), kept), [
    'converted',
    'converted',
    'converted',
  ])
  const store = new FarStore(bench.store)
  const other = { ...(await bench.worker()), store }
  const memory = makeMemory()
  assert.deepEqual(await round(other, memory, kept), [])
  assert.equal(store.requests.put, 0)
  const { get } = store.requests
  assert.deepEqual(await round(other, memory, kept), [])
  assert.equal(store.requests.get, get)
  await bench.segment(4, 4, ['BTC-USD'])
  assert.deepEqual(await round(other, memory, kept), ['converted'])
  assert.equal(memory.sources.ready.size, 4)
  await bench.remove()
})

test('what a commit left in raw/ready when its worker died is brought to its end without a look at all receipts', async () => {
  const bench = await Bench.make()
  await bench.segment(1, 1, ['BTC-USD'])
  await round(await bench.worker(), makeMemory(), { ...usual, deleteRaw: false })
  assert.deepEqual(await round(await bench.worker(), makeMemory(), usual), ['finished'])
  assert.deepEqual((await bench.state()).ready, [])
  await bench.remove()
})

test('the archive is kept in its bounds by rounds that read no receipts, by what they archived themselves', async () => {
  const bench = await Bench.make()
  const worker = await bench.worker()
  const memory = makeMemory()
  const options = { ...usual, archive: true, retention: { maxDays: null, maxBytes: 1 } }
  for (const i of [1, 2]) {
    await bench.segment(i, i, ['BTC-USD'])
    assert.deepEqual(await round(worker, memory, options), ['converted', 'archive_removed'])
    bench.time.ms += 15 * 60_000
  }
  assert.deepEqual((await bench.state()).archive, [])
  await round(worker, memory, options)
  assert.ok(memory.sources.archived.size <= 1)
  await bench.remove()
})
