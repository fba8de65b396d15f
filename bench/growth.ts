/**
 * What conversion costs as products and segments grow: 100 MB with 1, 10, 100 and 1,000 products, whose frames are as many and as large, and
 * 1 GB; each in a process of its own, in turn: `node dist/bench/growth.js [ROUNDS]`.
 */

import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { convertSegments } from '../src/etl/convert.ts'
import { readySegmentKey } from '../src/storage/keys.ts'
import { benchPlan, writeBenchSegment } from './etl-segment.ts'
import { machine, median, printTable, tell } from './report.ts'

const label = 'segment_20251203T14_00001'
const cases = [
  { products: 1, sizeMb: 100 },
  { products: 10, sizeMb: 100 },
  { products: 100, sizeMb: 100 },
  { products: 1000, sizeMb: 100 },
  { products: 50, sizeMb: 1000 },
]
/** Of the process that converts. */
const peakMbMax = 600

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
  const costs = cases.map(() => [] as Cost[])
  try {
    const paths = cases.map(({ products, sizeMb }) => {
      const path = join(dir, `${products}_${sizeMb}.ndjson`)
      writeBenchSegment(path, { sizeBytes: sizeMb * 1e6, firstN: 1, products })
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
  process.stdout.write(`${machine()}, one segment, medians of ${rounds}\n`)
  const cell = (all: readonly Cost[], of: (cost: Cost) => number, digits: number): string =>
    median(all.map(of)).toFixed(digits)
  printTable(
    ['products', 'MB', 'MB/s', 'CPU s', 'peak MB', 'parts', 'MB of Parquet'],
    costs.map((all, i) => [
      String(cases[i]!.products),
      String(cases[i]!.sizeMb),
      cell(all, (cost) => cost.mbPerSecond, 1),
      cell(all, (cost) => cost.cpuSeconds, 2),
      cell(all, (cost) => cost.peakMb, 0),
      cell(all, (cost) => cost.parts, 0),
      cell(all, (cost) => cost.parquetMb, 1),
    ]),
  )
  cases.forEach(({ products, sizeMb }, i) => {
    if (products !== 50 && products !== 100) return
    tell({
      name: `resident memory of a conversion of ${sizeMb} MB, ${products} products`,
      unit: 'MB',
      value: median(costs[i]!.map((cost) => cost.peakMb)),
      reference: sizeMb,
      goal: { most: peakMbMax, of: 'value' },
    })
  })
}

const [first, scratchDir] = process.argv.slice(2)
if (scratchDir === undefined) main(Number(first ?? 3))
else process.stdout.write(JSON.stringify(await convert(first!, scratchDir)))
