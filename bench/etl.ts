/**
 * Conversion of a segment to Parquet against the most that could be hoped for: DuckDB reading every level2 value of the same file, with
 * its schema given, and keeping nothing. Both in one run, turn by turn, since the machine may be busy.
 */

import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DuckDBInstance } from '@duckdb/node-api'
import { convertSegments } from '../src/etl/convert.ts'
import { writeBenchSegment } from './etl-segment.ts'
import { machine, median, printTable } from './report.ts'

const segmentBytes = 100_000_000
const threads = 2
const turns = 5

export async function benchEtl(): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'mdv-bench-'))
  try {
    const path = join(dir, 'segment_20251203T14_00001.ndjson')
    writeBenchSegment(path, { sizeBytes: segmentBytes, firstN: 1, products: 50 })
    const { size } = await stat(path)
    const touched: number[] = []
    const converted: number[] = []
    let rows = 0
    for (let turn = 0; turn < turns; turn++) {
      touched.push(await secondsOf(() => touchLevel2(path)))
      converted.push(
        await secondsOf(async () => {
          rows = await convert(path, join(dir, `scratch_${turn}`))
        }),
      )
    }
    report(size, rows, touched, converted)
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}

function report(
  sizeBytes: number,
  rows: number,
  touched: readonly number[],
  converted: readonly number[],
): void {
  const mbPerSecond = (seconds: number): string => (sizeBytes / 1e6 / seconds).toFixed(1)
  const ratios = converted.map((seconds, i) => touched[i]! / seconds)
  process.stdout.write(`${machine()}, medians of ${turns}\n`)
  printTable(
    ['what', 'MB/s', 'rows/s'],
    [
      ['DuckDB touches every level2 value', mbPerSecond(median(touched)), ''],
      [
        'segment to Parquet, all tables',
        mbPerSecond(median(converted)),
        (rows / median(converted)).toFixed(0),
      ],
    ],
  )
  const peakMb = process.resourceUsage().maxRSS / 1024
  process.stdout.write(`ratio ${median(ratios).toFixed(3)}, peak memory ${peakMb.toFixed(0)} MB\n`)
}

async function secondsOf(work: () => Promise<void>): Promise<number> {
  const from = performance.now()
  await work()
  return (performance.now() - from) / 1000
}

async function touchLevel2(path: string): Promise<void> {
  const instance = await DuckDBInstance.create(':memory:', { threads: String(threads) })
  const connection = await instance.connect()
  const row = 'STRUCT(side VARCHAR, event_time VARCHAR, price_level VARCHAR, new_quantity VARCHAR)'
  await connection.run(
    `SELECT sum(strlen(u.side)), sum(strlen(u.event_time)), sum(strlen(u.price_level)), sum(strlen(u.new_quantity))
     FROM (SELECT unnest(e.updates) AS u FROM (SELECT unnest(msg.events) AS e
       FROM read_json('${path}', format = 'newline_delimited', ignore_errors = true, maximum_object_size = 1048576,
         columns = {msg: 'STRUCT(events STRUCT(updates ${row}[])[])'})))`,
  )
  connection.closeSync()
  instance.closeSync()
}

/** @returns rows */
async function convert(path: string, scratchDir: string): Promise<number> {
  const label = 'segment_20251203T14_00001'
  const conversion = await convertSegments(
    [{ key: `raw/ready/coinbase/${label}.ndjson`, label, file: async () => path }],
    {
      scratchDir,
      venue: 'coinbase',
      job: `${label}_benchbench_1`,
      planGeneration: 1,
      partDigits: 'abc12345',
      onParts: () => undefined,
      software: 'mdv bench',
      numberType: 'decimal',
      compression: 'zstd',
      memoryLimitMb: 1024,
      threads,
    },
    new AbortController().signal,
  )
  await rm(scratchDir, { recursive: true })
  return conversion.parts.reduce((sum, part) => sum + part.rows, 0)
}

if (process.argv[1] === import.meta.filename) await benchEtl()
