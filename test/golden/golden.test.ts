/** Frames and the rows they become, side by side in test/golden. `UPDATE_GOLDEN=1` writes the rows anew; git shows the change. */

import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { test } from 'node:test'
import { frameSegment, readRows, withConversion } from '../etl/convert-segment.ts'

for (const name of ['session-start', 'odd-frames'])
  test(`the frames of ${name} become the rows beside them`, async () => {
    const frames = (await readFile(`test/golden/${name}.frames.ndjson`, 'utf8')).trimEnd().split('\n')
    const rows = await withConversion(frameSegment(frames), {}, (conversion) => readRows(conversion))
    const text = rows
      .map(({ table, date, values }) => {
        const said = Object.entries(values).filter(([, value]) => value !== null)
        return `${JSON.stringify({ table, date, ...Object.fromEntries(said) })}\n`
      })
      .join('')
    const path = `test/golden/${name}.rows.ndjson`
    if (process.env['UPDATE_GOLDEN'] === '1') await writeFile(path, text)
    else assert.equal(text, await readFile(path, 'utf8'))
  })
