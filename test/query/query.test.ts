import assert from 'node:assert/strict'
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { VaultError } from '../../src/core/errors.ts'
import { makePrinter, type OutputFormat } from '../../src/query/output.ts'
import { runQuery } from '../../src/query/run.ts'
import type { LocalObjectStore, ObjectStore } from '../../src/storage/object-store.ts'
import { FarStore } from '../storage/far-store.ts'
import { adoptedFolderKey, type AdoptedFolder } from '../../src/table/adopted.ts'
import { stagedPartKey } from '../../src/table/staged.ts'
import { baseNs, cached, SmallVault, type RowSpec } from './small-vault.ts'

let vault: SmallVault
let notes: string[]

beforeEach(async () => {
  vault = await SmallVault.make()
  notes = []
})
afterEach(() => vault.remove())

async function ask(
  sql: string,
  format: OutputFormat = 'ndjson',
  allowFiles = false,
  store: ObjectStore = vault.reader,
): Promise<string> {
  let printed = ''
  let printer: ReturnType<typeof makePrinter> | undefined
  const options = { memoryLimitMb: 512, scratchDir: `${vault.baseDir}/spill`, allowFiles }
  await runQuery(
    store,
    'coinbase',
    sql,
    options,
    {
      note: (words) => void notes.push(words),
      fetching: () => undefined,
      begin: async (names) => {
        printer = makePrinter(format, names, { rowsMax: 3, terminalColumns: null })
        printed += printer.begin()
      },
      rows: async (rows) => {
        printed += printer!.rows(rows)
        return !printer!.isFull()
      },
    },
    new AbortController().signal,
  )
  return printed + printer!.end()
}

const refused = (pattern: RegExp) => (error: unknown) =>
  error instanceof VaultError && error.kind === 'usage' && pattern.test(error.message)

function bid(n: number, price: string, product = 'BTC-USD', date = '2025-12-03'): RowSpec {
  return {
    table: 'level2',
    product,
    date,
    n,
    values: { side: 'bid', price, size: '1', event_index: 0, row_index: 0 },
  }
}

test('an empty vault has every view with its columns and no rows', async () => {
  for (const view of [
    'ticker',
    'level2',
    'market_trades',
    'other',
    'market_trades_unique',
    'gaps',
    'segments',
  ])
    assert.equal(await ask(`SELECT count(*) AS n FROM ${view}`), '{"n":0}\n', view)
  assert.equal(
    await ask(
      `SELECT count(*) AS n FROM (DESCRIBE level2) WHERE column_name IN ('product_id', 'date', 'price', 'recv_time')`,
    ),
    '{"n":4}\n',
  )
})

test('prices, counters and instants come out with every digit', async () => {
  await vault.job({
    label: 'segment_20251203T14_00001',
    firstN: 1,
    lastN: 1,
    rows: [bid(1, '98765432109876543.123456789012345678')],
  })
  const line = await ask('SELECT price, recv_ns, recv_time, n FROM level2')
  assert.equal(
    line,
    `{"price":"98765432109876543.123456789012345678","recv_ns":"${baseNs + 1_000_000n}","recv_time":"2025-12-03T14:00:00.001Z","n":1}\n`,
  )
})

test('a product folder is decoded, and both partition columns are text', async () => {
  await vault.job({
    label: 'segment_20251203T14_00001',
    firstN: 1,
    lastN: 1,
    rows: [bid(1, '1.5', 'btc/usd')],
  })
  assert.equal(
    await ask('SELECT product_id, "date", typeof("date") AS t FROM level2'),
    '{"product_id":"btc/usd","date":"2025-12-03","t":"VARCHAR"}\n',
  )
})

test('who asks before anything is converted is told why there are no rows', async () => {
  await ask('SELECT * FROM level2')
  assert.deepEqual(notes, [])
  await vault.readySegment('segment_20251203T14_00001', 1, [{ clock_step: { step_ns: '1' } }])
  await ask('SELECT * FROM segments')
  assert.deepEqual(notes, [])
  await ask('SELECT * FROM level2')
  assert.match(notes.join(), /^note: no segment is converted yet/)
})

test('only parts that a current receipt names are seen', async () => {
  await vault.job({
    label: 'segment_20251203T14_00001',
    firstN: 1,
    lastN: 1,
    rows: [bid(1, '1')],
    digits: 'aaaaaaaa',
  })
  await vault.job({
    label: 'segment_20251203T14_00001',
    firstN: 1,
    lastN: 1,
    rows: [bid(1, '2')],
    digits: 'bbbbbbbb',
    generation: 2,
  })
  assert.equal(await ask('SELECT price FROM level2'), '{"price":"2"}\n')
})

