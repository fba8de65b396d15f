/** How an error becomes one line, a way out and an exit code. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { VaultError } from '../../src/core/errors.ts'
import { endingOf } from '../../src/cli/exit-codes.ts'

test('a full disk that nobody foresaw is no bug: its code is 4, and its way out is said', () => {
  const full = Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' })
  const { code, words } = endingOf(full, false)
  assert.equal(code, 4)
  assert.match(words, /^mdv: ENOSPC: no space left on device, write\n {2}→ free space [^\n]*\n$/)
})

test('each problem has its line, the way out comes once and last', () => {
  const error = new VaultError('config', 'a: wrong\nb: wrong', { remedy: 'correct\nboth' })
  assert.deepEqual(endingOf(error, false), {
    code: 3,
    words: 'mdv: a: wrong\nmdv: b: wrong\n  → correct both\n',
  })
})

test('a bug is called one, in one line, without its stack', () => {
  const { code, words } = endingOf(new TypeError('x is not a function'), false)
  assert.equal(code, 1)
  assert.match(words, /^mdv: TypeError: x is not a function\n {2}→ this is a bug in mdv: .*MDV_DEBUG=1.*\n$/)
})
