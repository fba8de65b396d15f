/** Bytes of a line counted four at a time. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { countQuotes } from '../../src/etl/prescan.ts'

test('quotation marks are counted as one by one, wherever the line begins and ends', () => {
  const byte = fc.oneof(fc.constantFrom(0x22, 0x21, 0x23, 0x00, 0x7f), fc.integer({ min: 0, max: 0x7f }))
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 40 }),
      fc.array(byte, { maxLength: 40 }),
      fc.nat(7),
      (before, line, after) => {
        const bytes = Buffer.from([...before, ...line, ...Array.from({ length: after }, () => 0x22)])
        const expected = line.filter((one) => one === 0x22).length
        assert.equal(countQuotes(bytes, before.length, before.length + line.length), expected)
      },
    ),
  )
})

test('bytes that are no UTF-8 are found at every place', () => {
  for (let at = 0; at < 12; at++) {
    const bytes = Buffer.from('"abcdefghij"')
    bytes[at] = 0xff
    assert.equal(countQuotes(bytes, 0, bytes.length), -1)
  }
  assert.equal(countQuotes(Buffer.from('"é"'), 0, 4), 2)
})
