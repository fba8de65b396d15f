/** Receive times while the wall clock steps. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Clock } from '../../src/core/clock.ts'
import { ReceiveClock } from '../../src/ingestion/receive-clock.ts'
import { ManualClock } from '../segment/manual-clock.ts'

/** A wall clock that can be set, on a monotonic one that cannot. */
function settable(): { clock: Clock; advance: (ms: number) => void; set: (byMs: number) => void } {
  const steady = new ManualClock(1_000_000)
  let offsetMs = 0
  const clock: Clock = {
    nowMs: () => steady.nowMs() + offsetMs,
    nowNs: () => steady.nowNs() + BigInt(offsetMs) * 1_000_000n,
    monotonicNs: () => steady.monotonicNs(),
    monotonicMs: () => steady.monotonicMs(),
    after: (delayMs, callback) => steady.after(delayMs, callback),
    sleep: (delayMs, signal) => steady.sleep(delayMs, signal),
  }
  return { clock, advance: (ms) => steady.advance(ms), set: (byMs) => (offsetMs += byMs) }
}

for (const byMs of [-3_600_000, 86_400_000, 51, -51]) {
  test(`a step of the wall clock by ${byMs} ms is not felt before it is told, and told once`, () => {
    const { clock, advance, set } = settable()
    const receive = new ReceiveClock(clock)
    const before = receive.now()
    set(byMs)
    advance(10)
    assert.equal(receive.now() - before, 10_000_000n)
    assert.equal(receive.anchor(), BigInt(byMs) * 1_000_000n)
    assert.equal(receive.now(), clock.nowNs())
    assert.equal(receive.anchor(), 0n)
  })
}

test('what two clocks drift apart is followed when it has become 50 ms', () => {
  const { clock, advance, set } = settable()
  const receive = new ReceiveClock(clock)
  let told = 0n
  for (let i = 0; i < 10; i++) {
    advance(10_000)
    set(9)
    told += receive.anchor()
  }
  assert.equal(told, 54_000_000n)
})
