/** Decimal texts: one plain print each, or none where a column could not hold it. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { canonicalDecimal } from '../../src/dataset/decimal.ts'

test('a number has one plain print', () => {
  const cases: readonly (readonly [string, string | undefined])[] = [
    ['0', '0'],
    ['-0.00', '0'],
    ['007', '7'],
    ['1.50', '1.5'],
    ['+1', '1'],
    ['1.', '1'],
    ['1e-9', '0.000000001'],
    ['12.5E2', '1250'],
    ['9.7e-7', '0.00000097'],
    ['0e999', '0'],
    ['0.000000000000000001', '0.000000000000000001'],
    ['0.0000000000000000001', undefined],
    ['99999999999999999999', '99999999999999999999'],
    ['100000000000000000000', undefined],
    ['1e9999', undefined],
    ['.5', undefined],
    ['', undefined],
    ['NaN', undefined],
    ['1_0', undefined],
    [' 1', undefined],
  ]
  for (const [text, expected] of cases) assert.equal(canonicalDecimal(text), expected, text)
})

test('the plain print of a plain print is itself', () => {
  fc.assert(
    fc.property(
      fc.bigInt({ min: -(10n ** 19n), max: 10n ** 19n }),
      fc.integer({ min: -18, max: 0 }),
      (digits, exponent) => {
        const once = canonicalDecimal(`${digits}e${exponent}`)
        assert.ok(once !== undefined)
        assert.equal(canonicalDecimal(once), once)
      },
    ),
  )
})
