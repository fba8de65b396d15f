/** A vault for bench/query.ts: one product and day with real rows, and as many parts beside it as are wished, which no question there needs. */

import { createHash } from 'node:crypto'
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { DuckDBConnection } from '@duckdb/node-api'
import { tableColumns } from '../src/dataset/tables.ts'
import { parquetOptionsSql } from '../src/etl/convert-parts.ts'
import { partitionPrefix, receiptKey, segmentLabel } from '../src/storage/keys.ts'
import type { Receipt, ReceiptPart, TableName } from '../src/table/receipt.ts'
import { encodeReceipt } from '../src/table/receipts.ts'

export const benchProduct = 'BTC-USD'
export const benchDate = '2025-12-03'
const venue = 'coinbase'
const recorder = 'benchbench'
const dayFromNs = 1_764_720_000_000_000_000n
const dayNs = 86_400_000_000_000n
/** A batch of segments four times an hour. */
export const jobsPerDay = 96

export interface BenchRows {
  readonly table: TableName
  /** In the day. */
  readonly rows: number
}

/** Makes `<table>_day`: a day of rows of one product, in the order of its files. The same rows each time. */
export async function makeDay(connection: DuckDBConnection, { table, rows }: BenchRows): Promise<void> {
  const common = `'coinbase' AS venue, '${recorder}' AS recorder, i AS n, '${recorder}-1' AS conn, i AS sequence_num,
    NULL::VARCHAR AS client_id, 0::INTEGER AS event_index, 0::INTEGER AS row_index, NULL::VARCHAR AS extra,
    t AS exchange_ns, t + 31000000 AS recv_ns, make_timestamptz(t // 1000) AS exchange_time`
  const price = `(62000 + (hash(i) % 100000) / 100.0)::DECIMAL(38,18)`
  const own: Readonly<Partial<Record<TableName, string>>> = {
    market_trades: `i AS trade_id, ${price} AS price, ((hash(i + 7) % 100000000) / 1e8)::DECIMAL(38,18) AS size, make_timestamptz(t // 1000) AS time,
      CASE hash(i) % 2 WHEN 0 THEN 'BUY' ELSE 'SELL' END AS maker_side, CASE hash(i) % 2 WHEN 0 THEN 'SELL' ELSE 'BUY' END AS aggressor_side,
      false AS from_snapshot`,
    level2: `CASE hash(i) % 2 WHEN 0 THEN 'bid' ELSE 'offer' END AS side,
      (62500 + CASE hash(i) % 2 WHEN 0 THEN -1 ELSE 1 END * (1 + hash(i + 3) % 20000) / 100.0)::DECIMAL(38,18) AS price,
      CASE WHEN hash(i + 5) % 3 = 0 THEN 0 ELSE (hash(i + 7) % 100000000) / 1e8 END::DECIMAL(38,18) AS size,
      make_timestamptz(t // 1000) AS event_time, false AS is_snapshot`,
  }
  const columns = tableColumns(table, 'decimal')
  await connection.run(
    `CREATE TABLE ${table}_day AS SELECT ${columns.map(({ name }) => `"${name}"`).join(', ')}
     FROM (SELECT ${own[table]}, ${common} FROM (SELECT i, ${dayFromNs} + i * ${dayNs / BigInt(rows)} AS t FROM range(0, ${rows}) r(i)))
     ORDER BY exchange_ns`,
  )
}

/** Writes the day as one file, as well sorted as can be. */
export async function writeDayFile(
  connection: DuckDBConnection,
  table: TableName,
  path: string,
): Promise<void> {
  await connection.run(
    `COPY (FROM ${table}_day) TO '${path}' (${parquetOptionsSql('zstd', { mdv_job: 'bench' })})`,
  )
}

/** Of a segment with fifty products and three tables, or two of them with merged days. */
const partsPerReceipt = 100

/**
 * Writes the day as parts of jobs with their receipts, and receipts of a hundred other parts each, of other products and days, to be `parts`
 * in all. The others' files are not made: whoever opens one fails.
 */
export async function writeVault(
  connection: DuckDBConnection,
  baseDir: string,
  tables: readonly TableName[],
  parts: number,
): Promise<void> {
  const own = await Promise.all(tables.map((table) => writeDayParts(connection, baseDir, table)))
  for (let job = 0; job < jobsPerDay; job++)
    await writeReceipt(
      baseDir,
      job,
      own.map((table) => table[job]!),
    )
  let left = parts - own.flat().length
  for (let job = jobsPerDay; left > 0; job++) {
    const count = Math.min(left, partsPerReceipt)
    await writeReceipt(baseDir, job, otherParts(job, count))
    left -= count
  }
}

