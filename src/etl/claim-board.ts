/** All claims as last listed: one listing tells which jobs are free, and how many others are at work. */

import { rawProcessing } from '../storage/keys.ts'
import { listAll } from '../storage/object-store.ts'
import { claimTtlMs, parseClaimKey, type ClaimDeps } from './job-claim.ts'

/** A claim that was made after the listing is still in its first generation then, and so cannot be missed by putting that. */
const freshMs = claimTtlMs / 6

export class ClaimBoard {
  readonly #deps: Pick<ClaimDeps, 'store' | 'clock' | 'venue'>
  #claimed: ReadonlySet<string> = new Set()
  #listedMs = Number.NEGATIVE_INFINITY

  constructor(deps: Pick<ClaimDeps, 'store' | 'clock' | 'venue'>) {
    this.#deps = deps
  }

  /** Jobs that had a claim, of whatever age, when it was last looked. */
  get claimed(): ReadonlySet<string> {
    return this.#claimed
  }

  /** When claims were listed, if the job had none, by the monotonic clock; undefined: there is one. */
  async freeAtMs(job: string, signal: AbortSignal): Promise<number | undefined> {
    await this.refresh(signal)
    return this.#claimed.has(job) ? undefined : this.#listedMs
  }

  /** Lists claims again unless that was done just now. */
  async refresh(signal: AbortSignal): Promise<void> {
    const { store, clock, venue } = this.#deps
    const nowMs = clock.monotonicMs()
    if (nowMs - this.#listedMs < freshMs) return
    const claimed = new Set<string>()
    for (const { key } of await listAll(store, rawProcessing(venue), signal)) {
      const job = parseClaimKey(key)
      if (job !== undefined) claimed.add(job)
    }
    this.#claimed = claimed
    this.#listedMs = nowMs
  }

  /** It has turned out that others have been here since. */
  outdate(): void {
    this.#listedMs = Number.NEGATIVE_INFINITY
  }
}
