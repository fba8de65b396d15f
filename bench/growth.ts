/**
 * What conversion costs as products grow: a segment of 100 MB with 1, 10, 100 and 1,000 of them, each in a process of its own, in turn:
 * `node dist/bench/growth.js [ROUNDS]`. The frames are as many and as large; only more products share them.
 */

import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { convertSegments } from '../src/etl/convert.ts'
import { readySegmentKey } from '../src/storage/keys.ts'
import { benchPlan, writeBenchSegment } from './etl-segment.ts'
import { machine, median, printTable } from './report.ts'

const label = 'segment_20251203T14_00001'
const productCounts = [1, 10, 100, 1000]

interface Cost {
  readonly mbPerSecond: number
  readonly cpuSeconds: number
  readonly peakMb: number
  readonly parts: number
  readonly parquetMb: number
}

/** In a child. */
async function convert(path: string, scratchDir: string): Promise<Cost> {
  const from = performance.now()
  const cpu = process.cpuUsage()
  const source = { key: readySegmentKey('coinbase', label), label, file: async () => path }
  const { parts } = await convertSegments(
    [source],
    benchPlan(label, scratchDir),
    new AbortController().signal,
  )
  const { user, system } = process.cpuUsage(cpu)
  return {
    mbPerSecond: statSync(path).size / 1e6 / ((performance.now() - from) / 1000),
    cpuSeconds: (user + system) / 1e6,
    peakMb: process.resourceUsage().maxRSS / 1024,
    parts: parts.length,
    parquetMb: parts.reduce((sum, part) => sum + part.sizeBytes, 0) / 1e6,
  }
}

function main(rounds: number): void {
  const dir = mkdtempSync(join(tmpdir(), 'mdv-bench-'))
  const costs = productCounts.map(() => [] as Cost[])
  try {
    const paths = productCounts.map((products) => {
      const path = join(dir, `${products}.ndjson`)
      writeBenchSegment(path, { sizeBytes: 100_000_000, firstN: 1, products })
      return path
    })
    for (let round = 0; round < rounds; round++)
      paths.forEach((path, i) => {
        const scratchDir = join(dir, 'scratch')
        const { stdout, stderr, status } = spawnSync(
          process.execPath,
          [import.meta.filename, path, scratchDir],
          {
            encoding: 'utf8',
          },
        )
        if (status !== 0) throw new Error(stderr)
        costs[i]!.push(JSON.parse(stdout) as Cost)
        rmSync(scratchDir, { recursive: true })
      })
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
  process.stdout.write(`${machine()}, a segment of 100 MB, medians of ${rounds}\n`)
  const cell = (all: readonly Cost[], of: (cost: Cost) => number, digits: number): string =>
    median(all.map(of)).toFixed(digits)
  printTable(
    ['products', 'MB/s', 'CPU s', 'peak MB', 'parts', 'MB of Parquet'],
    costs.map((all, i) => [
      String(productCounts[i]),
      cell(all, (cost) => cost.mbPerSecond, 1),
      cell(all, (cost) => cost.cpuSeconds, 2),
      cell(all, (cost) => cost.peakMb, 0),
      cell(all, (cost) => cost.parts, 0),
      cell(all, (cost) => cost.parquetMb, 1),
    ]),
  )
}

const [first, scratchDir] = process.argv.slice(2)
if (scratchDir === undefined) main(Number(first ?? 3))
else process.stdout.write(JSON.stringify(await convert(first!, scratchDir)))
