/** What reaches a terminal: our own two sequences, and none of anybody else. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { makeOutput, printable } from '../../src/cli/output.ts'

const hostile = 'x\u001b]0;title\u0007\u001b[2J\u001b[1;1H\u009b31m\u0000\b\u007fy'

test('what would move the cursor, retitle or ring is left out; colour, erased lines, tabs and line ends stay', () => {
  assert.equal(printable(hostile), 'x]0;title[2J[1;1H31my')
  const own = '\r\u001b[K\u001b[2Kprogress\t\u001b[32m✓\u001b[0m é 漢 🙂\n'
  assert.equal(printable(own), own)
})

for (const isTTY of [true, false])
  test(`talk is always cleaned, data ${isTTY ? 'for a terminal too' : 'through a pipe never'}`, async () => {
    const seen = { out: '', err: '' }
    const stream = (name: 'out' | 'err') => ({
      isTTY,
      columns: 80,
      on: () => undefined as never,
      write: (text: string, done?: unknown) => {
        seen[name] += text
        if (typeof done === 'function') done()
        return true
      },
    })
    const settings = { env: {}, isPlain: true, onReaderGone: () => undefined }
    const output = makeOutput(stream('out'), stream('err'), settings)
    await output.out(hostile)
    output.err(hostile)
    assert.equal(seen.out, isTTY ? printable(hostile) : hostile)
    assert.equal(seen.err, printable(hostile))
  })
