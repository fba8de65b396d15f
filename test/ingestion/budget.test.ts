/** The allowance of an address, shared by its connections. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { Budget } from '../../src/ingestion/budget.ts'

test('a burst is spread evenly: eight a second are one each 125 ms', () => {
  const budget = new Budget(8)
  assert.deepEqual(
    Array.from({ length: 4 }, () => budget.take(1_000)),
    [0, 125, 250, 375],
  )
})

test('places not taken are not saved up', () => {
  const budget = new Budget(8)
  budget.take(0)
  assert.equal(budget.take(60_000), 0)
  assert.equal(budget.take(60_000), 125)
})

test('whenever they are asked for, no second holds more than the allowance', () => {
  fc.assert(
    fc.property(fc.array(fc.nat({ max: 400 }), { maxLength: 100 }), (pauses) => {
      const budget = new Budget(8)
      let nowMs = 0
      const at = pauses.map((pause) => (nowMs += pause) + budget.take(nowMs))
      for (const from of at) assert.ok(at.filter((one) => one >= from && one < from + 999).length <= 8)
    }),
  )
})
