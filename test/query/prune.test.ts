import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import * as fc from 'fast-check'
import { narrowCatalog, readCatalog, type Catalog } from '../../src/query/catalog.ts'
import { makeViews, runSql, startEngine } from '../../src/query/engine.ts'
import type { DuckDBConnection } from '@duckdb/node-api'
import { askedCatalog, type AskedCatalog } from '../../src/query/prune/asked-catalog.ts'
import { viewsRead, type MayRead } from '../../src/query/prune/names-read.ts'
import { neededParts } from '../../src/query/prune/needed-parts.ts'
import { baseNs, SmallVault, type RowSpec } from './small-vault.ts'

let vault: SmallVault
let catalog: Catalog
const signal = new AbortController().signal
const options = { memoryLimitMb: 512, scratchDir: '', allowFiles: false }

const products = ['BTC-USD', 'ETH-USD', 'btc/usd', 'NULL']
const dates = ['2025-12-03', '2025-12-04']
/** Milliseconds after the base time; the second day's are a day later. */
const hours = [0, 3_600_000, 7_200_000]

/** Three jobs of an hour each on two days, with trades and book rows of every product, one part of each with doubles. */
before(async () => {
  vault = await SmallVault.make()
  let counter = 0
  for (const [day, date] of dates.entries())
    for (const [hour, hourMs] of hours.entries()) {
      const firstN = day * 86_400_000 + hourMs + 1
      const rows: RowSpec[] = products.flatMap((product, i) => rowsOf(product, date, firstN + i * 1000))
      const label = `segment_2025120${3 + day}T1${4 + hour}_00001`
      const numberType = hour === 2 ? 'double' : 'decimal'
      await vault.job({
        label,
        firstN,
        lastN: firstN + 4000,
        rows,
        numberType,
        digits: `${counter++}0000000`,
      })
    }
  catalog = await readCatalog(vault.store, 'coinbase', signal)
  using engine = await startEngine(options)
  const { learn } = await byIndex(engine.connection, 'SELECT 1', () => false)
  await learn()
})
after(() => vault.remove())

function rowsOf(product: string, date: string, n: number): RowSpec[] {
  const trade = { trade_id: n % 7, price: '2', size: '3', from_snapshot: n % 2 === 0, ...timeOf(n) }
  return [
    { table: 'market_trades', product, date, n, values: trade },
    { table: 'level2', product, date, n: n + 1, values: { side: 'bid', price: '1.5', ...timeOf(n + 1) } },
    { table: 'level2', product, date, n: n + 500, values: { side: 'offer', price: '1.5' } },
    {
      table: 'other',
      product: null,
      date,
      n: n + 2,
      values: { kind: 'event', body: '{"gap":{"cause":"x"}}' },
    },
    { table: 'other', product, date, n: n + 3, values: { kind: 'frame', body: '{}' } },
  ]
}

/** The exchange's time of a row, as its exchange_ns. */
function timeOf(n: number): { readonly exchange_time: string } {
  return { exchange_time: new Date(Number(baseNs / 1_000_000n) + n).toISOString() }
}

interface Answer {
  readonly rows: string
  readonly parts: number
}

/** All parts, those that receipts say are needed, or those that the index does. */
type How = 'all' | 'pruned' | 'indexed'

async function ask(sql: string, how: How): Promise<Answer> {
  using engine = await startEngine(options)
  const mayRead = await viewsRead(engine.connection, sql)
  const asked = how === 'indexed' ? await byIndex(engine.connection, sql, mayRead) : null
  const narrow = asked?.catalog ?? narrowCatalog(catalog, mayRead)
  const all = narrow.receipts.flatMap((receipt) => receipt.parts)
  const parts = asked?.parts ?? (how === 'all' ? all : await neededParts(engine.connection, narrow, sql))
  const keys = new Set(parts.map((part) => part.key))
  await makeViews(engine, narrow, (key) => (keys.has(key) ? vault.store.pathOf(key) : undefined), options)
  const result = await runSql(engine, sql, options)
  const rows: string[] = []
  for (
    let chunk = await result.fetchChunk();
    chunk !== null && chunk.rowCount > 0;
    chunk = await result.fetchChunk()
  )
    rows.push(...chunk.getRows().map(String))
  const types = result.columnTypes().join()
  return { rows: [types, ...rows.sort()].join('\n'), parts: parts.length }
}

async function byIndex(connection: DuckDBConnection, sql: string, mayRead: MayRead): Promise<AskedCatalog> {
  const index = { dir: await vault.store.scratch('index'), fromParts: 1 }
  const openAdopted = async (): Promise<void> => undefined
  const asking = { store: vault.store, venue: 'coinbase', sql, mayRead, openAdopted, index }
  return askedCatalog(connection, asking, signal)
}

