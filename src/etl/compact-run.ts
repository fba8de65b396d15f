/** One round of merging: swaps that were cut short, then every hour and day that is worth it. */

import { rawReady } from '../storage/keys.ts'
import { listAll } from '../storage/object-store.ts'
import { readReceipts, type ReceiptCache } from '../table/receipts.ts'
import { compact, type CompactDeps, type CompactOutcome } from './compact.ts'
import { planCompaction, windowOf, type CompactionOptions, type CompactionPlan } from './compact-plan.ts'
import { finishSwaps } from './swap.ts'

export interface CompactReport {
  outcome(outcome: CompactOutcome): void
  failed(plan: CompactionPlan, error: unknown): void
}

/** What is worth merging now, oldest first. */
export async function findMerges(
  deps: CompactDeps,
  options: CompactionOptions,
  cache: ReceiptCache,
  signal: AbortSignal,
): Promise<CompactionPlan[]> {
  // Listed before receipts are read: what is converted in between is then not yet merged.
  const waiting = await listAll(deps.store, rawReady(deps.venue), signal)
  const nowMs = deps.clock.nowMs()
  const isWanted = (job: string): boolean => windowOf(job, nowMs - options.graceMs) !== undefined
  const receipts = await readReceipts(deps.store, deps.venue, signal, { cache, isWanted })
  const keys = new Set(waiting.map(({ key }) => key))
  return planCompaction(receipts, keys, deps.settings, nowMs, options)
}

/** Merges until nothing more is worth it; one that fails is reported and the others go on. */
export async function runCompaction(
  deps: CompactDeps,
  options: CompactionOptions,
  report: CompactReport,
  cache: ReceiptCache,
  signal: AbortSignal,
): Promise<void> {
  await finishSwaps(deps, signal)
  const tried = new Set<string>()
  for (;;) {
    const plans = await findMerges(deps, options, cache, signal)
    const due = plans.filter(({ job }) => !tried.has(job))
    if (due.length === 0) return
    for (const plan of due) {
      signal.throwIfAborted()
      tried.add(plan.job)
      try {
        report.outcome(await compact(deps, plan, signal))
      } catch (error) {
        if (signal.aborted) throw error
        report.failed(plan, error)
      }
    }
  }
}
