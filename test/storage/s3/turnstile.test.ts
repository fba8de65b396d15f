/** A bounded number at once, the others in order. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Turnstile } from '../../../src/storage/s3/turnstile.ts'
import { openOn, startServer } from './bucket.ts'

const never = new AbortController().signal

test('no more than allowed are inside, the others come in order, an aborted one never', async () => {
  const turnstile = new Turnstile(2)
  const entered: number[] = []
  const stop = new AbortController()
  const enter = async (i: number, signal: AbortSignal) => {
    await turnstile.enter(signal)
    entered.push(i)
  }
  const all = [0, 1, 2, 3, 4].map((i) => enter(i, i === 3 ? stop.signal : never))
  await Promise.all(all.slice(0, 2))
  assert.deepEqual(entered, [0, 1])
  stop.abort(new Error('asked to stop'))
  await assert.rejects(all[3]!, { message: 'asked to stop' })
  turnstile.leave()
  await all[2]
  turnstile.leave()
  await all[4]
  assert.deepEqual(entered, [0, 1, 2, 4])
})

test('many requests while all of the first fail and look whether they landed do not block one another', async (t) => {
  const server = await startServer(t)
  const store = await openOn(t, server)
  server.faults.next('reset-after', 'PutObject', 64)
  const body = Buffer.alloc(300_000)
  const puts = Array.from({ length: 100 }, (_, i) => store.putIfAbsent(`k${i}`, body))
  assert.deepEqual(new Set(await Promise.all(puts)), new Set(['created']))
})

test('requests that wait for slow ones before them do not run out of time to connect', async (t) => {
  const server = await startServer(t)
  const store = await openOn(t, server, 'read', {}, { timeouts: { connectMs: 200, idleMs: 60_000 } })
  server.slowMs = 300
  server.faults.next('slow', 'HeadObject', 96)
  await Promise.all(Array.from({ length: 128 }, (_, i) => store.head(`k${i}`)))
  assert.equal(store.requests.retries, 0)
})
