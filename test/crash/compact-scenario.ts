/** A merge of three jobs of an hour, by the real engine, that may die at any step. */

import assert from 'node:assert/strict'
import { cpSync } from 'node:fs'
import { runCompaction } from '../../src/etl/compact-run.ts'
import type { CompactDeps, CompactOutcome } from '../../src/etl/compact.ts'
import { duckdb } from '../../src/storage/duckdb.ts'
import { openLocalStore } from '../../src/storage/local.ts'
import { listAll, type LocalObjectStore, type ObjectStore } from '../../src/storage/object-store.ts'
import { readReceipts, ReceiptCache } from '../../src/table/receipts.ts'
import { partLocation } from '../../src/table/staged.ts'
import { never, settings, SharedTime } from '../etl/job-bench.ts'
import { SmallVault, type RowSpec } from '../query/small-vault.ts'
import { CrashingStore, CrashNow } from '../storage/crashing-store.ts'
import type { Stand, Standing } from './stand.ts'
import type { Cleanup, CrashPoint, Ran, Scenario, World } from './sweep.ts'

const options = { bytesMax: 1e9, graceMs: 0 }
const hourMs = 3_600_000

export const compactLabel = (counter: number): string => `segment_20251203T14_0000${counter}`

export function compactRows(firstN: number): RowSpec[] {
  return [
    { table: 'level2', product: 'BTC-USD', n: firstN, values: { price: '1', size: '1' } },
    { table: 'market_trades', product: 'BTC-USD', n: firstN + 1, values: { trade_id: firstN } },
    { table: 'other', product: null, n: firstN + 2, values: { kind: 'frame', body: '{}' } },
  ]
}

/** Three jobs of one hour, lines 1 to 10 with one rejected. */
export async function threeJobs(vault: SmallVault): Promise<void> {
  const job = (counter: number, firstN: number, lastN: number, rejectedN: number[], digits: string) =>
    vault.job({ label: compactLabel(counter), firstN, lastN, rows: compactRows(firstN), rejectedN, digits })
  await job(1, 1, 4, [4], 'aaaaaaaa')
  await job(2, 5, 7, [], 'bbbbbbbb')
  await job(3, 8, 10, [], 'cccccccc')
}

export const rowsOfThreeJobs = ['1', '2', '3', '5', '6', '7', '8', '9', '10']

let workers = 0

/** @param folder where the worker's scratch is */
export async function compactDeps(
  store: ObjectStore,
  folder: LocalObjectStore,
  afterMs = 2 * hourMs,
): Promise<CompactDeps> {
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
    scratchDir: await folder.scratch(`etl/${writer}`),
    memoryLimitMb: 512,
    threads: 1,
  }
}

export async function mergeJobs(
  store: ObjectStore,
  folder: LocalObjectStore,
  afterMs?: number,
): Promise<CompactOutcome[]> {
  const outcomes: CompactOutcome[] = []
  const report = {
    outcome: (outcome: CompactOutcome) => void outcomes.push(outcome),
    failed: (_plan: unknown, error: unknown) => {
      throw error
    },
  }
  await runCompaction(await compactDeps(store, folder, afterMs), options, report, new ReceiptCache(), never)
  return outcomes
}

/** One engine for all looks: to start one takes longer than to look. */
let engine: Promise<Awaited<ReturnType<typeof duckdb.DuckDBInstance.create>>> | undefined

async function countersOf(paths: readonly string[]): Promise<string[]> {
  if (paths.length === 0) return []
  engine ??= duckdb.DuckDBInstance.create(':memory:')
  const connection = await (await engine).connect()
  const list = paths.map((path) => `'${path}'`).join(', ')
  const reader = await connection.runAndReadAll(
    `SELECT n FROM read_parquet([${list}], union_by_name = true) ORDER BY n`,
  )
  const found = reader.getRows().map(([n]) => String(n))
  connection.closeSync()
  return found
}

/** The counters of all rows that a reader of receipts finds. */
export async function committedCounters(store: LocalObjectStore): Promise<string[]> {
  const paths: string[] = []
  for (const receipt of await readReceipts(store, 'coinbase', never))
    for (const part of receipt.parts) {
      const key = await partLocation(store, receipt, part)
      assert.ok(key !== undefined, `${part.key} is named by ${receipt.job} and nowhere`)
      paths.push(store.pathOf(key))
    }
  return countersOf(paths)
}

/** The counters of all rows that a reader by glob finds. */
export async function globbedCounters(store: LocalObjectStore): Promise<string[]> {
  const objects = await listAll(store, 'processed/', never)
  const parts = objects.filter(({ key }) => key.endsWith('.parquet'))
  return countersOf(parts.map(({ key }) => store.pathOf(key)))
}

class CompactWorld implements World {
  readonly #folder: LocalObjectStore
  readonly #standing: Standing

  constructor(folder: LocalObjectStore, standing: Standing) {
    this.#folder = folder
    this.#standing = standing
  }

  async run({ at, kind }: CrashPoint): Promise<Ran> {
    const store = new CrashingStore(this.#standing.store, at, kind)
    await mergeJobs(store, this.#folder).catch((error: unknown) => {
      if (!(error instanceof CrashNow)) throw error
    })
    await store.quiet()
    return store
  }

  async assertWhole(): Promise<void> {
    await this.#standing.mirror()
    assert.deepEqual(await committedCounters(this.#folder), rowsOfThreeJobs, 'readers of receipts')
    const seen = await globbedCounters(this.#folder)
    assert.equal(new Set(seen).size, seen.length, 'a glob sees a row twice')
  }

  async finish(): Promise<void> {
    await mergeJobs(this.#standing.store, this.#folder)
    await this.#standing.mirror()
  }

  async state(): Promise<unknown> {
    const objects = await listAll(this.#folder, '', never)
    return {
      keys: objects.map(({ key }) => key).filter((key) => !key.startsWith('raw/processing/')),
      committed: await committedCounters(this.#folder),
      globbed: await globbedCounters(this.#folder),
    }
  }
}

export const compactScenario: Scenario = {
  program: 'compact',
  story: 'three jobs of an hour',
  kinds: ['landed', 'lost', 'half'],
  isTypical: true,
  async begin(stand: Stand, cleanup: Cleanup) {
    const vault = await SmallVault.make()
    cleanup.after(() => vault.remove())
    await threeJobs(vault)
    return async (each: Cleanup): Promise<World> => {
      const copy = await SmallVault.make()
      each.after(() => copy.remove())
      cpSync(vault.baseDir, copy.baseDir, { recursive: true })
      const folder = await openLocalStore(copy.baseDir)
      return new CompactWorld(folder, await stand.stand(folder, each))
    }
  },
}
