/** Labels sort as their hours and counters do, whatever their number of digits. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { compareLabels, parseSegmentLabel, segmentLabel } from '../../src/storage/keys.ts'

const hour = fc.constantFrom('20251203T14', '20251203T15', '20261203T00')
const counter = fc.oneof(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 99_990, max: 1_000_010 }))
const label = fc
  .tuple(hour, counter, fc.constantFrom('', '', '.bak'), fc.constantFrom('', '', '0'))
  .map(([one, number, ending, zero]) => segmentLabel(one, number).replace(/_(?=\d+$)/, `_${zero}`) + ending)

test('the order of labels is that of hours, then of counters', () => {
  fc.assert(
    fc.property(label, label, (a, b) => {
      const [one, other] = [parseSegmentLabel(a)!, parseSegmentLabel(b)!]
      const expected = one.hour === other.hour ? one.counter - other.counter : one.hour < other.hour ? -1 : 1
      const got = Math.sign(compareLabels(a, b))
      assert.equal(
        got,
        expected === 0 ? Math.sign(Number(a > b) - Number(a < b)) : Math.sign(expected),
        `${a} ${b}`,
      )
    }),
  )
})
