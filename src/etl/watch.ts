/** Conversion without end: rounds, one after the other while there is a backlog, then one each interval. */

import type { Clock, Random } from '../core/clock.ts'
import { backoffMs, type Backoff } from '../core/backoff.ts'
import { VaultError } from '../core/errors.ts'
import type { JobDeps } from './job-commit.ts'
import { makeMemory, runEtlOnce, type EtlMemory, type EtlOptions } from './run.ts'
import type { EtlReport, EtlSummary } from './run-report.ts'

export interface WatchOptions {
  readonly pollMs: number
}

export interface WatchReport extends EtlReport {
  onRound(summary: EtlSummary): void
  /** A round that could not be carried out at all: the disk is full, a folder may not be read. */
  onRoundFailed(error: unknown, retryMs: number): void
}

/** Of a segment that fails again and again: the others are not kept waiting, and it is tried once an hour. */
const segmentBackoff: Backoff = { firstMs: 10_000, limitMs: 3_600_000 }
/** Of whole rounds: space may come back at any time. */
const roundBackoff: Backoff = { firstMs: 5000, limitMs: 300_000 }
/** Orphans come from crashes only; looking for them goes through every folder. */
const sweepEveryMs = 6 * 3_600_000

/** Runs until the signal; a commit in flight is completed. */
export async function watchEtl(
  deps: JobDeps & { readonly random: Random },
  etl: EtlOptions,
  options: WatchOptions,
  report: WatchReport,
  signal: AbortSignal,
): Promise<void> {
  const memory = restingMemory(deps.clock, deps.random)
  let failures = 0
  let sweepAtMs = 0
  while (!signal.aborted) {
    const sweep = deps.clock.monotonicMs() >= sweepAtMs
    try {
      const summary = await runEtlOnce(deps, { ...etl, sweep }, report, signal, memory)
      failures = 0
      if (sweep) sweepAtMs = deps.clock.monotonicMs() + sweepEveryMs
      report.onRound(summary)
      // What was sealed while this round worked is waiting.
      if (summary.segments === 0) await sleep(deps.clock, options.pollMs, signal)
    } catch (error) {
      if (!(error instanceof VaultError)) throw error
      const retryMs = backoffMs(roundBackoff, failures++, deps.random)
      report.onRoundFailed(error, retryMs)
      await sleep(deps.clock, retryMs, signal)
    }
  }
}

/** Being told to stop is no failure. */
async function sleep(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  try {
    await clock.sleep(delayMs, signal)
  } catch (error) {
    if (!signal.aborted) throw error
  }
}

interface Rest {
  readonly attempts: number
  readonly untilMs: number
}

function restingMemory(clock: Clock, random: Random): EtlMemory {
  const rests = new Map<string, Rest>()
  return {
    ...makeMemory(),
    isResting: (label) => (rests.get(label)?.untilMs ?? 0) > clock.monotonicMs(),
    failed(label) {
      const attempts = rests.get(label)?.attempts ?? 0
      const retryMs = backoffMs(segmentBackoff, attempts, random)
      rests.set(label, { attempts: attempts + 1, untilMs: clock.monotonicMs() + retryMs })
      return retryMs
    },
  }
}