test('parts with doubles and parts with decimals are one table of decimals', async () => {
  await vault.job({
    label: 'segment_20251203T14_00001',
    firstN: 1,
    lastN: 1,
    rows: [{ ...bid(1, '0.1'), values: { price: '0.1', price_text: '0.1' } }],
    numberType: 'double',
    digits: 'dddddddd',
  })
  await vault.job({ label: 'segment_20251203T14_00002', firstN: 2, lastN: 2, rows: [bid(2, '0.2')] })
  assert.equal(
    await ask('SELECT sum(price) AS s, any_value(typeof(price)) AS t FROM level2'),
    '{"s":"0.3","t":"DECIMAL(38,18)"}\n',
  )
})

test('a trade in a snapshot and again in an update is one trade in market_trades_unique', async () => {
  const trade = (n: number, fromSnapshot: boolean): RowSpec => ({
    table: 'market_trades',
    product: 'BTC-USD',
    n,
    values: { trade_id: 7, price: '2', size: '3', from_snapshot: fromSnapshot },
  })
  await vault.job({
    label: 'segment_20251203T14_00001',
    firstN: 1,
    lastN: 2,
    rows: [trade(1, true), trade(2, false)],
  })
  assert.equal(await ask('SELECT count(*) AS n FROM market_trades'), '{"n":2}\n')
  assert.equal(
    await ask('SELECT n, from_snapshot FROM market_trades_unique'),
    '{"n":2,"from_snapshot":false}\n',
  )
})

test('SQL reaches no other file, writes none and changes no setting', async () => {
  const receipt = await vault.job({
    label: 'segment_20251203T14_00001',
    firstN: 1,
    lastN: 1,
    rows: [bid(1, '1')],
  })
  const part = vault.store.pathOf(receipt.parts[0]!.key)
  const before = await readFile(part)
  const secret = `${vault.baseDir}/secret.txt`
  await writeFile(secret, 'key')
  for (const sql of [
    `SELECT * FROM read_text('${secret}')`,
    `SELECT * FROM glob('${vault.baseDir}/*')`,
    `COPY (SELECT 1) TO '${part}' (FORMAT csv, USE_TMP_FILE false)`,
    `EXPLAIN ANALYZE COPY (SELECT 1) TO '${part}' (FORMAT csv, USE_TMP_FILE false)`,
    `PREPARE p AS COPY (SELECT 1) TO '${part}'; EXECUTE p`,
    `ATTACH '${vault.baseDir}/x.db'`,
    `SET enable_external_access = true`,
    `SET allowed_directories = ['/']`,
  ])
    await assert.rejects(ask(sql), (error) => error instanceof VaultError, sql)
  assert.deepEqual(await readFile(part), before)
  assert.equal(await ask(`SELECT content FROM read_text('${secret}')`, 'ndjson', true), '{"content":"key"}\n')
})

test('wrong SQL is one line that names what was perhaps meant', async () => {
  await assert.rejects(ask('SELECT pric FROM level2'), refused(/pric.*"price"[^\n]*$/))
  await assert.rejects(ask('SELECT * FROM levle2'), refused(/levle2.*Did you mean "level2"/))
  await assert.rejects(ask('SELEC 1'), refused(/SELEC/))
  await assert.rejects(ask('  '), refused(/no SQL/))
})

/** The SQL printed in a document. */
async function printedSql(document: string): Promise<string[]> {
  const text = await readFile(new URL(`../../../${document}`, import.meta.url), 'utf8')
  return [...text.matchAll(/```sql\n([^]*?)```/g)].map((block) => block[1]!)
}

test('the SQL that the documents print is answered, a turnover of any size with it', async () => {
  const trade = { trade_id: 7, price: '98765.432101', size: '54321.000001', from_snapshot: false }
  const rows: RowSpec[] = [{ table: 'market_trades', product: 'BTC-USD', n: 1, values: trade }]
  await vault.job({ label: 'segment_20251203T14_00001', firstN: 1, lastN: 1, rows })
  for (const document of ['docs/table-layout.md', 'docs/querying.md', 'docs/adopting.md'])
    for (const sql of await printedSql(document)) await ask(sql)
  const turnover = (await printedSql('docs/table-layout.md')).find((sql) => sql.includes('turnover'))!
  assert.match(
    await ask(turnover),
    /"turnover":"5365037037.257186432101","turnover_about":5365037037.257\d*\}/,
  )
})

