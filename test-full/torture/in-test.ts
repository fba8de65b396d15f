/** A run of torture as a test. */

import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { whyNoStrace } from '../strace.ts'
import type { StoreName } from './plan.ts'
import { whyNoClock } from './programs.ts'
import { runTorture } from './run.ts'

export const tortureSeed = Number(process.env['MDV_SEED'] ?? Date.now() % 1_000_000)

export async function assertSurvived(t: TestContext, store: StoreName, cycles: number): Promise<void> {
  if (process.env['CI'] !== undefined)
    assert.deepEqual([whyNoStrace(), whyNoClock()], [null, null], 'what CI installs is there')
  const end = await runTorture({
    store,
    cycles,
    seed: tortureSeed,
    batch: null,
    say: (line) => t.diagnostic(line),
    signal: t.signal,
  })
  for (const line of end.table.split('\n')) t.diagnostic(line)
  assert.deepEqual(end.differences, [])
  assert.deepEqual(end.unreached, [], 'the run reached its faults')
}
