/**
 * Listing and planning over a vault of very many objects, synthetic: nothing is read or written. Each case in a process of its own, for a
 * hundred thousand and a million: `node dist/bench/listing.js`. What grows faster than what it looks at shows in the last column.
 */

import { spawnSync } from 'node:child_process'
import { planBatches } from '../src/etl/batch-plan.ts'
import { planCompaction } from '../src/etl/compact-plan.ts'
import { planRound, type ReadyFile } from '../src/etl/plan.ts'
import { chainHoles } from '../src/query/chain.ts'
import { joinSegments } from '../src/query/join-segments.ts'
import { neededParts } from '../src/query/prune/needed-parts.ts'
import { archivedSegmentKey, partitionPrefix, readySegmentKey, segmentLabel } from '../src/storage/keys.ts'
import { emptyStore } from '../src/storage/empty-store.ts'
import { listAll, type ObjectInfo, type ObjectStore } from '../src/storage/object-store.ts'
import { duckdb } from '../src/storage/duckdb.ts'
import { comparePairs } from '../src/sync/compare.ts'
import { ByIdentity } from '../src/segment/by-identity.ts'
import type { Receipt } from '../src/table/receipt.ts'
import { machine, median, printTable, tell } from './report.ts'

const venue = 'coinbase'
const recorder = 'benchbench'
const counts = [100_000, 1_000_000]
const rounds = 3
const openedMs = Date.UTC(2025, 11, 3)
const nowMs = openedMs + 10 * 366 * 86_400_000
const never = new AbortController().signal

/** One segment a minute. Hours are made beforehand: what is timed should not be the making of dates. */
const hours = Array.from({ length: counts.at(-1)! / 60 + 1 }, (_, hour) =>
  new Date(openedMs + hour * 3_600_000).toISOString().slice(0, 13).replaceAll('-', ''),
)
const labelAt = (i: number): string => segmentLabel(hours[Math.trunc(i / 60)]!, (i % 60) + 1)

/** In one piece, as text is that came from a file: what is put together is joined by who looks at it first, and that would be timed. */
const asRead = (text: string): string => Buffer.from(text).toString('latin1')

const objectAt = (key: string): ObjectInfo => ({ key, sizeBytes: 10_000_000, modifiedMs: openedMs })

/** Lists keys that are made as they are asked for. */
function storeOf(count: number, keyAt: (i: number) => string): ObjectStore {
  return {
    ...emptyStore('synthetic'),
    async *list() {
      for (let i = 0; i < count; i += 1000)
        yield Array.from({ length: Math.min(1000, count - i) }, (_, k) => objectAt(keyAt(i + k)))
    },
  }
}

function readyFiles(count: number): ReadyFile[] {
  return Array.from({ length: count }, (_, i) => ({
    object: objectAt(asRead(readySegmentKey(venue, labelAt(i)))),
    peek: { header: headerAt(i), seal: sealAt(i), problem: null },
  }))
}

const headerAt = (i: number) =>
  ({
    format: 1,
    venue,
    url: 'wss://bench',
    software: 'mdv',
    recorder,
    n: i * 1000 + 1,
    prev: null,
    opened_ns: '1',
  }) as const

const sealAt = (i: number) => ({
  lines: 1000,
  bytes: 1,
  sha256: '',
  first_n: i * 1000 + 1,
  last_n: (i + 1) * 1000,
  first_recv_ns: '1',
  last_recv_ns: '2',
  connections: [],
})

/** A segment and a part for each of `count`, ten a receipt. */
function receipts(count: number): Receipt[] {
  return Array.from({ length: count / 10 }, (_, r) => ({
    format: 1,
    job: `${labelAt(r * 10)}_${recorder}_${r}`,
    generation: 1,
    venue,
    software: 'mdv',
    number_type: 'decimal',
    sources: Array.from({ length: 10 }, (_, k) => sourceAt(r * 10 + k)),
    parts: Array.from({ length: 10 }, (_, k) => partAt(r, k)),
    lines: { total: 10_000, frames: 10_000, events: 0, rejected: 0 },
    rejects_key: null,
    writer: 'bench',
    committed_ms: openedMs,
  }))
}

const sourceAt = (i: number) => ({
  key: readySegmentKey(venue, labelAt(i)),
  label: asRead(labelAt(i)),
  recorder,
  first_n: i * 1000 + 1,
  last_n: (i + 1) * 1000,
  lines: 1000,
  size_bytes: 10_000_000,
  file_sha256: '',
  seal_sha256: null,
  first_recv_ns: '1764720000000000000',
  last_recv_ns: '1764720060000000000',
})