const instants = [0, 1, 500, 3_600_000, 3_600_001, 3_604_000, 86_400_001, 90_000_000, 200_000_000].map(
  (ms) => baseNs + BigInt(ms) * 1_000_000n,
)
const one = <T>(...of: readonly T[]): fc.Arbitrary<T> => fc.constantFrom(...of)
const comparison = one('=', '<', '<=', '>', '>=', '<>', 'IS DISTINCT FROM')
const text = (values: readonly string[]): fc.Arbitrary<string> => one(...values.map((value) => `'${value}'`))
const product = text([...products, 'BTC', '', '_none'])
const date = one(
  ...[...dates, '2025-12-05', '2025'].map((value) => `'${value}'`),
  `DATE '2025-12-04'`,
  `current_date::VARCHAR`,
  `strftime(now(), '%Y-%m-%d')`,
)
const ns = one(
  ...instants.map(String),
  ...instants.map((at) => `${at}::DOUBLE`),
  `1.7e18`,
  `'1764770400000000000'`,
)
const time = one(
  ...instants.map((at) => `TIMESTAMPTZ '${new Date(Number(at / 1_000_000n)).toISOString()}'`),
  `'2025-12-03 15:00'`,
  `TIMESTAMP '2025-12-04'`,
  `DATE '2025-12-04'`,
  `now() - INTERVAL 1 HOUR`,
  `TIMESTAMP '2025-12-03 14:00' + INTERVAL 90 MINUTE`,
  `current_timestamp`,
)
const column = (name: string): fc.Arbitrary<string> => one(name, `t.${name}`, name.toUpperCase(), `"${name}"`)

const atom: fc.Arbitrary<string> = fc.oneof(
  fc.tuple(column('product_id'), comparison, product).map((words) => words.join(' ')),
  fc.tuple(product, comparison, column('product_id')).map((words) => words.join(' ')),
  fc.tuple(column('date'), comparison, date).map((words) => words.join(' ')),
  fc.tuple(column('exchange_ns'), comparison, ns).map((words) => words.join(' ')),
  fc.tuple(ns, comparison, column('exchange_ns')).map((words) => words.join(' ')),
  fc.tuple(column('exchange_time'), comparison, time).map((words) => words.join(' ')),
  fc.tuple(column('exchange_time'), time, time).map(([name, a, b]) => `${name} BETWEEN ${a} AND ${b}`),
  fc.tuple(column('exchange_ns'), ns, ns).map(([name, a, b]) => `${name} NOT BETWEEN ${a} AND ${b}`),
  fc.tuple(product, product).map(([a, b]) => `product_id IN (${a}, ${b})`),
  fc.tuple(date, date).map(([a, b]) => `"date" BETWEEN ${a} AND ${b}`),
  one(
    `product_id LIKE '%-USD'`,
    `product_id NOT LIKE 'B%'`,
    `lower(product_id) = 'btc-usd'`,
    `product_id IS NOT NULL`,
    `product_id IS NULL`,
    `exchange_ns + 1 > 1764770400000000000`,
    `exchange_ns::VARCHAR < '1764770401'`,
    `n % 2 = 0`,
    `random() < 2`,
    `(SELECT max(product_id) FROM level2) = product_id`,
    `EXISTS (SELECT 1 FROM level2 AS l WHERE l.product_id = t.product_id AND l.date = '2025-12-04')`,
    `NULL`,
    `side = 'bid'`,
  ),
)
const where: fc.Arbitrary<string> = fc.letrec<{ readonly tree: string }>((tie) => ({
  tree: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    atom,
    fc.tuple(tie('tree'), tie('tree')).map(([a, b]) => `(${a}) AND (${b})`),
    fc.tuple(tie('tree'), tie('tree')).map(([a, b]) => `${a} AND ${b}`),
    fc.tuple(tie('tree'), tie('tree')).map(([a, b]) => `((${a}) OR (${b}))`),
    tie('tree').map((a) => `NOT (${a})`),
  ),
})).tree
/** `$` is where the condition goes. */
const shape = one(
  'SELECT count(*), min(n), max(n) FROM level2 AS t WHERE $',
  'SELECT product_id, "date", n, price FROM level2 t WHERE $',
  'FROM market_trades_unique t SELECT n, product_id WHERE $',
  'SELECT n, row_number() OVER (ORDER BY n, product_id) FROM market_trades t WHERE $',
  'SELECT t.n, k.n FROM level2 t JOIN market_trades k ON t.product_id = k.product_id AND t.date = k.date WHERE $',
  'SELECT t.n, k.n FROM level2 t LEFT JOIN market_trades k ON k.n = t.n - 1 WHERE $',
  'SELECT t.n, k.n FROM market_trades k LEFT JOIN level2 t ON k.n = t.n - 1 WHERE $',
  'SELECT t.n, k.n FROM market_trades k ASOF JOIN level2 t ON k.exchange_ns >= t.exchange_ns WHERE $',
  'SELECT n FROM (SELECT * FROM level2) t WHERE $',
  'WITH level2 AS (FROM level2 WHERE n % 3 = 0) SELECT n FROM level2 t WHERE $',
  `SELECT 'ETH-USD' AS product_id, n FROM level2 t WHERE $`,
  `SELECT * REPLACE ('2025-12-04' AS "date") FROM market_trades t WHERE $`,
  'SELECT n FROM level2 t WHERE $ UNION ALL SELECT n FROM market_trades t WHERE $',
  'SELECT (SELECT count(*) FROM level2 t WHERE $) AS a, count(*) FROM level2',
  'SELECT product_id, count(*) FROM level2 t WHERE $ GROUP BY ALL HAVING count(*) > 1',
  'SELECT count(*) FROM level2 TABLESAMPLE reservoir(5 ROWS) REPEATABLE (7) t WHERE $',
  'SELECT 1; SELECT count(*) FROM other t WHERE $',
  'SELECT cause, n FROM gaps',
)

