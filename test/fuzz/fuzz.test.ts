/** A thin run of the fuzzers; test-full/fuzz.test.ts has the long one. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { corpusOf, fuzz } from './fuzz.ts'
import { targets } from './targets.ts'

const seed = Number(process.env['MDV_SEED'] ?? Date.now() % 1_000_000)

for (const target of targets)
  test(`${target.name}: bytes of others are taken or refused (MDV_SEED=${seed})`, async () => {
    assert.ok(corpusOf(target).length > 0, 'has a corpus')
    assert.equal(await fuzz(target, 100, seed, () => undefined), null)
  })
