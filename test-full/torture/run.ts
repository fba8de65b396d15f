/** A run of torture: what the machine allows, its batches one after the other, the table. */

import { execFileSync } from 'node:child_process'
import { whyNoStrace } from '../strace.ts'
import { runBatch } from './batch.ts'
import { planBatch, type Means, type StoreName } from './plan.ts'
import { whyNoClock } from './programs.ts'
import { tableOf, unreached } from './report.ts'
import { whyNoMount } from './small-disk.ts'
import { Tally } from './tally.ts'

export interface RunOptions {
  readonly store: StoreName
  readonly cycles: number
  readonly seed: number
  /** Only this one; null: all. */
  readonly batch: number | null
  /** Told of what goes on, a line each. */
  readonly say: (line: string) => void
  /** Ends it after the cycle it is in. */
  readonly signal: AbortSignal
}

export interface RunEnd {
  readonly table: string
  readonly differences: readonly string[]
  /** What a run of this length has to reach and did not. */
  readonly unreached: readonly string[]
}

/** Small enough that the account and the comparison stay so too. */
const batchCyclesMax = 50

export async function runTorture(options: RunOptions): Promise<RunEnd> {
  const { store, cycles, seed, batch: only, say, signal } = options
  const startedMs = Date.now()
  const commit = commitHere()
  const { means, notes } = await findMeans(store)
  for (const note of notes) say(note)
  const tally = new Tally()
  const batchCycles = Math.min(batchCyclesMax, Math.ceil(cycles / 3))
  let done = 0
  for (let batch = 0; batch * batchCycles < cycles; batch++) {
    if (only !== null && batch !== only) continue
    const own = Math.min(batchCycles, cycles - batch * batchCycles)
    const plan = planBatch({ means, seed, batch, cycles: own, cyclesInAll: cycles })
    const { kept } = await runBatch(plan, means, tally, () => done++, signal)
    say(
      `batch ${batch}: ${done} cycles, ${Math.round((Date.now() - startedMs) / 1000)} s, ${tally.differences.length} differences`,
    )
    if (kept === null) continue
    for (const difference of tally.differences) say(`DIFFERENCE ${difference}`)
    say(`the vault is kept in ${kept}`)
    say(
      `to repeat this batch: node dist/test-full/torture.js --store ${store} --cycles ${cycles} --seed ${seed} --batch ${batch}`,
    )
    break
  }
  const facts = { means, cycles: done, seed, commit, wallMs: Date.now() - startedMs }
  return {
    table: tableOf(tally, facts),
    differences: tally.differences,
    unreached: tally.differences.length > 0 || only !== null ? [] : unreached(tally, facts),
  }
}

async function findMeans(store: StoreName): Promise<{ means: Means; notes: string[] }> {
  const [mount, trace, clock] = [await whyNoMount(), whyNoStrace(), whyNoClock()]
  const notes = [
    mount === null ? '' : `no full disk: ${mount}`,
    trace === null ? '' : `no calls that fail: ${trace.reason}`,
    clock === null ? '' : `no clock steps: ${clock}`,
  ].filter((note) => note !== '')
  const means = { store, canMount: mount === null, canTrace: trace === null, canStepClock: clock === null }
  return { means, notes }
}

function commitHere(): string {
  try {
    return execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim()
  } catch {
    return 'unknown' // not a checkout
  }
}
