import assert from 'node:assert/strict'
import { test } from 'node:test'
import { VaultError } from '../../src/core/errors.ts'
import { snippet, snippetKinds } from '../../src/query/snippet.ts'
import { duckdb } from '../../src/storage/duckdb.ts'
import { hideCredentials, type S3Place } from '../../src/storage/place.ts'
import { stagingPrefix } from '../../src/storage/keys.ts'
import { SmallVault, type RowSpec } from './small-vault.ts'

const bucket: S3Place = {
  backend: 's3',
  bucket: 'market',
  prefix: 'vault/one',
  region: null,
  endpointUrl: 'http://10.0.0.7:9000',
  forcePathStyle: true,
  credentials: hideCredentials({
    accessKeyId: 'AKIDEXAMPLE',
    secretAccessKey: 'hush-hush',
    sessionToken: null,
  }),
  singleWriter: false,
}

test('DuckDB runs what is printed for it, over the parts by glob and nothing beside them', async () => {
  const vault = await SmallVault.make()
  const rows: RowSpec[] = (['ticker', 'level2', 'market_trades', 'other'] as const).map((table) => ({
    table,
    product: 'BTC-USD',
    n: 1,
    values: {},
  }))
  await vault.job({ label: 'segment_20251203T14_00001', firstN: 1, lastN: 1, rows })
  await vault.write(
    `${stagingPrefix('coinbase')}job.g2/level2/product_id=BTC-USD/date=2025-12-03/x.parquet`,
    'x',
  )
  const place = { backend: 'local', baseDir: vault.baseDir } as const
  const instance = await duckdb.DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  await connection.run(snippet('duckdb', place, null, 'coinbase', 'decimal'))
  for (const table of ['ticker', 'level2', 'market_trades', 'other']) {
    const reader = await connection.runAndReadAll(
      `SELECT count(*)::INTEGER, min(product_id), min("date"), min(typeof("date")) FROM ${table}`,
    )
    assert.deepEqual(reader.getRows(), [[1, 'BTC-USD', '2025-12-03', 'VARCHAR']])
  }
  connection.closeSync()
  instance.closeSync()
  await vault.remove()
})

test('for a bucket: endpoint, region and addressing are there, credentials are not', () => {
  for (const kind of snippetKinds) {
    const code = snippet(kind, bucket, 'eu-central-1', 'coinbase', 'decimal')
    assert.match(code, /market\/vault\/one\/processed\/coinbase/, kind)
    assert.doesNotMatch(code, /AKIDEXAMPLE|hush/, kind)
    if (kind === 'athena') continue
    assert.match(code, /10\.0\.0\.7:9000/, kind)
    assert.match(code, /eu-central-1/, kind)
    assert.match(code, /AWS_SECRET_ACCESS_KEY/, kind)
  }
  const duck = snippet('duckdb', bucket, null, 'coinbase', 'decimal')
  assert.match(duck, /ENDPOINT '10\.0\.0\.7:9000', USE_SSL false, URL_STYLE 'path'\)/)
  assert.doesNotMatch(duck, /REGION/)
})

test('Athena gets a table with a column for each of ours, and cannot read a local folder', () => {
  const code = snippet('athena', bucket, null, 'coinbase', 'decimal')
  assert.match(code, /CREATE EXTERNAL TABLE `coinbase_market_trades` \(\n {2}`venue` string,/)
  assert.match(code, /`price` decimal\(38,18\)/)
  assert.match(code, /level2\/product_id=\$\{product_id\}\/date=\$\{date\}\/'/)
  assert.throws(
    () => snippet('athena', { backend: 'local', baseDir: '/x' }, null, 'coinbase', 'decimal'),
    (error) => error instanceof VaultError && error.kind === 'usage',
  )
})

test('a folder of any name is quoted as each language does', () => {
  const place = { backend: 'local', baseDir: `/data/o'brien "x"` } as const
  assert.match(snippet('duckdb', place, null, 'coinbase', 'decimal'), /'\/data\/o''brien "x"\/processed/)
  assert.match(
    snippet('polars', place, null, 'coinbase', 'decimal'),
    /root = "\/data\/o'brien \\"x\\"\/processed/,
  )
})