/** Asks 25 questions of chance with all parts and with those they need. @returns how many needed fewer */
async function drawQuestions(): Promise<number> {
  let fewer = 0
  await fc.assert(
    fc.asyncProperty(shape, where, async (form, condition) => {
      const sql = form.replaceAll('$', () => condition)
      const whole = await ask(sql, 'all').catch(() => null)
      // Wrong questions are wrong either way, but for those whose mistake lies in rows nobody reads.
      if (whole === null) return
      const pruned = await ask(sql, 'pruned')
      assert.equal(pruned.rows, whole.rows)
      assert.deepEqual(await ask(sql, 'indexed'), pruned)
      if (pruned.parts < whole.parts) fewer++
    }),
    { numRuns: Number(process.env['MDV_TEST_QUESTIONS'] ?? 25) },
  )
  return fewer
}

test('what is not read changes no answer, whatever is asked', async () => {
  let fewer = await drawQuestions()
  // One draw in a hundred has only two that leave parts out: then further draws, and not a lower bar.
  for (let draw = 2; draw <= 4 && fewer <= 2; draw++) fewer += await drawQuestions()
  assert.ok(fewer > 2, `only ${fewer} questions read fewer parts`)
})

/** 24 parts of level2: 4 products, 6 hours on 2 days. */
const examples: readonly (readonly [sql: string, parts: number])[] = [
  [`SELECT count(*) FROM level2`, 24],
  [`SELECT count(*) FROM level2 WHERE product_id = 'BTC-USD'`, 6],
  [`SELECT count(*) FROM level2 WHERE product_id = 'btc/usd' AND "date" = '2025-12-03'`, 3],
  [`SELECT count(*) FROM level2 l WHERE l.product_id IN ('BTC-USD', 'ETH-USD') AND date >= '2025-12-04'`, 6],
  [`SELECT count(*) FROM level2 WHERE date = DATE '2025-12-03' AND product_id NOT LIKE '%-USD'`, 3],
  [`SELECT count(*) FROM level2 WHERE exchange_ns >= ${baseNs + 86_400_000_000_000n}`, 12],
  [`SELECT count(*) FROM level2 WHERE exchange_time < TIMESTAMPTZ '2025-12-03 14:30:00Z'`, 4],
  [`SELECT count(*) FROM level2 WHERE exchange_time BETWEEN '2025-12-03 14:30' AND '2025-12-03 15:30'`, 4],
  [`SELECT count(*) FROM level2 WHERE exchange_time > now() - INTERVAL 1 HOUR AND product_id = 'BTC-USD'`, 0],
  [`SELECT count(*) FROM level2 WHERE date = current_date::VARCHAR`, 0],
  [`SELECT count(*) FROM level2 WHERE product_id = 'BTC-USD' OR date = '2025-12-03'`, 15],
  [
    `SELECT count(*) FROM level2 a JOIN level2 b ON a.n = b.n WHERE a.product_id = 'BTC-USD' AND b.date = '2025-12-03'`,
    15,
  ],
  [`SELECT count(*) FROM market_trades_unique WHERE product_id = 'ETH-USD' AND date = '2025-12-03'`, 6],
  [`SELECT count(*) FROM gaps`, 6],
  [`DESCRIBE level2`, 0],
  [`SELECT * FROM segments`, 0],
  [`SELECT 'level2'`, 0],
  [`SELECT count(*) FROM query('SELECT * FROM level2 WHERE product_id = ''BTC-USD''')`, 78],
  [`CREATE TEMP TABLE t AS SELECT * FROM level2 WHERE product_id = 'BTC-USD'; SELECT count(*) FROM t`, 24],
]

for (const [sql, parts] of examples)
  test(`${parts} parts for: ${sql}`, async () => {
    const answer = await ask(sql, 'pruned')
    assert.equal(answer.parts, parts)
    assert.equal(answer.rows, (await ask(sql, 'all')).rows)
    assert.deepEqual(await ask(sql, 'indexed'), answer)
  })
