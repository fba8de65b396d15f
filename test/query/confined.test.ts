/** SQL of `mdv query` reaches nothing outside the vault: each way out that DuckDB knows is tried, and nothing may come of it. */

import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, before, test } from 'node:test'
import { VaultError } from '../../src/core/errors.ts'
import { runQuery } from '../../src/query/run.ts'
import { adoptedFolderKey } from '../../src/table/adopted.ts'
import { partitionPrefix } from '../../src/storage/keys.ts'
import { SmallVault } from './small-vault.ts'

const canary = 'canary-of-the-confined-test'
process.env['MDV_TEST_CANARY'] = canary

let vault: SmallVault
/** A folder beside the vault; `canary.txt` in it holds the canary, and nothing else may ever be in it. */
let outside: string

before(async () => {
  vault = await SmallVault.make()
  outside = await mkdtemp(join(tmpdir(), 'mdv-outside-'))
  await writeFile(join(outside, 'canary.txt'), canary)
  await addJob(vault)
})
after(async () => {
  await vault.remove()
  await rm(outside, { recursive: true, force: true })
})

async function addJob(into: SmallVault): Promise<string> {
  const receipt = await into.job({
    label: 'segment_20251203T14_00001',
    firstN: 1,
    lastN: 1,
    rows: [
      { table: 'level2', product: 'BTC-USD', n: 1, values: { side: 'bid', price: canaryPrice, size: '1' } },
    ],
  })
  return receipt.parts[0]!.key
}

const canaryPrice = '31337.5'

/** Everything the question printed or noted, as one text. */
async function ask(of: SmallVault, sql: string, allowFiles = false): Promise<string> {
  let seen = ''
  const options = { memoryLimitMb: 256, scratchDir: `${of.baseDir}/spill`, allowFiles }
  const sink = {
    note: (words: string) => void (seen += words),
    fetching: () => undefined,
    begin: () => Promise.resolve(),
    rows: (rows: readonly unknown[]) => {
      seen += rows.map(String).join('\n')
      return Promise.resolve(true)
    },
  }
  await runQuery(of.reader, 'coinbase', sql, options, sink, new AbortController().signal)
  return seen
}

/** Ways out, `@` standing for the folder outside. */
const waysOut = {
  'reads a file of text': `SELECT * FROM read_text('@/canary.txt')`,
  'reads a file of bytes': `SELECT * FROM read_blob('@/canary.txt')`,
  'reads a file as CSV': `SELECT * FROM read_csv('@/canary.txt', header = false)`,
  'reads a file as JSON': `SELECT * FROM read_json('@/canary.txt')`,
  'reads a file by its bare name': `SELECT * FROM '@/canary.txt'`,
  'reads a file of the system': `SELECT * FROM read_csv('/etc/passwd')`,
  'reads Parquet by a path with ..': `SELECT * FROM read_parquet('%/processed/../../*/canary.parquet')`,
  'leaves by .. from an allowed part': `SELECT * FROM read_text('%part/../../../../../../../etc/passwd')`,
  'lists folders': `SELECT * FROM glob('/**')`,
  'lists the vault itself': `SELECT * FROM glob('%/**')`,
  'looks at footers of others': `SELECT * FROM parquet_metadata('@/x.parquet')`,
  'sniffs a file': `SELECT * FROM sniff_csv('@/canary.txt')`,
  'fetches an address': `SELECT * FROM read_csv('http://127.0.0.1:9/x.csv')`,
  'writes a file': `COPY (SELECT 1) TO '@/new.csv'`,
  'writes partitions': `COPY (SELECT 1 AS a, 2 AS b) TO '@/parts' (FORMAT parquet, PARTITION_BY (a))`,
  'writes over a part': `COPY (SELECT 1) TO '%part'`,
  'loads a table': `CREATE TABLE t (x VARCHAR); COPY t FROM '@/canary.txt'`,
  'writes while explaining': `EXPLAIN ANALYZE COPY (SELECT 1) TO '@/new.csv'`,
  'attaches a database': `ATTACH '@/new.db' AS other`,
  'attaches and uses one': `ATTACH '@/new.db' AS other; CREATE TABLE other.t AS SELECT 1`,
  'exports everything': `EXPORT DATABASE '@/all'`,
  'imports a folder of statements': `IMPORT DATABASE '@'`,
  'installs an extension': `INSTALL httpfs`,
  'loads an extension': `LOAD httpfs`,
  'loads a file as an extension': `LOAD '@/canary.txt'`,
  'keeps a secret': `CREATE SECRET s (TYPE s3, KEY_ID 'a', SECRET 'b')`,
  'keeps a secret on disk': `CREATE PERSISTENT SECRET s (TYPE s3, KEY_ID 'a', SECRET 'b')`,
  'reads a variable of the environment': `SELECT getenv('MDV_TEST_CANARY')`,
  'opens every folder': `SET allowed_directories = ['/']; SELECT * FROM read_text('@/canary.txt')`,
  'allows one path': `SET allowed_paths = ['@/canary.txt']; SELECT * FROM read_text('@/canary.txt')`,
  'turns access on again': `SET enable_external_access = true; SELECT * FROM read_text('@/canary.txt')`,
  'unlocks the settings': `SET lock_configuration = false`,
  'resets a setting': `RESET enable_external_access`,
  'searches files first': `SET file_search_path = '@'; SELECT * FROM 'canary.txt'`,
  'spills elsewhere': `SET temp_directory = '@/spill'`,
  'logs into a file': `SET profiling_output = '@/profile.json'; PRAGMA enable_profiling; SELECT 1`,
  'logs through a call': `CALL enable_logging(storage = 'file', storage_config = {'path': '@/log'})`,
  'follows a redirect to a file': `SELECT * FROM read_csv('file://@/canary.txt', header = false)`,
  'reads what the venue’s cloud tells its machines': `SELECT * FROM read_text('http://169.254.169.254/latest/meta-data/')`,
  'reads a bucket': `SELECT * FROM read_parquet('s3://elsewhere/x.parquet')`,
  'lists secrets in plain text': `SELECT * FROM duckdb_secrets(redact = false)`,
  'says where secrets lie': `SET secret_directory = '@'`,
  'takes extensions from a folder': `SET extension_directory = '@'`,
  'takes unsigned extensions': `SET allow_unsigned_extensions = true`,
  'takes extensions by themselves': `SET autoload_known_extensions = true`,
  'keeps a log in a file by a pragma': `PRAGMA enable_profiling = 'json'; PRAGMA profile_output = '@/profile.json'; SELECT 1`,
  'calls a program': `SELECT * FROM read_csv('/bin/sh -c "cat @/canary.txt" |')`,
  'opens SQLite': `ATTACH '@/canary.txt' AS s (TYPE sqlite)`,
  'checkpoints into a file': `ATTACH ':memory:' AS m; CHECKPOINT m`,
  'prepares and executes': `PREPARE p AS COPY (SELECT 1) TO '@/new.csv'; EXECUTE p`,
  'hides SQL in a value': `SELECT * FROM query('SELECT * FROM read_text(''@/canary.txt'')')`,
  'hides a name in a value': `SELECT * FROM query_table('@/canary.txt')`,
  'reads through a variable': `SET VARIABLE f = '@/canary.txt'; SELECT * FROM read_text(getvariable('f'))`,
  'reads through a macro': `CREATE MACRO m(f) AS TABLE SELECT * FROM read_text(f); SELECT * FROM m('@/canary.txt')`,
}

