/** How rows are laid into vectors: each counts once, in order, and no group begins with few rows and goes on with many. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { vectorRows, windowsOf } from '../../src/etl/stage-windows.ts'

const sizes = fc.array(
  fc.oneof(
    fc.integer({ min: 1, max: 3 }),
    fc.integer({ min: 60, max: 130 }),
    fc.integer({ min: vectorRows - 70, max: vectorRows + 70 }),
    fc.integer({ min: 1, max: 5 * vectorRows }),
  ),
  { minLength: 1, maxLength: 40 },
)

test('each row counts once and in order, in whole vectors', () => {
  fc.assert(
    fc.property(fc.nat({ max: 5000 }), sizes, (from, groups) => {
      let end = from
      const ends = groups.map((size) => (end += size))
      const windows = windowsOf(from, ends)
      let at = from
      for (const [i, window] of windows.entries()) {
        assert.equal(window.from, at)
        assert.ok(window.countedUntil > at && window.countedUntil <= window.until)
        if (i + 1 < windows.length) assert.equal(window.until - window.from, vectorRows)
        at = window.countedUntil
      }
      assert.equal(at, end)
    }),
  )
})

test('what a group has in one vector is never fewer than 64 rows before a vector in which it has more', () => {
  fc.assert(
    fc.property(sizes, (groups) => {
      let end = 0
      const ends = groups.map((size) => (end += size))
      const windows = windowsOf(0, ends)
      for (const [i, groupEnd] of ends.entries()) {
        const start = ends[i - 1] ?? 0
        const pieces = windows
          .map((one) => Math.min(one.countedUntil, groupEnd) - Math.max(one.from, start))
          .filter((rows) => rows > 0)
        for (const [k, rows] of pieces.entries())
          assert.ok(rows >= 64 || (pieces[k + 1] ?? 0) < 64, `${pieces.join()} of ${groups.join()}`)
      }
    }),
    { numRuns: 1000 },
  )
})
