/** Merging jobs: dying at every step, readers meanwhile, and what is worth it. */

import assert from 'node:assert/strict'
import { cpSync } from 'node:fs'
import { afterEach, beforeEach, test } from 'node:test'
import { forEachAtOnce } from '../../src/core/at-once.ts'
import { planCompaction } from '../../src/etl/compact-plan.ts'
import { runCompaction } from '../../src/etl/compact-run.ts'
import type { CompactDeps, CompactOutcome } from '../../src/etl/compact.ts'
import { mergeInstead } from '../../src/etl/job-successor.ts'
import { verifyVault } from '../../src/query/verify/verify.ts'
import { duckdb } from '../../src/storage/duckdb.ts'
import { openLocalStore } from '../../src/storage/local.ts'
import { listAll, type LocalObjectStore } from '../../src/storage/object-store.ts'
import type { Receipt } from '../../src/table/receipt.ts'
import { readReceipts } from '../../src/table/receipts.ts'
import { partLocation } from '../../src/table/staged.ts'
import { bindSuccessor } from '../../src/table/succession.ts'
import { SmallVault, type RowSpec } from '../query/small-vault.ts'
import { Crash, CrashingStore, never, settings, SharedTime } from './job-bench.ts'

const options = { bytesMax: 1e9, graceMs: 0 }
const hourMs = 3_600_000

let vault: SmallVault
beforeEach(async () => {
  vault = await SmallVault.make()
})
afterEach(() => vault.remove())

const label = (counter: number): string => `segment_20251203T14_0000${counter}`

function rows(firstN: number): RowSpec[] {
  return [
    { table: 'level2', product: 'BTC-USD', n: firstN, values: { price: '1', size: '1' } },
    { table: 'market_trades', product: 'BTC-USD', n: firstN + 1, values: { trade_id: firstN } },
    { table: 'other', product: null, n: firstN + 2, values: { kind: 'frame', body: '{}' } },
  ]
}

/** Three jobs of one hour, lines 1 to 12 with one rejected. */
async function threeJobs(): Promise<void> {
  await vault.job({ label: label(1), firstN: 1, lastN: 4, rows: rows(1), rejectedN: [4], digits: 'aaaaaaaa' })
  await vault.job({ label: label(2), firstN: 5, lastN: 7, rows: rows(5), digits: 'bbbbbbbb' })
  await vault.job({ label: label(3), firstN: 8, lastN: 10, rows: rows(8), digits: 'cccccccc' })
}

let workers = 0

async function deps(store: LocalObjectStore, afterMs = 2 * hourMs): Promise<CompactDeps> {
  const writer = `writer${++workers}`
  const time = new SharedTime()
  time.ms = afterMs
  return {
    store,
    clock: time.clock(),
    venue: 'coinbase',
    settings,
    worker: {
      writer,
      identity: { host: 'here', boot: null, pid_namespace: null, pid: workers, started: null },
      // Whoever had a claim before is dead by now.
      isDead: async () => true,
    },
    scratchDir: await openScratch(store, writer),
    memoryLimitMb: 512,
    threads: 1,
  }
}

async function openScratch(store: LocalObjectStore, writer: string): Promise<string> {
  return (await openLocalStore(store.location)).scratch(`etl/${writer}`)
}

async function merge(store: LocalObjectStore, afterMs?: number): Promise<CompactOutcome[]> {
  const outcomes: CompactOutcome[] = []
  const report = {
    outcome: (outcome: CompactOutcome) => void outcomes.push(outcome),
    failed: (_plan: unknown, error: unknown) => {
      throw error
    },
  }
  await runCompaction(await deps(store, afterMs), options, report, new Map(), never)
  return outcomes
}

async function lines(paths: readonly string[]): Promise<string[]> {
  if (paths.length === 0) return []
  const instance = await duckdb.DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  const list = paths.map((path) => `'${path}'`).join(', ')
  const reader = await connection.runAndReadAll(
    `SELECT n FROM read_parquet([${list}], union_by_name = true) ORDER BY n`,
  )
  const found = reader.getRows().map(([n]) => String(n))
  connection.closeSync()
  instance.closeSync()
  return found
}

const expected = ['1', '2', '3', '5', '6', '7', '8', '9', '10']

async function committed(store: LocalObjectStore): Promise<string[]> {
  const paths: string[] = []
  for (const receipt of await readReceipts(store, 'coinbase', never))
    for (const part of receipt.parts) {
      const key = await partLocation(store, receipt, part)
      assert.ok(key !== undefined, `${part.key} is named by ${receipt.job} and nowhere`)
      paths.push(store.pathOf(key))
    }
  return lines(paths)
}

async function globbed(store: LocalObjectStore): Promise<string[]> {
  const objects = await listAll(store, 'processed/', never)
  return lines(objects.filter(({ key }) => key.endsWith('.parquet')).map(({ key }) => store.pathOf(key)))
}

async function findings(store: LocalObjectStore): Promise<string[]> {
  const kinds: string[] = []
  const verifyOptions = {
    since: null,
    rebuild: null,
    memoryLimitMb: 512,
    onFinding: async (finding: { kind: string; where: string }) =>
      void kinds.push(`${finding.kind} ${finding.where}`),
    onProgress: () => undefined,
  }
  await verifyVault(store, 'coinbase', verifyOptions, never)
  return kinds
}