function partAt(r: number, k: number): Receipt['parts'][number] {
  const date = new Date(openedMs + r * 600_000).toISOString().slice(0, 10)
  const product = `P${k}-USD`
  return {
    key: `${partitionPrefix(venue, 'level2', product, date)}${r}.parquet`,
    table: 'level2',
    product_id: product,
    date,
    rows: 1000,
    size_bytes: 40_000,
    sha256: '',
    min_time_ns: '1764720000000000000',
    max_time_ns: '1764720060000000000',
  }
}

/** Each makes what it works on, and returns the work: only that is timed. */
const cases: Readonly<Record<string, (count: number) => () => Promise<unknown>>> = {
  'one listing pass': (count) => () =>
    listAll(
      storeOf(count, (i) => readySegmentKey(venue, labelAt(i))),
      '',
      never,
    ),
  'etl: plan of what waits': (count) => {
    const files = readyFiles(count)
    const limits = { segmentsMax: 60, bytesMax: 1e9, waitMs: 0, isPatient: false }
    return async () => {
      const plan = planRound(venue, files, new ByIdentity(), { from: null, until: null }, true)
      return planBatches(plan.segments, limits, nowMs)
    }
  },
  'compact: plan over all receipts': (count) => {
    const all = receipts(count)
    const settings = { software: 'mdv', compression: 'zstd' } as const
    return async () => planCompaction(all, new Set(), settings, nowMs, { bytesMax: 1e9, graceMs: 0 })
  },
  'status: segments from receipts and archive': (count) => {
    const all = receipts(count)
    const archived = Array.from({ length: count }, (_, i) =>
      objectAt(asRead(archivedSegmentKey(venue, '2025-12-03', labelAt(i), 'zst'))),
    )
    return async () => chainHoles(joinSegments({ entries: [], archived }, all))
  },
  'query: parts of one product and day': (count) => {
    const catalog = {
      venue,
      receipts: receipts(count),
      segments: [],
      adopted: [],
      staged: new Map<string, string>(),
    }
    return async () => {
      const instance = await duckdb.DuckDBInstance.create(':memory:')
      const connection = await instance.connect()
      return neededParts(
        connection,
        catalog,
        `SELECT * FROM level2 WHERE product_id = 'P3-USD' AND date = '2025-12-04'`,
      )
    }
  },
  'sync: both sides compared': (count) => {
    const store = storeOf(count, (i) => readySegmentKey(venue, labelAt(i)))
    return async () => {
      let pairs = 0
      for await (const _ of comparePairs(store, store, '', never)) pairs++
      return pairs
    }
  },
}

interface Measured {
  readonly ms: number
  readonly peakMb: number
}

/** In a child: prints how long the work took, and how much memory at its peak above what it was given, the garbage of making that included. */
async function one(name: string, count: number): Promise<void> {
  const work = cases[name]!(count)
  const before = process.memoryUsage().rss
  const from = performance.now()
  await work()
  const ms = performance.now() - from
  const peakMb = Math.max(0, process.resourceUsage().maxRSS * 1024 - before) / 1e6
  process.stdout.write(JSON.stringify({ ms, peakMb } satisfies Measured))
}

function measured(name: string, count: number): Measured {
  const args = [import.meta.filename, name, String(count)]
  const figures = Array.from({ length: rounds }, () => {
    const { stdout, status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' })
    if (status !== 0) throw new Error(`${name}: ${stderr}`)
    return JSON.parse(stdout) as Measured
  })
  return { ms: median(figures.map(({ ms }) => ms)), peakMb: median(figures.map(({ peakMb }) => peakMb)) }
}

function main(): void {
  process.stdout.write(`${machine()}, medians of ${rounds}\n`)
  const rows = Object.keys(cases).map((name) => {
    const [small, large] = counts.map((count) => measured(name, count)) as [Measured, Measured]
    tell({
      name: `${name}, 1,000,000`,
      unit: 'ms',
      value: large.ms,
      reference: small.ms,
      goal: { most: 2000, of: 'value' },
    })
    return [
      name,
      small.ms.toFixed(0),
      large.ms.toFixed(0),
      large.peakMb.toFixed(0),
      (large.ms / small.ms / 10).toFixed(2),
    ]
  })
  printTable(['what', '100,000 ms', '1,000,000 ms', 'MB above its input', 'growth (1: linear)'], rows)
}

const [name, count] = process.argv.slice(2)
if (name === undefined) main()
else await one(name, Number(count))