for (const [what, sql] of Object.entries(waysOut))
  test(`SQL that ${what} is refused and leaves nothing`, async () => {
    const part = join(vault.baseDir, partitionPrefix('coinbase', 'level2', 'BTC-USD', '2025-12-03'))
    const text = sql.replaceAll('%part', part).replaceAll('@', outside).replaceAll('%', vault.baseDir)
    await assert.rejects(
      ask(vault, text),
      (error) => error instanceof VaultError && !error.message.includes(canary),
    )
    assert.deepEqual(await readdir(outside), ['canary.txt'])
    assert.equal(await ask(vault, 'SELECT price::DOUBLE FROM level2'), canaryPrice)
  })

test('the attempts are real: with --allow-files the same SQL does read and write', async () => {
  assert.equal(await ask(vault, `SELECT content FROM read_text('${outside}/canary.txt')`, true), canary)
  await ask(vault, `COPY (SELECT 1) TO '${outside}/new.csv'`, true)
  await rm(join(outside, 'new.csv'))
})

/** A vault whose only part, or a folder above it, was moved away and linked to. */
async function linkedVault(of: (part: string) => string): Promise<{ vault: SmallVault; elsewhere: string }> {
  const linked = await SmallVault.make()
  const path = of(linked.store.pathOf(await addJob(linked)))
  const elsewhere = await mkdtemp(join(tmpdir(), 'mdv-elsewhere-'))
  await rename(path, join(elsewhere, 'moved'))
  await symlink(join(elsewhere, 'moved'), path)
  return { vault: linked, elsewhere }
}

const links = {
  'a part': (part: string) => part,
  'the folder of a day': (part: string) => dirname(part),
  'the folder of a table': (part: string) => dirname(dirname(dirname(part))),
}

for (const [what, of] of Object.entries(links))
  test(`${what} that is a link out of the vault is not followed`, async (t) => {
    const { vault: linked, elsewhere } = await linkedVault(of)
    t.after(() => Promise.all([linked.remove(), rm(elsewhere, { recursive: true, force: true })]))
    await assert.rejects(ask(linked, 'SELECT price FROM level2'), (error) => {
      assert.ok(error instanceof VaultError && ['preflight', 'unavailable'].includes(error.kind))
      return /symbolic link|not there/.test(error.message) && !error.message.includes(canaryPrice)
    })
  })

test('a note of adopted Parquet whose name is SQL is refused, and its statement is not run', async (t) => {
  const hostile = await SmallVault.make()
  t.after(() => hostile.remove())
  const name = `x AS SELECT 1; COPY (SELECT 1) TO '${outside}/planted.csv'; --`
  const note = { format: 1, kind: 'parquet', name, generation: 1, path: outside, files: [] }
  await mkdir(join(hostile.baseDir, 'processed'), { recursive: true })
  await hostile.write(adoptedFolderKey('coinbase', 'x', 1), JSON.stringify(note))
  await assert.rejects(ask(hostile, `SELECT * FROM "adopted_${name}"`), { kind: 'corrupt' })
  assert.ok(!existsSync(join(outside, 'planted.csv')))
})