test('three jobs of an hour become one, with the same rows, and verify has nothing to say', async () => {
  await threeJobs()
  const [outcome, ...more] = await merge(vault.store)
  assert.ok(outcome?.kind === 'merged' && more.length === 0)
  assert.equal(outcome.partsBefore, 9)
  assert.equal(outcome.receipt.parts.length, 3)
  assert.deepEqual(
    (await readReceipts(vault.store, 'coinbase', never)).map(({ job }) => job),
    [outcome.receipt.job],
  )
  assert.deepEqual(await committed(vault.store), expected)
  assert.deepEqual(await globbed(vault.store), expected)
  assert.deepEqual(await findings(vault.store), [])
  assert.deepEqual(await merge(vault.store), [], 'and there is nothing more to do')
})

test('hours of a day that is over become one job', async () => {
  await threeJobs()
  await merge(vault.store)
  await vault.job({ label: 'segment_20251203T15_00001', firstN: 11, lastN: 13, rows: rows(11) })
  const outcomes = await merge(vault.store, 24 * hourMs)
  assert.deepEqual(
    outcomes.map((outcome) => outcome.kind === 'merged' && outcome.receipt.job.slice(0, 21)),
    ['compact_20251203T00_d'],
  )
  assert.deepEqual(await globbed(vault.store), [...expected, '11', '12', '13'])
  assert.deepEqual(await findings(vault.store), [])
})

test('a merge that dies at any step leaves every row there once, and the next one ends as if it had not', async (t) => {
  await threeJobs()
  const counting = new CrashingStore(await copyOf(t))
  await merge(counting)
  const end = await stateOf(counting)
  assert.ok(counting.changes > 20, `only ${counting.changes} changes were made`)
  const crashes = [
    ...Array.from({ length: counting.changes }, (_, i) => ({ at: i + 1, mode: 'landed' as const })),
    ...counting.published.map((at) => ({ at, mode: 'half' as const })),
  ]
  await forEachAtOnce(crashes, 4, async ({ at, mode }) => {
    const store = await copyOf(t)
    const dying = new CrashingStore(store, at, mode)
    await assert.rejects(merge(dying), Crash, `change ${at} was never made`)
    assert.deepEqual(await committed(store), expected, `readers of receipts after ${mode} at ${at}`)
    const seen = await globbed(store)
    assert.equal(new Set(seen).size, seen.length, `a glob sees a row twice after ${mode} at ${at}`)
    await merge(store)
    assert.deepEqual(await stateOf(store), end, `after ${mode} at ${at}`)
  })
})

/** A vault of its own with the same objects. */
async function copyOf(t: { after(fn: () => Promise<void>): void }): Promise<LocalObjectStore> {
  const copy = await SmallVault.make()
  t.after(() => copy.remove())
  cpSync(vault.baseDir, copy.baseDir, { recursive: true })
  return copy.store
}

async function stateOf(store: LocalObjectStore) {
  const objects = await listAll(store, '', never)
  return {
    keys: objects.map(({ key }) => key).filter((key) => !key.startsWith('raw/processing/')),
    rows: await committed(store),
  }
}

test('a job whose next generation was begun is not merged, and one that is merged gets none', async () => {
  await threeJobs()
  const [first, second] = await readReceipts(vault.store, 'coinbase', never)
  await bindSuccessor(vault.store, 'coinbase', { job: first!.job, generation: 1 }, first!.job)
  assert.deepEqual(
    (await merge(vault.store)).map(({ kind }) => kind),
    ['held'],
  )
  assert.deepEqual(await globbed(vault.store), expected)
  // The others are bound to that merge, or free: their next generation is either refused or theirs.
  const worker = await deps(vault.store)
  assert.equal(await mergeInstead(worker, first!), null)
  assert.equal(await mergeInstead(worker, second!), null)
})

test('raw bytes that are still in raw/ready keep their job from being merged', async () => {
  await threeJobs()
  await vault.readySegment(label(1), 1, [])
  const [outcome] = await merge(vault.store)
  assert.ok(outcome?.kind === 'merged')
  assert.equal(outcome.receipt.supersedes?.length, 2)
})

function receiptOf(job: string, sizeBytes: number): Receipt {
  return {
    job,
    generation: 1,
    number_type: 'decimal',
    sources: [],
    parts: [{ size_bytes: sizeBytes }],
  } as unknown as Receipt
}

const plan = (receipts: readonly Receipt[], nowText: string, bytesMax = 1e9) =>
  planCompaction(receipts, new Set(), settings, Date.parse(nowText), { bytesMax, graceMs: 0 }).map((one) =>
    one.inputs.map(({ job }) => job),
  )

test('an hour is merged when it is over, and not before', () => {
  const jobs = ['segment_20251203T14_00001_a_1', 'segment_20251203T14_00002_a_2']
  const receipts = jobs.map((job) => receiptOf(job, 10))
  assert.deepEqual(plan(receipts, '2025-12-03T14:59:59Z'), [])
  assert.deepEqual(plan(receipts, '2025-12-03T15:00:00Z'), [jobs])
})

test('a latecomer waits until it is worth writing the rest again', () => {
  const day = receiptOf('compact_20251203T00_d_0123456789abcdef', 1000)
  const late = (size: number): Receipt => receiptOf('segment_20251203T09_00001_a_1', size)
  assert.deepEqual(plan([day, late(249)], '2025-12-05T00:00:00Z'), [])
  assert.equal(plan([day, late(250)], '2025-12-05T00:00:00Z').length, 1)
})

test('a merge holds no more than it may, and never a single job', () => {
  const jobs = [1, 2, 3, 4, 5].map((counter) =>
    receiptOf(`segment_20251203T14_0000${counter}_a_${counter}`, 10),
  )
  const plans = plan(jobs, '2025-12-03T15:00:00Z', 20)
  assert.deepEqual(
    plans.map((inputs) => inputs.length),
    [2, 2],
  )
})
