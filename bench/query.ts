/**
 * Questions of one product and day, in vaults of 1,000 and 100,000 parts, against DuckDB asked the same of one perfectly sorted file with
 * the same rows. Whole processes, from start to the last row, in turn: `node dist/bench/query.js [ROUNDS]`.
 */

import { spawnSync } from 'node:child_process'
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { DuckDBConnection } from '@duckdb/node-api'
import { duckdb } from '../src/storage/duckdb.ts'
import type { TableName } from '../src/table/receipt.ts'
import { benchDate, benchProduct, makeDay, writeDayFile, writeVault } from './query-vault.ts'
import { cleanEnv } from './clean-env.ts'
import { machine, median, printTable, tell } from './report.ts'

const rounds = Number(process.argv[2] ?? 7)
const partCounts = [1_000, 100_000]
/** Alike, in the day of which an hour is read. */
const products = 20
const days = [
  { table: 'market_trades', rows: 1_000_000 },
  { table: 'level2', rows: 3_000_000 },
] as const

interface Question {
  readonly name: string
  readonly table: TableName
  /** @param from what stands after FROM: a view or a file @param where of the product and day */
  sql(from: string, where: string): string
}

const questions: readonly Question[] = [
  {
    name: '1-minute candles of a day',
    table: 'market_trades',
    sql: (from, where) =>
      `SELECT time_bucket(INTERVAL 1 minute, exchange_time) AS minute, arg_min(price, exchange_ns) AS open, max(price) AS high, min(price) AS low,
        arg_max(price, exchange_ns) AS close, sum(size) AS volume FROM ${from} WHERE ${where} GROUP BY minute ORDER BY minute`,
  },
  {
    name: 'top of book at a time',
    table: 'level2',
    sql: (from, where) =>
      `SELECT max(price) FILTER (side = 'bid') AS bid, min(price) FILTER (side = 'offer') AS offer FROM (
        SELECT side, price, arg_max(size, exchange_ns) AS size FROM ${from}
        WHERE ${where} AND exchange_time <= TIMESTAMPTZ '${benchDate} 06:00:00Z' GROUP BY side, price) WHERE size > 0`,
  },
]

const script = (name: string): string => fileURLToPath(new URL(name, import.meta.url))

/** @returns milliseconds and what was printed */
function timed(args: readonly string[], cwd: string): { readonly ms: number; readonly text: string } {
  const from = performance.now()
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    cwd,
    env: cleanEnv(),
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  })
  if (status !== 0) throw new Error(`${args.join(' ')}: ${stderr}`)
  return { ms: performance.now() - from, text: stdout }
}

/** Rows as numbers, by name: times are printed in two ways, and are compared by their order. */
function numbersOf(text: string): string {
  const rows = text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
  return JSON.stringify(
    rows.map((row) => Object.entries(row).map(([name, value]) => [name, Number(value)])),
  ).replaceAll(/\["minute",[^\]]*\]/g, '')
}

/** The least that a question through DuckDB in Node takes. */
const bareScript = `
import { DuckDBInstance } from '@duckdb/node-api'
const instance = await DuckDBInstance.create(':memory:')
const connection = await instance.connect()
await connection.run("SET TimeZone = 'UTC'")
const reader = await connection.runAndReadAll(process.argv[2])
for (const row of reader.getRowObjectsJson()) console.log(JSON.stringify(row))
`

async function main(): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'mdv-bench-'))
  const bare = script(`query-bare.${process.pid}.mjs`)
  try {
    await writeFile(bare, bareScript)
    await prepare(dir)
    process.stdout.write(`${machine()}, whole processes, medians of ${rounds}\n`)
    const rows = questions.flatMap((question) => compare(question, dir, bare))
    printTable(
      ['question', 'reference ms', ...partCounts.flatMap((parts) => [`${parts} parts ms`, 'ratio'])],
      rows,
    )
  } finally {
    await rm(bare, { force: true })
    await rm(dir, { recursive: true, force: true })
  }
}

async function prepare(dir: string): Promise<void> {
  const instance = await duckdb.DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  await connection.run("SET TimeZone = 'UTC'")
  for (const day of days) {
    await makeDay(connection, day)
    await writeDayFile(connection, day.table, join(dir, `${day.table}.parquet`))
  }
  await hourShare(connection, join(dir, 'level2.parquet'))
  for (const parts of partCounts)
    await writeVault(
      connection,
      join(dir, `vault_${parts}`),
      days.map(({ table }) => table),
      parts,
    )
  connection.closeSync()
  instance.closeSync()
}

/** What of a merged day a question of one product and hour reads: row groups that hold some of it, and the footer. Of other products it opens nothing. */
async function hourShare(connection: DuckDBConnection, path: string): Promise<void> {
  const fromNs = BigInt(Date.parse(`${benchDate}T06:00:00Z`)) * 1_000_000n
  const reader = await connection.runAndReadAll(
    `SELECT coalesce(sum(total_compressed_size) FILTER (row_group_id IN (
        SELECT row_group_id FROM parquet_metadata('${path}') WHERE path_in_schema = 'exchange_ns'
          AND stats_max_value::BIGINT >= ${fromNs} AND stats_min_value::BIGINT < ${fromNs + 3_600_000_000_000n})), 0)::BIGINT,
      sum(total_compressed_size)::BIGINT FROM parquet_metadata('${path}')`,
  )
  const [touched, all] = reader.getRows()[0]!.map(Number) as [number, number]
  const sizeBytes = (await stat(path)).size
  const share = (100 * (touched + sizeBytes - all)) / (sizeBytes * products)
  tell({
    name: `an hour of one product of ${products}, bytes of the day`,
    unit: '%',
    value: share,
    reference: 100 / 24 / products,
    goal: { most: 2, of: 'value' },
  })
}

function compare(question: Question, dir: string, bare: string): string[][] {
  const { name, table } = question
  const file = `'${join(dir, `${table}.parquet`)}'`
  const where = `product_id = '${benchProduct}' AND date = '${benchDate}'`
  const reference: number[] = []
  const ours = partCounts.map(() => [] as number[])
  const ask = (parts: number): ReturnType<typeof timed> => {
    const vault = ['--base-dir', join(dir, `vault_${parts}`)]
    const args = ['query', ...vault, '--output', 'ndjson', question.sql(table, where)]
    return timed([script('../src/cli/main.js'), ...args], dir)
  }
  // The first one of a vault of many parts makes its index.
  for (const parts of partCounts)
    process.stdout.write(`${name}: the first time of ${parts} parts ${ask(parts).ms.toFixed(0)} ms\n`)
  for (let round = 0; round < rounds; round++) {
    const answer = timed([bare, question.sql(file, 'true')], dir)
    reference.push(answer.ms)
    partCounts.forEach((parts, i) => {
      const own = ask(parts)
      if (numbersOf(own.text) !== numbersOf(answer.text))
        throw new Error(`${name}: another answer than the reference's: ${own.text.slice(0, 200)}`)
      ours[i]!.push(own.ms)
    })
  }
  const cells = ours.flatMap((all) => [
    median(all).toFixed(0),
    median(all.map((ms, i) => ms / reference[i]!)).toFixed(2),
  ])
  partCounts.forEach((parts, i) =>
    tell({
      name: `${name}, ${parts.toLocaleString('en')} parts`,
      unit: 'ms',
      value: median(ours[i]!),
      reference: median(reference),
      ratio: median(ours[i]!.map((ms, round) => ms / reference[round]!)),
      goal: { most: 1.5, of: 'ratio' },
    }),
  )
  return [[name, median(reference).toFixed(0), ...cells]]
}

await main()