test('a product that has too many digits is one line with the way to write it', async () => {
  const trade = (n: number, price: string) =>
    ({ table: 'market_trades', product: 'BTC-USD', n, values: { price, size: '1' } }) as const
  const rows = [trade(1, '80'), trade(2, '95'), trade(3, '62000')]
  await vault.job({ label: 'segment_20251203T14_00001', firstN: 1, lastN: 3, rows })
  const isTold = (error: unknown): boolean =>
    error instanceof VaultError && error.remedy!.startsWith('multiply with fewer digits')
  await assert.rejects(ask('SELECT price * size FROM market_trades'), isTold)
  await assert.rejects(ask('SELECT sum(price * size) FROM market_trades WHERE price < 100'), isTold)
})

test('a part replaced by the next generation while a question starts is asked for again', async () => {
  const spec = { label: 'segment_20251203T14_00001', firstN: 1, lastN: 1 }
  await vault.job({ ...spec, rows: [bid(1, '1')] })
  const real = vault.store
  let isFirst = true
  // The swap happens after receipts are read and before the part is opened.
  const swapping: LocalObjectStore = {
    location: real.location,
    pathOf: real.pathOf.bind(real),
    fileOf(key) {
      const path = real.pathOf(key) + (isFirst ? '.gone' : '')
      isFirst = false
      return path
    },
    putIfAbsent: real.putIfAbsent.bind(real),
    publishFile: real.publishFile.bind(real),
    get: real.get.bind(real),
    head: real.head.bind(real),
    read: real.read.bind(real),
    list: real.list.bind(real),
    delete: real.delete.bind(real),
    scratch: real.scratch.bind(real),
  }
  assert.equal(await ask('SELECT price FROM level2', 'ndjson', false, swapping), '{"price":"1"}\n')
})

test('a damaged part is no wrong SQL, and other products can still be asked', async () => {
  const receipt = await vault.job({
    label: 'segment_20251203T14_00001',
    firstN: 1,
    lastN: 2,
    rows: [bid(1, '1'), bid(2, '2', 'ETH-USD')],
  })
  const part = receipt.parts.find((one) => one.product_id === 'BTC-USD')!
  const bytes = await readFile(vault.store.pathOf(part.key))
  const flipped = Buffer.from(bytes)
  flipped.fill(0xff, 4, 60)
  for (const damaged of [bytes.subarray(0, 40), bytes.subarray(0, 3), flipped]) {
    await writeFile(vault.store.pathOf(part.key), damaged)
    await assert.rejects(
      ask('SELECT sum(price), max(side), max(n) FROM level2'),
      (error) =>
        error instanceof VaultError &&
        error.kind === 'corrupt' &&
        (damaged === flipped || error.message.includes(part.key)) &&
        error.remedy!.includes('mdv verify'),
    )
  }
  assert.equal(await ask(`SELECT price FROM level2 WHERE product_id = 'ETH-USD'`), '{"price":"2"}\n')
})

test('a part missing for good is said, not shown as fewer rows', async () => {
  const receipt = await vault.job({
    label: 'segment_20251203T14_00001',
    firstN: 1,
    lastN: 1,
    rows: [bid(1, '1')],
  })
  await rm(vault.store.pathOf(receipt.parts[0]!.key))
  await assert.rejects(
    ask('SELECT price FROM level2'),
    (error) => error instanceof VaultError && error.kind === 'unavailable',
  )
})

