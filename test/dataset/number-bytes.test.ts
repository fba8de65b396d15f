/** Numbers and instants read from bytes into words, against BigInt and Date. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { parseRfc3339Ns } from '../../src/core/time.ts'
import { readDecimal } from '../../src/dataset/decimal-bytes.ts'
import { canonicalDecimal } from '../../src/dataset/decimal.ts'
import { InstantReader } from '../../src/dataset/instant-bytes.ts'
import { readCount, writeBillions } from '../../src/dataset/int64.ts'

/** Words, the lower first, as the signed number they are. */
function numberOf(words: Uint32Array): bigint {
  const bits = words.reduce((sum, word, i) => sum | (BigInt(word) << BigInt(32 * i)), 0n)
  return BigInt.asIntN(words.length * 32, bits)
}

/** A decimal text times 10^18. */
function scaled(text: string): bigint {
  const [, sign, whole, fraction = ''] = /^(-?)(\d+)(?:\.(\d+))?$/.exec(text)!
  const value = BigInt(whole + fraction.padEnd(18, '0'))
  return sign === '-' ? -value : value
}

test('a decimal that is its own print is read exactly, and no other', () => {
  const texts = fc.oneof(
    fc.stringMatching(/^-?\d{1,8}(\.\d{1,9})?$/),
    fc.stringMatching(/^-?\d{1,21}(\.\d{0,19})?$/),
    fc.stringMatching(/^[-+]?[\d.e]{0,6}$/),
    fc.constantFrom('0', '-0', '9007198', '9007199', '9007199.999999999999999999', '99999999999999999999'),
  )
  fc.assert(
    fc.property(texts, (text) => {
      const words = new Uint32Array(4).fill(0xdeadbeef)
      const until = readDecimal(Buffer.from(`x${text}"`), 1, words, 0)
      if (canonicalDecimal(text) !== text) return assert.equal(until, -1, text)
      assert.equal(until, text.length + 2, text)
      assert.equal(numberOf(words), scaled(text), text)
    }),
    { numRuns: 5000 },
  )
})

test('a count is read up to 63 bits, and ends where its digits do', () => {
  fc.assert(
    fc.property(fc.oneof(fc.bigInt(0n, 2n ** 64n), fc.bigInt(0n, 10n ** 10n)), (value) => {
      const words = new Uint32Array(2)
      const until = readCount(Buffer.from(`${value},"x"`), 0, words, 0)
      if (value >= 2n ** 63n) return assert.equal(until, -1)
      assert.deepEqual([until, numberOf(words)], [String(value).length, value])
    }),
  )
  for (const text of ['', '01', '-1', 'x', '9223372036854775808', '12345678901234567890'])
    assert.equal(readCount(Buffer.from(`${text}"`), 0, new Uint32Array(2), 0), -1, text)
})

test('billions and the rest are one number of 64 bits', () => {
  const billions = fc.integer({ min: 0, max: 9_223_372_035 })
  fc.assert(
    fc.property(billions, fc.integer({ min: 0, max: 999_999_999 }), (upper, rest) => {
      const words = new Uint32Array(2)
      writeBillions(words, 0, upper, rest)
      assert.equal(numberOf(words), BigInt(upper) * 1_000_000_000n + BigInt(rest))
    }),
  )
})

test('an instant is read as its text says, also the same one again, and one that never was is declined', () => {
  const texts = fc.oneof(
    fc.stringMatching(/^(19|20|21|22)\d\d-[01]\d-[0-3]\dT[0-2]\d:[0-5]\d:[0-6]\d(\.\d{1,10})?Z$/),
    fc
      .date({ min: new Date('1969-12-30'), max: new Date('2200-01-03'), noInvalidDate: true })
      .map((at) => at.toISOString().replace(/\.?0+Z$/, 'Z')),
    fc.constantFrom('2024-02-29T00:00:00Z', '2023-02-29T00:00:00Z', '2025-12-03T14:00:00.5+00:00', ''),
  )
  const reader = new InstantReader()
  fc.assert(
    fc.property(texts, (text) => {
      const bytes = Buffer.from(`${text}"${text}" and then some`)
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
      const ns = parseRfc3339Ns(text)
      const isPlain = ns !== undefined && !text.slice(19).endsWith('0Z') && /^(19[7-9]|20|21)/.test(text)
      for (const from of [0, text.length + 1]) {
        const until = reader.read(bytes, view, from, bytes.length)
        if (!isPlain) {
          assert.equal(until, -1, text)
          continue
        }
        assert.equal(until, from + text.length + 1, text)
        assert.equal(BigInt(reader.seconds) * 1_000_000_000n + BigInt(reader.nanos), ns)
        assert.equal(reader.day, Math.floor(reader.seconds / 86_400))
      }
    }),
    { numRuns: 5000 },
  )
})
