/** What depends on seconds passing, with a clock that can be pushed on. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock } from '../../src/cli/system-clock.ts'
import type { Clock } from '../../src/core/clock.ts'
import { startSimulator } from '../../src/simulator/simulator.ts'
import { Client } from './client.ts'

function pushableClock(): { clock: Clock; push: (ms: number) => void } {
  let aheadMs = 0
  const clock = { ...systemClock, monotonicMs: () => systemClock.monotonicMs() + aheadMs }
  return {
    clock,
    push(ms) {
      aheadMs += ms
    },
  }
}

const options = { products: 2, framesPerSecond: 100, seed: 1, bookDepth: 10 }

test('who has subscribed to nothing within five seconds is hung up on, who has stays', async () => {
  const { clock, push } = pushableClock()
  const simulator = await startSimulator(options, { clock })
  const [idle, busy] = [await Client.connect(simulator), await Client.connect(simulator)]
  busy.subscribe('heartbeats')
  await busy.count(1)
  push(4_000)
  await busy.count(2)
  assert.equal(simulator.totals().open, 2)
  push(1_100)
  assert.equal(await idle.closed, 1000)
  await busy.count(3)
  assert.deepEqual(
    simulator.account().connections.map(({ cause }) => cause),
    ['no_subscribe', null],
  )
  await simulator.close()
})

test('heartbeats count the seconds of the backend', async () => {
  const { clock, push } = pushableClock()
  const simulator = await startSimulator(options, { clock })
  const client = await Client.connect(simulator)
  client.subscribe('heartbeats')
  await client.count(1)
  const counters: number[] = []
  for (let seconds = 0; seconds < 4; seconds++) {
    push(1_000)
    await client.count(2 + seconds)
    const beat = client.envelopes.at(-1)
    counters.push(Number(beat?.events[0]?.['heartbeat_counter']))
    assert.match(
      String(beat?.events[0]?.['current_time']),
      /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6} \+0000 UTC m=\+\d+\.\d{9}$/,
    )
  }
  // A slow machine adds seconds of its own.
  assert.ok(
    counters.every((counter, i) => i === 0 || counter > (counters[i - 1] ?? 0)),
    counters.join(),
  )
  await simulator.close()
})
