/** Merging jobs: dying at every step, readers meanwhile, and what is worth it. */

import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import { planCompaction } from '../../src/etl/compact-plan.ts'
import { mergeInstead } from '../../src/etl/job-successor.ts'
import { verifyVault } from '../../src/query/verify/verify.ts'
import type { LocalObjectStore } from '../../src/storage/object-store.ts'
import type { Receipt } from '../../src/table/receipt.ts'
import { readReceipts } from '../../src/table/receipts.ts'
import { bindSuccessor } from '../../src/table/succession.ts'
import {
  committedCounters,
  compactDeps,
  compactLabel,
  compactRows,
  compactScenario,
  globbedCounters,
  mergeJobs,
  rowsOfThreeJobs,
  threeJobs,
} from '../crash/compact-scenario.ts'
import { localStand } from '../crash/stand.ts'
import { sweep, thin } from '../crash/sweep.ts'
import { proofOptions } from '../query/proof-options.ts'
import { SmallVault } from '../query/small-vault.ts'
import { never, settings } from './job-bench.ts'

const hourMs = 3_600_000

let vault: SmallVault
beforeEach(async () => {
  vault = await SmallVault.make()
})
afterEach(() => vault.remove())

async function findings(store: LocalObjectStore): Promise<string[]> {
  const kinds: string[] = []
  const options = proofOptions(async ({ kind, where }) => void kinds.push(`${kind} ${where}`))
  await verifyVault(store, 'coinbase', options, never)
  return kinds
}

test('three jobs of an hour become one, with the same rows, and verify has nothing to say', async () => {
  await threeJobs(vault)
  const [outcome, ...more] = await mergeJobs(vault.store, vault.store)
  assert.ok(outcome?.kind === 'merged' && more.length === 0)
  assert.equal(outcome.partsBefore, 9)
  assert.equal(outcome.receipt.parts.length, 3)
  assert.deepEqual(
    (await readReceipts(vault.store, 'coinbase', never)).map(({ job }) => job),
    [outcome.receipt.job],
  )
  assert.deepEqual(await committedCounters(vault.store), rowsOfThreeJobs)
  assert.deepEqual(await globbedCounters(vault.store), rowsOfThreeJobs)
  assert.deepEqual(await findings(vault.store), [])
  assert.deepEqual(await mergeJobs(vault.store, vault.store), [], 'and there is nothing more to do')
})

test('hours of a day that is over become one job', async () => {
  await threeJobs(vault)
  await mergeJobs(vault.store, vault.store)
  await vault.job({ label: 'segment_20251203T15_00001', firstN: 11, lastN: 13, rows: compactRows(11) })
  const outcomes = await mergeJobs(vault.store, vault.store, 24 * hourMs)
  assert.deepEqual(
    outcomes.map((outcome) => outcome.kind === 'merged' && outcome.receipt.job.slice(0, 21)),
    ['compact_20251203T00_d'],
  )
  assert.deepEqual(await globbedCounters(vault.store), [...rowsOfThreeJobs, '11', '12', '13'])
  assert.deepEqual(await findings(vault.store), [])
})

test('a merge that dies at a step leaves every row there once, and the next one ends as if it had not; all steps: test-full/', async () => {
  const { steps, reached } = await sweep(compactScenario, localStand, thin(4))
  assert.ok(steps > 20 && reached.half === 4, `${steps} steps, ${JSON.stringify(reached)}`)
})

test('a job whose next generation was begun is not merged, and one that is merged gets none', async () => {
  await threeJobs(vault)
  const [first, second] = await readReceipts(vault.store, 'coinbase', never)
  await bindSuccessor(vault.store, 'coinbase', { job: first!.job, generation: 1 }, first!.job)
  assert.deepEqual(
    (await mergeJobs(vault.store, vault.store)).map(({ kind }) => kind),
    ['held'],
  )
  assert.deepEqual(await globbedCounters(vault.store), rowsOfThreeJobs)
  // The others are bound to that merge, or free: their next generation is either refused or theirs.
  const worker = await compactDeps(vault.store, vault.store)
  assert.equal(await mergeInstead(worker, first!), null)
  assert.equal(await mergeInstead(worker, second!), null)
})

test('raw bytes that are still in raw/ready keep their job from being merged', async () => {
  await threeJobs(vault)
  await vault.readySegment(compactLabel(1), 1, [])
  const [outcome] = await mergeJobs(vault.store, vault.store)
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
