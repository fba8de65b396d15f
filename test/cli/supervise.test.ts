/** Processes that are kept running: a crash costs its own process a pause and the others nothing; draining goes in order. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startChild, type Child, type ChildPlan } from '../../src/cli/child.ts'
import { supervise } from '../../src/cli/supervise.ts'
import type { Clock } from '../../src/core/clock.ts'

/** Time that moves only by what is slept; every sleep is over at once. */
function jumpingClock(): Clock & { readonly slept: number[] } {
  let nowMs = 0
  const slept: number[] = []
  return {
    slept,
    nowMs: () => nowMs,
    nowNs: () => BigInt(nowMs) * 1_000_000n,
    monotonicNs: () => BigInt(nowMs) * 1_000_000n,
    monotonicMs: () => nowMs,
    after: () => ({ cancel: () => undefined }),
    sleep: async (delayMs, signal) => {
      signal.throwIfAborted()
      slept.push(delayMs)
      nowMs += delayMs
    },
  }
}

const plan = (name: string, script: string): ChildPlan => ({
  name,
  argv: [process.execPath, '-e', script],
  env: process.env,
})

/** Says `up`, leaves when its stdin ends. */
const untilDrained = `console.log('up'); process.stdin.resume().on('end', () => { console.log('drained'); process.exit(0) })`

interface Stage {
  readonly clock: ReturnType<typeof jumpingClock>
  readonly lines: string[]
  readonly controller: AbortController
  readonly run: (plans: readonly ChildPlan[]) => Promise<number>
}

/** `onLine` is told of each line as it comes, and may stop everything. */
function stage(onLine: (stage: Stage, line: string) => void = () => undefined): Stage {
  const self: Stage = {
    clock: jumpingClock(),
    lines: [],
    controller: new AbortController(),
    run: async (plans) => {
      const start = (given: ChildPlan): Child =>
        startChild(given, (text) => {
          self.lines.push(`${given.name} ${text}`)
          onLine(self, `${given.name} ${text}`)
        })
      const say = (name: string, words: string): void => void self.lines.push(`say ${name} ${words}`)
      return supervise({ clock: self.clock, random: () => 0.5, start, say }, plans, self.controller.signal)
    },
  }
  return self
}

test('the producer is drained first, the consumer after it has ended', async () => {
  const up = new Set<string>()
  const { run, lines } = stage((self, line) => {
    up.add(line)
    if (up.has('a up') && up.has('b up')) self.controller.abort()
  })
  assert.equal(await run([plan('a', untilDrained), plan('b', untilDrained)]), 0)
  assert.deepEqual(lines.slice(-2), ['a drained', 'b drained'])
})

test('a process that crashes comes back after growing pauses, and the other runs on', async () => {
  let crashes = 0
  const { run, lines, clock } = stage((self, line) => {
    if (line === 'b crash') crashes++
    if (crashes === 3) self.controller.abort()
  })
  await run([plan('a', untilDrained), plan('b', `console.log('crash'); process.exitCode = 1`)])
  assert.equal(lines.filter((line) => line === 'a up').length, 1)
  // A third pause may begin before the third crash is read from the pipe.
  assert.deepEqual(clock.slept.slice(0, 2), [500, 1000])
  assert.ok(lines.includes('say b ended (exit code 1); again in 0.5 s'))
})

test('a process killed from outside comes back', async () => {
  let starts = 0
  const { run, lines } = stage((self, line) => {
    if (line === 'a up' && ++starts === 2) self.controller.abort()
  })
  const script = `console.log('up'); if (!process.env.SECOND) process.kill(process.pid, 'SIGKILL')`
  assert.equal(await run([plan('a', script)]), 1)
  assert.ok(lines.some((line) => /^say a ended \((SIGKILL|exit code 1)\)/.test(line)))
})

for (const code of [2, 3, 4, 8])
  test(`exit code ${code} at the first start is for a person: the others are drained and the code is handed on`, async () => {
    const { run, lines, clock } = stage()
    const wrong = plan('a', `process.exitCode = ${code}`)
    assert.equal(await run([wrong, plan('b', untilDrained)]), code)
    assert.deepEqual(clock.slept, [])
    assert.ok(!lines.some((line) => line.startsWith('say')))
  })

test('a program that cannot be started is an exit like any other', async () => {
  const lines: string[] = []
  const child = startChild({ name: 'x', argv: ['/no/such/program'], env: {} }, (text) => lines.push(text))
  assert.deepEqual(await child.exited, { code: 127, signal: null })
  assert.match(lines[0]!, /cannot be started/)
})
