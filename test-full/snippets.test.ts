/** Python runs what `mdv query --snippet` prints, and sees the rows the vault itself counts. */

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { after, before } from 'node:test'
import { promisify } from 'node:util'
import { mdv } from './processes.ts'

const python = process.env['MDV_TEST_PYTHON'] ?? 'python3'
const tables = ['ticker', 'level2', 'market_trades', 'other'] as const
let dir = ''
let counted = ''

before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'mdv-snippets-'))
  await mdv('demo', '--seconds', '5', '--rate', '2000', '--products', '4', '--dir', join(dir, 'vault'))
  const counts = tables.map((table) => `(SELECT count(*) FROM ${table})`).join(', ')
  counted = (await query('--output', 'csv', `SELECT ${counts}`)).at(-1)!
})
after(() => rm(dir, { recursive: true, force: true }))

async function query(...args: string[]): Promise<readonly string[]> {
  return (await mdv('query', '--base-dir', join(dir, 'vault'), ...args)).lines
}

/** Each prints the rows of all tables as `1,2,3,4`, after what the snippet itself prints. */
const readers = [
  ['polars', ['polars'], `[scan(t).select(pl.len()).collect().item() for t in TABLES]`],
  ['pandas', ['pandas', 'pyarrow'], `[len(read(t, columns=["n", "product_id", "date"])) for t in TABLES]`],
  ['duckdb', ['duckdb'], `[c.execute(f"SELECT count(*) FROM {t}").fetchall()[0][0] for t in TABLES]`],
] as const

for (const [kind, modules, counts] of readers)
  test(`${kind} runs its snippet`, async (context) => {
    if (!(await hasModules(modules))) {
      const why = `this Python lacks ${modules.join(' or ')}`
      assert.equal(process.env['CI'], undefined, why)
      return context.skip(why)
    }
    const code = (await query('--snippet', kind)).join('\n')
    const program =
      kind === 'duckdb' ? `import duckdb\nc = duckdb.connect()\nc.execute(${JSON.stringify(code)})` : code
    const script = `${program}\nTABLES = ${JSON.stringify(tables)}\nprint(",".join(str(n) for n in ${counts}))`
    const { stdout } = await promisify(execFile)(python, ['-c', script])
    assert.equal(stdout.trimEnd().split('\n').at(-1), counted)
  })

async function hasModules(modules: readonly string[]): Promise<boolean> {
  try {
    await promisify(execFile)(python, ['-c', `import ${modules.join(', ')}`])
    return true
  } catch {
    return false
  }
}
