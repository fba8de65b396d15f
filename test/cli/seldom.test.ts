/** A log that is bounded by time. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Seldom } from '../../src/cli/seldom.ts'
import { ManualClock } from '../segment/manual-clock.ts'

test('an error that repeats ten times a second for an hour is said some sixty times, with the count of the rest', () => {
  const clock = new ManualClock()
  const said: string[] = []
  const seldom = new Seldom(clock, (text) => said.push(text))
  for (let i = 0; i < 36_000; i++) {
    clock.advance(100)
    seldom.say('gap', `gap ${i}`)
  }
  assert.deepEqual(said.slice(0, 5), ['gap 0', 'gap 1', 'gap 2', 'gap 3', 'gap 4'])
  assert.ok(said.length > 60 && said.length < 66, `${said.length} lines`)
  const counted = said.reduce((sum, text) => sum + Number(/and (\d+) more/.exec(text)?.[1] ?? 0), said.length)
  assert.ok(counted > 36_000 - 600, `${counted} are accounted for`)
})

test('subjects do not silence one another, and one that rested says its first few at once again', () => {
  const clock = new ManualClock()
  const said: string[] = []
  const seldom = new Seldom(clock, (text) => said.push(text), 2)
  for (const text of ['a', 'b', 'c']) seldom.say('one', text)
  seldom.say('other', 'x')
  assert.deepEqual(said, ['a', 'b', 'x'])
  clock.advance(300_000)
  for (const text of ['d', 'e', 'f']) seldom.say('one', text)
  assert.deepEqual(said.slice(3), ['d (and 1 more like it)', 'e'])
})
