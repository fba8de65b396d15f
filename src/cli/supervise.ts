/** Keeps processes running, each by itself: one that crashes comes back after a pause, and no other waits for it. */

import { backoffMs } from '../core/backoff.ts'
import type { Clock, Random } from '../core/clock.ts'
import type { Child, ChildExit, ChildPlan } from './child.ts'

export interface SuperviseDeps {
  readonly clock: Clock
  readonly random: Random
  readonly start: (plan: ChildPlan) => Child
  readonly say: (name: string, words: string) => void
}

const restart = { firstMs: 1000, limitMs: 60_000 }

/** A process that lived this long was well: its next crash is a first one again. */
const wellMs = 30_000

/**
 * Runs all until `signal` is aborted or one cannot be helped; then drains them in the order given, each after the one before has
 * ended, so that a consumer still sees what its producer finished last.
 *
 * @returns 0, or the exit code of the process that could not be helped or failed while draining
 */
export async function supervise(
  deps: SuperviseDeps,
  plans: readonly ChildPlan[],
  signal: AbortSignal,
): Promise<number> {
  const drains = plans.map(() => new AbortController())
  const runs = plans.map((plan, i) => keepRunning(deps, plan, drains[i]!.signal))
  await Promise.race([whenAborted(signal), ...runs])
  const codes: number[] = []
  for (const [i, drain] of drains.entries()) {
    drain.abort()
    codes.push(await runs[i]!)
  }
  return codes.find((code) => code !== 0) ?? 0
}

/** @returns once drained, or when starting again would not help */
async function keepRunning(deps: SuperviseDeps, plan: ChildPlan, drain: AbortSignal): Promise<number> {
  let crashes = 0
  let hasBeenWell = false
  for (;;) {
    const startedMs = deps.clock.monotonicMs()
    const exit = await runOnce(deps.start(plan), drain)
    if (drain.aborted) return exit.code ?? 1
    if (deps.clock.monotonicMs() - startedMs >= wellMs) {
      hasBeenWell = true
      crashes = 0
    }
    if (isHopeless(exit, hasBeenWell)) return exit.code ?? 1
    const delayMs = backoffMs(restart, crashes++, deps.random)
    deps.say(plan.name, `ended (${exitWords(exit)}); again in ${(delayMs / 1000).toFixed(1)} s`)
    await pause(deps.clock, delayMs, drain)
    if (drain.aborted) return 0
  }
}

/**
 * A wrong command line or configuration stays wrong. A folder that cannot be used, or is used by another, is for a person to see
 * at the start; later on it may pass (a disk that was full).
 */
export function isHopeless(exit: ChildExit, hasBeenWell: boolean): boolean {
  if (exit.code === 2 || exit.code === 3) return true
  return !hasBeenWell && (exit.code === 4 || exit.code === 8)
}

async function runOnce(child: Child, drain: AbortSignal): Promise<ChildExit> {
  const onDrain = (): void => child.drain()
  drain.addEventListener('abort', onDrain, { once: true })
  if (drain.aborted) onDrain()
  const exit = await child.exited
  drain.removeEventListener('abort', onDrain)
  return exit
}

async function pause(clock: Clock, delayMs: number, drain: AbortSignal): Promise<void> {
  try {
    await clock.sleep(delayMs, drain)
  } catch (error) {
    if (!drain.aborted) throw error
  }
}

function whenAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}

function exitWords({ code, signal }: ChildExit): string {
  return signal === null ? `exit code ${code}` : signal
}
