/** docs/table-layout.md says of every column what the code says. `UPDATE_GOLDEN=1` writes its tables anew. */

import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { test } from 'node:test'
import { tableColumns } from '../../src/dataset/tables.ts'
import { tableNames } from '../../src/table/receipt.ts'

const path = 'docs/table-layout.md'

test('the documented columns are the columns that are written', async () => {
  const text = await readFile(path, 'utf8')
  const expected = tableNames.reduce((doc, table) => withColumns(doc, table), text)
  if (process.env['UPDATE_GOLDEN'] === '1') await writeFile(path, expected)
  else assert.equal(text, expected)
})

/** The document with the table between its two marks made from the code. */
function withColumns(doc: string, table: (typeof tableNames)[number]): string {
  const open = `<!-- columns of ${table} -->\n`
  const close = '<!-- end -->'
  const from = doc.indexOf(open)
  assert.ok(from >= 0, `${path} has a place for the columns of ${table}`)
  const rows = tableColumns(table, 'decimal').map(
    (one) => `| \`${one.name}\` | ${one.type} | ${one.unit} | ${one.nullMeaning} | ${one.source} |`,
  )
  const body = [
    '',
    '| column | type | unit | null means | from |',
    '| --- | --- | --- | --- | --- |',
    ...rows,
    '',
    '',
  ].join('\n')
  return doc.slice(0, from + open.length) + body + doc.slice(doc.indexOf(close, from))
}
