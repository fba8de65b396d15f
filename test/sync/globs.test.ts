/** Patterns: what they match, against an oracle that is slow and plain, and with patterns made to hurt. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { compileGlob, keyFilter } from '../../src/sync/globs.ts'

const part = 'processed/coinbase/level2/product_id=BTC-USD/date=2025-12-03/part_20251203T14_0123abcd.parquet'

const cases: readonly (readonly [pattern: string, key: string, matches: boolean])[] = [
  ['processed/coinbase/level2/**', part, true],
  ['processed/coinbase/level2/', part, true],
  ['/processed/coinbase/level2/**', part, true],
  ['processed/coinbase/level2', part, false],
  ['processed/coinbase/ticker/**', part, false],
  ['processed/*/level2/**', part, true],
  ['processed/*/**', part, true],
  ['**/date=2025-12-0?/**', part, true],
  ['**/date=2025-12-0?/*.parquet', part, true],
  ['*.parquet', part, true],
  ['*.parq', part, false],
  ['**', part, true],
  ['*', part, true],
  ['*/*', part, false],
  ['part_[0-9]*', part, false],
  ['**/product_id=%62%2A/*', 'a/product_id=%62%2A/x', true],
  ['**/product_id=%62*/*', 'a/product_id=%62%2A/x', true],
  ['a/**/b', 'a/b', true],
  ['a/**/b', 'a/x/y/b', true],
  ['a/**/b', 'a/x/y/bb', false],
  ['a**b/c', 'axxb/c', true],
  ['raw/(ready)|x/*', 'raw/(ready)|x/1', true],
  ['?.json', '\u{1F600}.json', true],
]

test('a pattern without a slash is a file name, any other a path from the root', () => {
  for (const [pattern, key, matches] of cases)
    assert.equal(compileGlob(pattern)(key), matches, `${pattern} on ${key}`)
})

test('what one include matches and no exclude; without include, everything', () => {
  const filter = keyFilter(['raw/**', '*.parquet'], ['raw/rejected/**'])
  assert.deepEqual([part, 'raw/ready/x', 'raw/rejected/x', 'processed/coinbase/_jobs/x.json'].map(filter), [
    true,
    true,
    false,
    false,
  ])
  assert.equal(keyFilter([], ['*.json'])('raw/ready/x'), true)
})

for (const pattern of ['', '/', 'processed\\coinbase\\**', 'a//b', '../a', 'a/../b', './x'])
  test(`a pattern that matches nothing is refused with the way out: ${JSON.stringify(pattern)}`, () => {
    assert.throws(() => compileGlob(pattern), { kind: 'usage' })
  })

/** Exponential, and plain. */
function oracle(pattern: string, text: string): boolean {
  if (pattern === '') return text === ''
  if (pattern[0] === '*')
    return oracle(pattern.slice(1), text) || (text !== '' && oracle(pattern, text.slice(1)))
  return (
    text !== '' && (pattern[0] === '?' || pattern[0] === text[0]) && oracle(pattern.slice(1), text.slice(1))
  )
}

test('a name is matched as by the plain definition of * and ?', () => {
  const patterns = fc.string({ unit: fc.constantFrom('a', 'b', '.', '*', '?'), minLength: 1, maxLength: 8 })
  const names = fc.string({ unit: fc.constantFrom('a', 'b', '.'), minLength: 1, maxLength: 8 })
  fc.assert(
    fc.property(patterns, names, (pattern, name) => {
      fc.pre(!/^(?:\.|\.\.)$/.test(pattern) && pattern !== '**')
      assert.equal(compileGlob(pattern)(`folder/${name}`), oracle(pattern, name))
    }),
    { numRuns: 500 },
  )
})

function pathOracle(pattern: readonly string[], names: readonly string[]): boolean {
  const [first, ...rest] = pattern
  if (first === undefined) return names.length === 0
  if (first === '**')
    return pathOracle(rest, names) || (names.length > 0 && pathOracle(pattern, names.slice(1)))
  return names.length > 0 && oracle(first, names[0]!) && pathOracle(rest, names.slice(1))
}

test('a path is matched as by the plain definition of **', () => {
  const names = fc.array(fc.constantFrom('a', 'b', 'ab'), { minLength: 2, maxLength: 6 })
  const patterns = fc.array(fc.constantFrom('a', 'b', '*', '?', 'a*', '**'), { minLength: 2, maxLength: 6 })
  fc.assert(
    fc.property(patterns, names, (pattern, path) => {
      assert.equal(compileGlob(pattern.join('/'))(path.join('/')), pathOracle(pattern, path))
    }),
    { numRuns: 500 },
  )
})

test('patterns made to take for ever take no more than the product of the lengths', () => {
  const key = `${'a'.repeat(1000)}/${'a/'.repeat(200)}a`
  for (const pattern of [
    `${'*a'.repeat(300)}*b`,
    `${'**/a/'.repeat(100)}b`,
    `${'a*'.repeat(400)}/${'**/'.repeat(90)}b`,
  ])
    assert.equal(compileGlob(pattern)(key), false)
})

test('any key is matched by itself, unless it has the signs of a pattern', () => {
  const names = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 12 })
  fc.assert(
    fc.property(fc.array(names, { minLength: 2, maxLength: 4 }), (path) => {
      fc.pre(path.every((name) => !/[/\\*?]/.test(name) && name !== '.' && name !== '..'))
      assert.equal(compileGlob(path.join('/'))(path.join('/')), true)
    }),
  )
})
