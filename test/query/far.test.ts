/** What a question costs a vault in a bucket: requests, bytes, and what is done when copies are lost or spoilt. */

import assert from 'node:assert/strict'
import { readdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { runQuery } from '../../src/query/run.ts'
import { verifyVault } from '../../src/query/verify/verify.ts'
import type { ObjectStore } from '../../src/storage/object-store.ts'
import { FarStore } from '../storage/far-store.ts'
import { proofOptions } from './proof-options.ts'
import { cached, SmallVault, type RowSpec } from './small-vault.ts'

let vault: SmallVault
let far: FarStore
let notes: string[]
const signal = new AbortController().signal
const products = ['BTC-USD', 'ETH-USD', 'SOL-USD']
const days = ['2025-12-03', '2025-12-04']

/** Twenty jobs, each with a part for every product. */
beforeEach(async () => {
  vault = await SmallVault.make()
  far = new FarStore(vault.store)
  notes = []
  for (let k = 1; k <= 20; k++) {
    const rows: RowSpec[] = products.map((product, i) => ({
      table: 'level2',
      product,
      date: days[k % 2]!,
      n: k,
      values: { price: '1', event_index: i },
    }))
    const label = `segment_2025120${3 + (k % 2)}T14_${String(k).padStart(5, '0')}`
    await vault.job({ label, firstN: k, lastN: k, rows, digits: String(k).padStart(8, '0') })
  }
})
afterEach(() => vault.remove())

const cacheDir = (): string => `${vault.baseDir}-cache`

async function ask(sql: string, store: ObjectStore = cached(far, cacheDir())): Promise<string> {
  let answer = ''
  const options = { memoryLimitMb: 512, scratchDir: join(vault.baseDir, 'spill'), allowFiles: false }
  const sink = {
    note: (words: string) => void notes.push(words),
    fetching: () => undefined,
    begin: async () => undefined,
    rows: async (rows: readonly (readonly unknown[])[]) => {
      answer += rows.map(String).join('\n')
      return true
    },
  }
  await runQuery(store, 'coinbase', sql, options, sink, signal)
  return answer
}

const oneProductADay = `SELECT count(*) FROM level2 WHERE product_id = 'ETH-USD' AND "date" = '2025-12-03'`

test('a question fetches the parts it can need and each receipt once; asked again it lists only', async () => {
  assert.equal(await ask(oneProductADay), '10')
  const first = { ...far.requests }
  assert.deepEqual([first.read, first.get, first.head], [10, 20, 0])
  assert.match(notes.join(), /^fetched 10 of 60 parts, \d+\.\d kB$/)
  notes = []
  assert.equal(await ask(oneProductADay), '10')
  assert.deepEqual(far.requests, { ...first, list: 2 * first.list })
  assert.match(notes.join(), /^fetched 0 of 60 parts, 0 B; \d+\.\d kB from cache$/)
})

test('copies that are gone are fetched again, spoilt ones too where DuckDB stumbles over them', async () => {
  await ask('SELECT sum(price) FROM level2')
  const names = (await readdir(cacheDir(), { recursive: true })).filter((name) =>
    /parquet[\\/].*\.parquet$/.test(name),
  )
  assert.equal(names.length, 60)
  await rm(join(cacheDir(), names[0]!))
  const spoilt = join(cacheDir(), names[1]!)
  await writeFile(spoilt, Buffer.alloc((await stat(spoilt)).size))
  far.requests.read = 0
  assert.equal(await ask('SELECT sum(price) FROM level2'), '60.000000000000000000')
  assert.equal(far.requests.read, 2)
})

test('a copy that another process takes away at the last moment is fetched again', async () => {
  const store = cached(far, cacheDir())
  const fetch = store.fetch.bind(store)
  let isFirst = true
  store.fetch = async (...args) => {
    const files = await fetch(...args)
    if (isFirst) await rm(files.pathOf(args[0][0]!.key)!)
    isFirst = false
    return files
  }
  assert.equal(await ask(oneProductADay, store), '10')
  assert.equal(far.requests.read, 11)
})

test('a question that needs more than the cache may hold is told what to do, before a byte is fetched', async () => {
  await assert.rejects(
    ask('SELECT * FROM level2', cached(far, cacheDir(), 20_000)),
    /storage\.cache_max_gb allows 20\.0 kB/,
  )
  assert.equal(far.requests.read, 0)
  assert.equal(await ask(`SELECT count(*) FROM (DESCRIBE level2) WHERE column_name = 'price'`), '1')
})

test('a proof of a vault far larger than the cache needs room for one job at a time, and leaves nothing', async () => {
  let most = 0
  far.onRead = async () => {
    const files = await readdir(cacheDir(), { recursive: true })
    most = Math.max(most, files.filter((name) => name.endsWith('.parquet') && name.includes('part_')).length)
  }
  // The rows of the second day have times of the first.
  const options = proofOptions(async ({ kind }) => assert.equal(kind, 'receipt_numbers'))
  const summary = await verifyVault(cached(far, cacheDir(), 40_000), 'coinbase', options, signal)
  assert.equal(summary.parts, 60)
  assert.ok(most <= 6, `${most} names`)
  assert.deepEqual(await readdir(join(cacheDir(), 'users')), [])
})
