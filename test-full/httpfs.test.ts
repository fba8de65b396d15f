/**
 * Where DuckDB's httpfs is installed, a large part is read where it lies. The extension exists for DuckDB 1.5.5 as a file: the program runs
 * here with that version's driver. MDV_TEST_HTTPFS names a folder with `node_modules/@duckdb` and `httpfs.duckdb_extension`.
 */

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { cp, mkdir, mkdtemp, readdir, rm, stat, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { after, before } from 'node:test'
import { promisify } from 'node:util'
import { SmallVault } from '../test/query/small-vault.ts'
import { S3Server } from '../test/storage/s3-server/server.ts'
import { bucket, useBucket } from './bucket.ts'
import { mdv } from './processes.ts'

const httpfs = process.env['MDV_TEST_HTTPFS']
const skip =
  httpfs === undefined && process.env['CI'] === undefined ? 'MDV_TEST_HTTPFS is not set: see .ci/run' : false
/** Hex does not compress under snappy: the part is larger than what is fetched in one piece. */
const large = randomBytes(6_000_000).toString('hex')

let dir = ''
let server: S3Server

before(async () => {
  if (skip !== false) return
  assert.ok(httpfs, 'MDV_TEST_HTTPFS is not set')
  dir = await mkdtemp(join(tmpdir(), 'mdv-httpfs-'))
  await program(httpfs)
  server = await S3Server.start({ buckets: [bucket] })
  const vault = await SmallVault.make()
  const rows = [1, 2, 3].map((n) => ({
    table: 'level2' as const,
    product: n === 3 ? 'ETH-USD' : 'BTC-USD',
    n,
    values: n === 1 ? { price: '1.5', extra: large } : { price: '2.5' },
  }))
  await vault.job({ label: 'segment_20251203T14_00001', firstN: 1, lastN: 3, rows })
  useBucket(server, dir)
  await mdv('sync', vault.baseDir, 'vault')
  await vault.remove()
})
after(async () => {
  if (skip !== false) return
  await server.down()
  await rm(dir, { recursive: true, force: true })
})

/** The same program beside another driver, and a home in which the extension is installed. */
async function program(from: string): Promise<void> {
  const root = new URL('../../', import.meta.url).pathname
  await cp(join(root, 'dist', 'src'), join(dir, 'app', 'dist', 'src'), { recursive: true })
  await cp(join(root, 'package.json'), join(dir, 'app', 'package.json'))
  const modules = join(dir, 'app', 'node_modules')
  await mkdir(modules)
  for (const name of await readdir(join(root, 'node_modules')))
    if (name !== '@duckdb' && !name.startsWith('.'))
      await symlink(join(root, 'node_modules', name), join(modules, name))
  await symlink(join(from, 'node_modules', '@duckdb'), join(modules, '@duckdb'))
  const { version } = createRequire(join(from, 'x'))('@duckdb/node-api/package.json') as { version: string }
  const platform = `linux_${process.arch === 'x64' ? 'amd64' : process.arch}`
  const place = join(dir, 'home', '.duckdb', 'extensions', `v${version.split('-')[0]}`, platform)
  await mkdir(place, { recursive: true })
  await cp(join(from, 'httpfs.duckdb_extension'), join(place, 'httpfs.duckdb_extension'))
}

async function ask(sql: string, home = 'home') {
  const main = join(dir, 'app', 'dist', 'src', 'cli', 'main.js')
  const env = { ...process.env, HOME: join(dir, home), MDV_STORAGE_CACHE_DIR: join(dir, `cache-${home}`) }
  return promisify(execFile)(process.execPath, [main, 'query', '--output', 'csv', sql], { env })
}

async function cachedBytes(home: string): Promise<number> {
  const names = await readdir(join(dir, `cache-${home}`), { recursive: true, withFileTypes: true })
  const files = names.filter((name) => name.isFile() && name.name.endsWith('.parquet'))
  const sizes = await Promise.all(
    files.map(async (file) => (await stat(join(file.parentPath, file.name))).size),
  )
  return sizes.reduce((sum, size) => sum + size, 0)
}

const question = 'SELECT product_id, sum(price) FROM level2 GROUP BY ALL ORDER BY ALL'

test(
  'the columns asked for of a large part are read where it lies, small parts are fetched',
  { skip },
  async () => {
    server.counts.clear()
    const { stdout, stderr } = await ask(question)
    assert.match(stdout, /^BTC-USD,4\r?\nETH-USD,2.5$/m)
    assert.match(stderr, /fetched 1 of 2 parts, .*; httpfs reads what it needs of 1 more, 1\d\.\d MB in all/)
    assert.ok((await cachedBytes('home')) < 100_000)
  },
)

test(
  'without the extension the same question fetches whole parts and has the same answer',
  { skip },
  async () => {
    const { stdout, stderr } = await ask(question, 'empty')
    assert.match(stdout, /^BTC-USD,4\r?\nETH-USD,2.5$/m)
    assert.match(stderr, /fetched 2 of 2 parts, 1\d\.\d MB/)
    assert.ok((await cachedBytes('empty')) > 8_000_000)
  },
)

test('SQL reaches nothing else in the bucket, and no other host', { skip }, async () => {
  const receipts = `s3://${bucket}/test/processed/coinbase/_receipts/*`
  await assert.rejects(ask(`SELECT * FROM read_text('${receipts}')`), /disabled by configuration/)
  for (const sql of [
    "CREATE SECRET other (TYPE s3, ENDPOINT '127.0.0.1:1', KEY_ID 'a', SECRET 'b')",
    "CREATE OR REPLACE TEMPORARY /**/ SECRET vault (TYPE s3, ENDPOINT '127.0.0.1:1', KEY_ID 'a', SECRET 'b')",
    'DROP SECRET vault',
  ])
    await assert.rejects(ask(`${sql}; SELECT count(*) FROM level2`), /statements are not run on a vault/)
})

test('a bucket that stops answering is one sentence', { skip }, async () => {
  server.faults.next('internal', 'GetObject', 1000)
  await assert.rejects(ask(question), (error: { code?: number; stderr?: string }) => {
    assert.doesNotMatch(error.stderr!, /^\s+at /m)
    assert.ok(error.code === 7 || error.code === 5, `${error.code}: ${error.stderr}`)
    return true
  })
})
