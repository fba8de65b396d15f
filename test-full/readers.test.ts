/** Readers that know nothing of receipts open the folder by glob and see the same rows, with partition columns as text. */

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { after, before } from 'node:test'
import { promisify } from 'node:util'
import { DuckDBInstance } from '@duckdb/node-api'
import { parquetReadObjects } from 'hyparquet'
import { compressors } from 'hyparquet-compressors'
import { mdv } from './processes.ts'

const tables = ['ticker', 'level2', 'market_trades', 'other'] as const
let dir = ''
/** Rows by table, as the vault itself counts them. */
const counts = new Map<string, number>()

before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'mdv-readers-'))
  await mdv('demo', '--seconds', '5', '--rate', '3000', '--products', '6', '--dir', join(dir, 'vault'))
  for (const table of tables) {
    const run = await mdv(
      'query',
      '--base-dir',
      join(dir, 'vault'),
      '--output',
      'csv',
      `SELECT count(*) AS n FROM ${table}`,
    )
    counts.set(table, Number(run.lines[1]))
  }
})

after(() => rm(dir, { recursive: true, force: true }))

const glob = (table: string): string =>
  join(dir, 'vault', 'processed', 'coinbase', table, '**', '*.parquet').replaceAll('\\', '/')

test('DuckDB reads the tables by glob', async () => {
  const connection = await (await DuckDBInstance.create()).connect()
  for (const table of tables) {
    const result = await connection.runAndReadAll(
      `SELECT count(*)::INTEGER AS n, any_value(typeof(product_id)) AS product_id, any_value(typeof(date)) AS date
       FROM read_parquet('${glob(table)}', hive_partitioning = true, hive_types_autocast = false)`,
    )
    assert.deepEqual(result.getRowObjects()[0], {
      n: counts.get(table)!,
      product_id: 'VARCHAR',
      date: 'VARCHAR',
    })
  }
  connection.closeSync()
})

test('hyparquet reads every part', async () => {
  for (const table of tables) {
    let rows = 0
    for (const path of await partsOf(table)) {
      const bytes = await readFile(path)
      const file = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length)
      rows += (await parquetReadObjects({ file, compressors })).length
    }
    assert.equal(rows, counts.get(table), table)
  }
})

async function partsOf(table: string): Promise<string[]> {
  const folder = join(dir, 'vault', 'processed', 'coinbase', table)
  const names = await readdir(folder, { recursive: true })
  return names.filter((name) => name.endsWith('.parquet')).map((name) => join(folder, name))
}

const script = `
import json, sys, polars as pl
out = {}
for table in sys.argv[2:]:
    frame = pl.scan_parquet(f"{sys.argv[1]}/processed/coinbase/{table}/**/*.parquet", hive_partitioning=True, hive_schema={"product_id": pl.String, "date": pl.String})
    schema = frame.collect_schema()
    out[table] = {"n": frame.select(pl.len()).collect().item(), "product_id": str(schema["product_id"]), "date": str(schema["date"]), "price": str(schema.get("price"))}
print(json.dumps(out))
`

test(
  'Polars reads the tables by glob, with exact decimals',
  {
    skip:
      process.env['MDV_TEST_PYTHON'] === undefined && !process.env['CI']
        ? 'set MDV_TEST_PYTHON to a Python that has Polars'
        : false,
  },
  async () => {
    const python = process.env['MDV_TEST_PYTHON'] ?? 'python3'
    const { stdout } = await promisify(execFile)(python, ['-c', script, join(dir, 'vault'), ...tables])
    const seen = JSON.parse(stdout) as Record<
      string,
      { n: number; product_id: string; date: string; price: string }
    >
    for (const table of tables) {
      assert.equal(seen[table]?.n, counts.get(table), table)
      assert.equal(seen[table]?.product_id, 'String')
      assert.equal(seen[table]?.date, 'String')
    }
    assert.match(seen['market_trades']!.price, /^Decimal\(precision=38, scale=18\)$/)
  },
)
