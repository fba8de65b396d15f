import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { findValue } from '../../src/query/adopt/json-span.ts'
import { parseTime } from '../../src/query/adopt/mapping.ts'
import { isEqualJson } from '../../src/query/verify/json-equal.ts'

test('the bytes found under a key are the value that JSON.parse finds there, whatever stands around it', () => {
  fc.assert(
    fc.property(
      fc.dictionary(fc.string(), fc.jsonValue()),
      fc.string(),
      fc.jsonValue(),
      fc.constantFrom(undefined, 1, '\t '),
      (around, key, value, indent) => {
        const line = Buffer.from(JSON.stringify({ ...around, [key]: { inner: value } }, null, indent))
        const span = findValue(line, [key, 'inner'])
        // JSON.parse gives `__proto__` as an own key; a spread object does not.
        if (key === '__proto__') return
        assert.deepEqual(
          JSON.parse(line.toString('utf8', span!.from, span!.until)),
          JSON.parse(JSON.stringify(value)),
        )
        assert.equal(findValue(line, [key, 'absent', 'x']), undefined)
      },
    ),
  )
})

test('of a doubled key the last value counts, and an escaped key is the key it spells', () => {
  const line = Buffer.from('{"a":1,"\\u0061":{"b":"}{"},"c":[{"a":2}]}')
  const span = findValue(line, ['a'])!
  assert.equal(line.toString('utf8', span.from, span.until), '{"b":"}{"}')
})

test('times are read digit by digit in any unit', () => {
  assert.equal(parseTime('1764770400.015964031', 's'), 1764770400015964031n)
  assert.equal(parseTime('"1764770400015964031"', 'ns'), 1764770400015964031n)
  assert.equal(parseTime('1764770400015', 'auto'), 1764770400015000000n)
  assert.equal(parseTime('1764770400015964', 'auto'), 1764770400015964000n)
  assert.equal(parseTime('"2025-12-03T15:00:00.5+01:00"', 'iso'), 1764770400500000000n)
  assert.equal(parseTime('"2025-12-03 14:00:00"', 'auto'), 1764770400000000000n)
  for (const [text, unit] of [
    ['"soon"', 'auto'],
    ['true', 's'],
    ['1764770400', 'iso'],
    ['"2025-02-30T00:00:00Z"', 'iso'],
    ['99999999999999999999', 'ns'],
    ['1e9', 's'],
  ] as const)
    assert.equal(parseTime(text, unit), undefined, text)
})

test('JSON is equal whatever the spaces, the order of keys and the escapes, but not when a digit differs', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      assert.ok(isEqualJson(JSON.stringify(value), JSON.stringify(value, null, 2)))
    }),
  )
  assert.ok(isEqualJson('{"a":1.50,"b":"\\u0041"}', '{"b":"A", "a":1.50}'))
  for (const [a, b] of [
    ['1.50', '1.5'],
    ['12345678901234567890', '12345678901234567891'],
    ['{"a":1}', '{"a":1,"a":1}'],
    ['[1,2]', '[2,1]'],
    ['"1"', '1'],
  ] as const)
    assert.ok(!isEqualJson(a, b), `${a} ${b}`)
})