test('each format prints the same rows; a table says when there are more', async () => {
  const sql = `SELECT i AS a, 'x|"' || chr(10) AS b, NULL AS c FROM range(2) t(i)`
  assert.equal(
    await ask(sql, 'json'),
    '[\n{"a":0,"b":"x|\\"\\n","c":null},\n{"a":1,"b":"x|\\"\\n","c":null}\n]\n',
  )
  assert.equal(await ask(sql, 'csv'), 'a,b,c\n0,"x|""\n",\n1,"x|""\n",\n')
  assert.equal(
    await ask(sql, 'markdown'),
    '| a | b | c |\n| --- | --- | --- |\n| 0 | x\\|"  |  |\n| 1 | x\\|"  |  |\n',
  )
  assert.match(await ask('SELECT * FROM range(10)', 'table'), /\n +2\n\(first 3 rows; more with/)
  assert.equal(await ask('SELECT 1 WHERE false', 'json'), '[\n]\n')
})

test('a gap whose frames came late counts only what is still missing', async () => {
  const event = (n: number, body: unknown): RowSpec => ({
    table: 'other',
    product: null,
    n,
    values: { kind: 'event', conn: 'abcdefghij-1', body: JSON.stringify(body) },
  })
  const gap = {
    cause: 'sequence',
    after_seq: 10,
    before_seq: 14,
    missing: 3,
    from_ns: String(baseNs),
    until_ns: null,
    products: ['BTC-USD'],
  }
  await vault.job({
    label: 'segment_20251203T14_00001',
    firstN: 1,
    lastN: 4,
    rows: [
      event(1, { gap }),
      event(2, { disorder: { expected: 15, got: 12, kind: 'late' } }),
      event(3, { gap: { ...gap, after_seq: 20, before_seq: 22, missing: 1 } }),
      event(4, { disorder: { expected: 23, got: 21, kind: 'late' } }),
    ],
  })
  assert.equal(
    await ask('SELECT cause, after_seq, before_seq, missing, late, products, n, until_time FROM gaps'),
    '{"cause":"sequence","after_seq":10,"before_seq":14,"missing":2,"late":1,"products":["BTC-USD"],"n":1,"until_time":null}\n',
  )
})

test('a segment that is nowhere is a gap; one that waits in ready is none', async () => {
  await vault.job({
    label: 'segment_20251203T14_00001',
    firstN: 1,
    lastN: 2,
    rows: [bid(1, '1'), bid(2, '1')],
  })
  await vault.readySegment('segment_20251203T14_00002', 3, [{ clock_step: { step_ns: '1' } }])
  await vault.job({ label: 'segment_20251203T14_00004', firstN: 9, lastN: 9, rows: [bid(9, '1')] })
  assert.equal(
    await ask('SELECT cause, n, from_time, until_time FROM gaps'),
    '{"cause":"missing_segment","n":4,"from_time":"2025-12-03T14:00:00.003Z","until_time":"2025-12-03T14:00:00.009Z"}\n',
  )
  assert.equal(
    await ask('SELECT label, state, first_n, last_n FROM segments ORDER BY label', 'csv'),
    'label,state,first_n,last_n\nsegment_20251203T14_00001,converted,1,2\nsegment_20251203T14_00002,ready,3,3\nsegment_20251203T14_00004,converted,9,9\n',
  )
})

test('a part of a later generation that has not taken its place yet is read where it waits', async () => {
  const label = 'segment_20251203T14_00001'
  await vault.job({ label, firstN: 1, lastN: 1, rows: [bid(1, '1')], digits: 'aaaaaaaa' })
  const second = { label, firstN: 1, lastN: 1, digits: 'bbbbbbbb', generation: 2 }
  const receipt = await vault.job({ ...second, rows: [bid(1, '2')] })
  const key = receipt.parts[0]!.key
  const staged = vault.store.pathOf(stagedPartKey(receipt, key))
  await mkdir(dirname(staged), { recursive: true })
  await rename(vault.store.pathOf(key), staged)
  assert.equal(
    await ask('SELECT product_id, "date", price FROM level2'),
    '{"product_id":"BTC-USD","date":"2025-12-03","price":"2"}\n',
  )
})

test('a folder of adopted Parquet is a view; one that is gone is said and harms nothing else', async () => {
  const parquet = join(vault.baseDir, 'theirs', 'symbol=BTC')
  await mkdir(parquet, { recursive: true })
  await ask(`COPY (SELECT 7 AS price) TO '${parquet}/a.parquet' (FORMAT parquet)`, 'ndjson', true)
  const folder: AdoptedFolder = {
    format: 1,
    kind: 'parquet',
    name: 'theirs',
    generation: 1,
    path: join(vault.baseDir, 'theirs'),
    files: [{ path: 'symbol=BTC/a.parquet', size_bytes: 1 }],
    rows: 1,
    columns: [],
    software: 'mdv test',
    adopted_ms: 0,
  }
  await vault.write(adoptedFolderKey('coinbase', 'theirs', 1), JSON.stringify(folder))
  assert.equal(await ask('SELECT price, symbol FROM adopted_theirs'), '{"price":7,"symbol":"BTC"}\n')
  assert.match(await ask('DESCRIBE adopted_theirs'), /"column_name":"price"/)
  assert.match(await ask('SHOW TABLES'), /adopted_theirs/)
  await rm(folder.path, { recursive: true })
  assert.equal(await ask('SELECT count(*) AS n FROM level2'), '{"n":0}\n')
  await assert.rejects(ask('SELECT * FROM adopted_theirs'), /adopted_theirs/)
  assert.match(notes.join(), /adopted_theirs is not available/)
})

test('trades without an id all stay in market_trades_unique', async () => {
  const nameless = (n: number): RowSpec => ({
    table: 'market_trades',
    product: 'BTC-USD',
    n,
    values: { price: '2' },
  })
  const rows = [nameless(1), nameless(2)]
  await vault.job({ label: 'segment_20251203T14_00001', firstN: 1, lastN: 2, rows })
  assert.equal(await ask('SELECT count(*) AS n FROM market_trades_unique'), '{"n":2}\n')
})

test('a table is read however its name is written or handed over', async () => {
  await vault.job({ label: 'segment_20251203T14_00001', firstN: 1, lastN: 1, rows: [bid(1, '1')] })
  for (const sql of [
    'SELECT count(*) AS n FROM "LEVEL2"',
    `SELECT count(*) AS n FROM query('SELECT * FROM le' || 'vel2')`,
    `SELECT count(*) AS n FROM query_table('le' || 'vel2')`,
    'CREATE TEMP TABLE t AS FROM Level2; SELECT count(*) AS n FROM t',
  ])
    assert.equal(await ask(sql), '{"n":1}\n', sql)
})

test('a decimal is printed with its own digits: 100 is not 1, a chosen scale stays', async () => {
  assert.equal(
    await ask(
      'SELECT 100::DECIMAL(38,18) AS a, 100::DECIMAL(38,0) AS b, 1.5::DECIMAL(10,2) AS c, -0.5::DECIMAL(38,18) AS d',
    ),
    '{"a":"100","b":"100","c":"1.50","d":"-0.5"}\n',
  )
  await assert.rejects(
    ask('SELECT 64250.12::DECIMAL(38,18) * 2.5::DECIMAL(38,18)'),
    (error) => error instanceof VaultError && /price::DECIMAL/.test(error.remedy!),
  )
})

test('segments that wait are looked into for a question about them only', async () => {
  await vault.job({ label: 'segment_20251203T14_00001', firstN: 1, lastN: 10, rows: [bid(1, '1.5')] })
  const listedFor = async (sql: string): Promise<boolean> => {
    const store = new FarStore(vault.store)
    await ask(sql, 'ndjson', false, cached(store, `${vault.baseDir}-cache`))
    return store.listed.some((prefix) => prefix.startsWith('raw/'))
  }
  assert.equal(await listedFor('SELECT count(*) FROM level2'), false)
  assert.equal(await listedFor('SELECT count(*) FROM SEGMENTS'), true)
  assert.equal(await listedFor('SELECT count(*) FROM gaps'), true)
  assert.equal(await listedFor("SELECT count(*) FROM query_table('level2')"), true)
  assert.equal(await listedFor("SELECT count(*) FROM level2 WHERE conn <> 'segments'"), false)
})

/** A segment is missing between them. */
async function twoApart(): Promise<void> {
  await vault.job({ label: 'segment_20251203T14_00001', firstN: 1, lastN: 10, rows: [bid(1, '1.5')] })
  await vault.job({
    label: 'segment_20251203T14_00003',
    firstN: 21,
    lastN: 30,
    rows: [bid(21, '1.5')],
    digits: 'bbbbbbbb',
  })
}

for (const from of [
  "E'\\x67aps'",
  "'ga'\n'ps'",
  "'ga' -- a word in two\n'ps'",
  '"GAPS"',
  'memory.main.gaps',
  '(SUMMARIZE gaps)',
  '(TABLE gaps)',
  '(PIVOT gaps ON cause USING count(*))',
  "histogram('ga' || 'ps', cause)",
  "query('SELECT * FROM ga' || 'ps')",
  "query_table('ga' || 'ps')",
])
  test(`a missing segment is told of, however gaps is asked for: FROM ${JSON.stringify(from)}`, async () => {
    await twoApart()
    const { found } = JSON.parse(await ask(`SELECT count(*) AS found FROM ${from}`)) as { found: unknown }
    assert.ok(Number(found) > 0, String(found))
  })

test('a table that is only described has the columns of its parts', async () => {
  const ticker: RowSpec = {
    table: 'ticker',
    product: 'BTC-USD',
    n: 1,
    values: { price: 1.5, price_text: '1.5' },
  }
  await vault.job({
    label: 'segment_20251203T14_00001',
    firstN: 1,
    lastN: 1,
    rows: [ticker],
    numberType: 'double',
  })
  const typeOf = `SELECT column_type FROM (DESCRIBE ticker) WHERE column_name = 'price'`
  assert.equal(await ask(typeOf), '{"column_type":"DOUBLE"}\n')
})

test('a question whose tree DuckDB cannot print is asked all the same', async () => {
  await twoApart()
  assert.equal(await ask('SELECT count(*) AS found FROM gaps WHERE 1 < 1e400'), '{"found":1}\n')
})