const jobName = (job: number): string => `${recorder}_${job + 1}_1`
/** Jobs after the first 96 are of later days. */
const dateOf = (job: number): string =>
  new Date(Number(spanOf(job)[0] / 1_000_000n)).toISOString().slice(0, 10)
const spanOf = (job: number): readonly [bigint, bigint] => [
  dayFromNs + (dayNs * BigInt(job)) / BigInt(jobsPerDay),
  dayFromNs + (dayNs * BigInt(job + 1)) / BigInt(jobsPerDay) - 1n,
]

async function writeDayParts(
  connection: DuckDBConnection,
  baseDir: string,
  table: TableName,
): Promise<ReceiptPart[]> {
  const parts: ReceiptPart[] = []
  for (let job = 0; job < jobsPerDay; job++) {
    const [fromNs, untilNs] = spanOf(job)
    const key = `${partitionPrefix(venue, table, benchProduct, benchDate)}${jobName(job)}.parquet`
    const path = join(baseDir, key)
    await mkdir(dirname(path), { recursive: true })
    const rows = `FROM ${table}_day WHERE exchange_ns BETWEEN ${fromNs} AND ${untilNs}`
    await connection.run(`COPY (${rows}) TO '${path}' (${parquetOptionsSql('zstd', { mdv_job: 'bench' })})`)
    const count = Number((await connection.runAndReadAll(`SELECT count(*) ${rows}`)).getRows()[0]![0])
    parts.push({
      key,
      table,
      product_id: benchProduct,
      date: benchDate,
      rows: count,
      size_bytes: (await stat(path)).size,
      sha256: createHash('sha256')
        .update(await readFile(path))
        .digest('hex'),
      min_time_ns: String(fromNs),
      max_time_ns: String(untilNs),
    })
  }
  return parts
}

const otherTables: readonly TableName[] = ['level2', 'market_trades', 'ticker']

function otherParts(job: number, count: number): ReceiptPart[] {
  const [fromNs, untilNs] = spanOf(job)
  return Array.from({ length: count }, (_, i) => {
    const table = otherTables[i % otherTables.length]!
    const product = `P${Math.trunc(i / otherTables.length)}-USD`
    const date = dateOf(job)
    return {
      key: `${partitionPrefix(venue, table, product, date)}${jobName(job)}.parquet`,
      table,
      product_id: product,
      date,
      rows: 1000,
      size_bytes: 40_000,
      sha256: createHash('sha256').update(`${job}.${i}`).digest('hex'),
      min_time_ns: String(fromNs),
      max_time_ns: String(untilNs),
    }
  })
}

async function writeReceipt(baseDir: string, job: number, parts: readonly ReceiptPart[]): Promise<void> {
  const rows = parts.reduce((sum, part) => sum + part.rows, 0)
  const [fromNs, untilNs] = spanOf(job)
  const hour = String(Math.trunc((job % jobsPerDay) / 4)).padStart(2, '0')
  const label = segmentLabel(`${dateOf(job).replaceAll('-', '')}T${hour}`, (job % 4) + 1)
  const receipt: Receipt = {
    format: 1,
    job: jobName(job),
    generation: 1,
    venue,
    software: 'mdv bench',
    number_type: 'decimal',
    sources: [
      {
        key: `raw/ready/${venue}/${label}.ndjson`,
        label,
        recorder,
        first_n: job * 1_000_000 + 1,
        last_n: (job + 1) * 1_000_000,
        lines: 1_000_000,
        size_bytes: rows * 100,
        file_sha256: createHash('sha256').update(String(job)).digest('hex'),
        seal_sha256: createHash('sha256').update(`seal ${job}`).digest('hex'),
        first_recv_ns: String(fromNs),
        last_recv_ns: String(untilNs),
      },
    ],
    parts,
    lines: { total: 1_000_000, frames: 1_000_000, events: 0, rejected: 0 },
    rejects_key: null,
    writer: 'benchbenchbenchb',
    committed_ms: Number(untilNs / 1_000_000n),
  }
  const path = join(baseDir, receiptKey(venue, receipt.job, 1))
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, encodeReceipt(receipt))
}
