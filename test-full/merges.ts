/**
 * `node --expose-gc --min-semi-space-size=16 --max-semi-space-size=16 dist/test-full/merges.js 60`: as many merges by one process, each of a day
 * of ten segments that came in meanwhile, and its resident memory after each. A soak of an hour has six of them, too few to tell a slope.
 */

import { fork, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { systemClock } from '../src/cli/system-clock.ts'
import { runCompaction, type CompactReport } from '../src/etl/compact-run.ts'
import { openWorkerScratch } from '../src/etl/sweep.ts'
import { duckdb } from '../src/storage/duckdb.ts'
import { openLocalStore } from '../src/storage/local.ts'
import { isProvablyDead, thisProcess } from '../src/storage/process-identity.ts'
import { ReceiptCache } from '../src/table/receipts.ts'
import { OlderHours } from './soak/older-hours.ts'
import { medianOf, theilSen } from './soak/slope.ts'

const roundMs = 600_000
const segmentsADay = 10
/** Caches fill and the heap finds its size. */
const warmUp = 0.25
const main = fileURLToPath(new URL('../src/cli/main.js', import.meta.url))

/** In a child, whose memory is its own: a day's segments each time it is told so. */
function bringDays(folder: string, baseDir: string): void {
  const startMs = Date.now()
  const hours = new OlderHours(folder, baseDir, startMs, roundMs)
  process.on('message', (day: number) => void bring(day))

  async function bring(day: number): Promise<void> {
    for (let i = 0; i < segmentsADay; i++) await hours.bring(startMs + day * roundMs)
    process.send!('brought')
  }
}

async function merge(merges: number): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'mdv-merges-'))
  const baseDir = join(folder, 'vault')
  const store = await openLocalStore(baseDir)
  const child = fork(import.meta.filename, [folder, baseDir])
  const worker = { writer: 'manymergesmerges', identity: await thisProcess(), isDead: isProvablyDead }
  const deps = {
    store,
    clock: systemClock,
    venue: 'coinbase',
    settings: {
      software: `test duckdb ${duckdb.version()}`,
      numberType: 'decimal',
      compression: 'zstd',
    } as const,
    worker,
    scratchDir: await openWorkerScratch(store, worker),
    memoryLimitMb: 600,
    threads: availableParallelism(),
  }
  const cache = new ReceiptCache()
  const samples: { s: number; value: number }[] = []
  let merged = 0
  const report: CompactReport = {
    outcome: () => void merged++,
    failed(_plan, error) {
      throw error
    },
  }
  try {
    for (let day = 0; day < merges; day++) {
      child.send(day)
      await once(child, 'message')
      const { status, stderr } = spawnSync(
        process.execPath,
        [main, 'etl', '--once', '--base-dir', baseDir, '--batch-max-segments', '1'],
        { encoding: 'utf8' },
      )
      if (status !== 0) throw new Error(stderr)
      await runCompaction(deps, { bytesMax: 2e9, graceMs: 0 }, report, cache, new AbortController().signal)
      globalThis.gc?.()
      const value = process.memoryUsage().rss / 1e6
      samples.push({ s: day, value })
      console.log(`${day + 1}: ${merged} merged, ${value.toFixed(0)} MB`)
    }
  } finally {
    child.disconnect()
    await rm(folder, { recursive: true, force: true })
  }
  const warm = samples.slice(Math.floor(merges * warmUp))
  const values = warm.map(({ value }) => value)
  console.log(
    `after the first quarter: median ${medianOf(values).toFixed(0)} MB, at most ${Math.max(...values).toFixed(0)}, ${theilSen(warm).toFixed(3)} MB a merge`,
  )
}

const [first, second] = process.argv.slice(2)
if (second !== undefined) bringDays(first!, second)
else await merge(Number(first ?? 60))
