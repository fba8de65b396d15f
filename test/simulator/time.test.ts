/** What depends on seconds passing, with a clock that can be pushed on. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock } from '../../src/cli/system-clock.ts'
import type { Clock } from '../../src/core/clock.ts'
import type { Simulator } from '../../src/simulator/simulator.ts'
import { Client, withSimulator } from './client.ts'

async function withPushedTime(
  framesPerSecond: number,
  use: (simulator: Simulator, push: (ms: number) => void) => Promise<void>,
): Promise<void> {
  let aheadMs = 0
  const clock: Clock = { ...systemClock, monotonicMs: () => systemClock.monotonicMs() + aheadMs }
  const push = (ms: number): void => {
    aheadMs += ms
  }
  const options = { framesPerSecond, unconflated: false, bookDepth: 10 }
  await withSimulator(options, (simulator) => use(simulator, push), clock)
}

test('who has subscribed to nothing within five seconds is hung up on, who has stays', () =>
  withPushedTime(100, async (simulator, push) => {
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
  }))

test('a connection without a frame for 75 seconds is closed, one with heartbeats is not, a pause counts for nobody', () =>
  withPushedTime(0, async (simulator, push) => {
    const [quiet, beating] = [await Client.connect(simulator), await Client.connect(simulator)]
    quiet.subscribe('ticker', ['BTC-USD'])
    await quiet.count(2)
    beating.subscribe('heartbeats')
    await beating.count(1)
    await simulator.pause()
    push(200_000)
    simulator.resume()
    for (const seconds of [36, 36]) {
      const seen = beating.frames.length
      push(seconds * 1000)
      await beating.count(seen + 1)
      assert.equal(simulator.totals().open, 2)
    }
    push(5_000)
    assert.equal(await quiet.closed, 1000)
    assert.deepEqual(
      simulator.account().connections.map(({ cause }) => cause),
      ['idle', null],
    )
  }))

test('heartbeats count the seconds of the backend', () =>
  withPushedTime(100, async (simulator, push) => {
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
  }))
