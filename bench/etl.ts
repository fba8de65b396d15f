/**
 * Conversion of a segment to Parquet against the most that could be hoped for: DuckDB touching every leaf of the same file once, with its
 * schema given. Both in one run, turn by turn, since the machine may be busy. `node dist/bench/etl.js [MB] [TURNS]`
 */

import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DuckDBInstance } from '@duckdb/node-api'
import { convertSegments } from '../src/etl/convert.ts'
import { benchPlan, writeBenchSegment } from './etl-segment.ts'
import { machine, median, printTable, tell } from './report.ts'
import { rowFields } from './venue-fields.ts'

const segmentBytes = Number(process.argv[2] ?? 100) * 1e6
const turns = Number(process.argv[3] ?? 5)
/** As many as `benchPlan` gives a conversion. */
const threads = 2

async function benchEtl(): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'mdv-bench-'))
  try {
    const path = join(dir, 'segment_20251203T14_00001.ndjson')
    writeBenchSegment(path, { sizeBytes: segmentBytes, firstN: 1, products: 50 })
    const { size } = await stat(path)
    const touched: number[] = []
    const converted: number[] = []
    let rows = 0
    for (let turn = 0; turn < turns; turn++) {
      touched.push(await secondsOf(() => touchEveryLeaf(path)))
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
      ['DuckDB touches every leaf', mbPerSecond(median(touched)), ''],
      [
        'segment to Parquet, all tables',
        mbPerSecond(median(converted)),
        (rows / median(converted)).toFixed(0),
      ],
    ],
  )
  process.stdout.write(`ratio ${median(ratios).toFixed(3)}\n`)
  tell({
    name: `conversion of ${Math.round(sizeBytes / 1e6)} MB to sorted Parquet`,
    unit: 'MB/s',
    value: sizeBytes / 1e6 / median(converted),
    reference: sizeBytes / 1e6 / median(touched),
    ratio: median(ratios),
    goal: { least: 0.25, of: 'ratio' },
  })
}

async function secondsOf(work: () => Promise<void>): Promise<number> {
  const from = performance.now()
  await work()
  return (performance.now() - from) / 1000
}

const texts = (names: readonly string[]): string =>
  `STRUCT(${names.map((name) => `"${name}" VARCHAR`).join(', ')})`
const leaves = (names: readonly string[]): string =>
  names.map((name) => `sum(strlen(u."${name}"))`).join(', ')

/** One read of the file, and one look at each value. */
async function touchEveryLeaf(path: string): Promise<void> {
  const instance = await DuckDBInstance.create(':memory:', { threads: String(threads) })
  const connection = await instance.connect()
  const rows = Object.entries(rowFields).map(([list, names]) => `${list} ${texts(names)}[]`)
  await connection.run(
    `WITH line AS MATERIALIZED (SELECT n, recv_ns, conn, len, crc, msg.channel AS channel, msg."timestamp" AS time, msg.sequence_num AS sequence,
        unnest(msg.events) AS e
      FROM read_json('${path}', format = 'newline_delimited', ignore_errors = true, maximum_object_size = 1048576, columns = {
        n: 'BIGINT', recv_ns: 'BIGINT', conn: 'VARCHAR', len: 'BIGINT', crc: 'VARCHAR',
        msg: 'STRUCT(channel VARCHAR, "timestamp" VARCHAR, sequence_num BIGINT, events STRUCT("type" VARCHAR, product_id VARCHAR,
          current_time VARCHAR, heartbeat_counter BIGINT, ${rows.join(', ')})[])'}))
    SELECT (SELECT (sum(n), sum(recv_ns), sum(strlen(conn)), sum(len), sum(strlen(crc)), sum(strlen(channel)), sum(strlen(time)), sum(sequence),
        sum(strlen(e."type")), sum(strlen(e.product_id)), sum(strlen(e.current_time)), sum(e.heartbeat_counter)) FROM line),
      ${Object.entries(rowFields)
        .map(([list, names]) => `(SELECT (${leaves(names)}) FROM (SELECT unnest(e.${list}) AS u FROM line))`)
        .join(',\n      ')}`,
  )
  connection.closeSync()
  instance.closeSync()
}

/** What it makes stays, as in a vault: removing files slows the making of others for a minute (ext4). @returns rows */
async function convert(path: string, scratchDir: string): Promise<number> {
  const label = 'segment_20251203T14_00001'
  const conversion = await convertSegments(
    [{ key: `raw/ready/coinbase/${label}.ndjson`, label, file: async () => path }],
    benchPlan(label, scratchDir),
    new AbortController().signal,
  )
  return conversion.parts.reduce((sum, part) => sum + part.rows, 0)
}

await benchEtl()
