/**
 * The claim on a job: a lease kept alive while its holder works. It saves double work; that nothing happens twice rests on
 * put-if-absent. Its own deadline is asked before every put, so that a worker that slept does not go on with what others took over.
 */

import type { Clock, Timer } from '../core/clock.ts'
import { VaultError } from '../core/errors.ts'
import { rawProcessing } from '../storage/keys.ts'
import { acquireLease, type Lease, type LeaseOwner } from '../storage/lease.ts'
import { listAll, type ObjectStore } from '../storage/object-store.ts'
import type { ProcessIdentity } from '../storage/process-identity.ts'

/** How long a claim outlives the last sign of its holder. */
export const claimTtlMs = 30_000

export const claimEnding = '.claim.json'

/** One process that converts. */
export interface Worker {
  /** Random, one a process: stands in receipts, bindings and claims. */
  readonly writer: string
  readonly identity: ProcessIdentity
  readonly isDead: (identity: ProcessIdentity) => Promise<boolean>
}

export interface ClaimDeps {
  readonly store: ObjectStore
  readonly clock: Clock
  readonly venue: string
  readonly worker: Worker
}

/** Everything of a claim's keys before their generation. */
export const claimPrefix = (venue: string, job: string): string => `${rawProcessing(venue)}${job}`

/** The job that a claim's key names. */
export function parseClaimKey(key: string): string | undefined {
  return /\/raw\/processing\/[^/]+\/([A-Za-z0-9_-]+)\.\d+\.claim\.json$/.exec(`/${key}`)?.[1]
}

export class Claim {
  readonly #lease: Lease
  readonly #deps: ClaimDeps
  readonly #job: string
  readonly #lost = new AbortController()
  #timer: Timer | undefined
  #renewal: Promise<void> = Promise.resolve()

  private constructor(lease: Lease, deps: ClaimDeps, job: string) {
    this.#lease = lease
    this.#deps = deps
    this.#job = job
    this.#schedule()
  }

  /**
   * @param wait watch the claim of a holder that is not provably dead for its whole length, and take it over if it stays as it is
   * @param freeAtMs when all claims were listed and the job had none, by the monotonic clock
   * @returns the claim, or who has it
   */
  static async take(
    deps: ClaimDeps,
    job: string,
    wait: boolean,
    signal: AbortSignal,
    freeAtMs?: number,
  ): Promise<Claim | LeaseOwner> {
    const owner: LeaseOwner = { ...deps.worker.identity, purpose: 'mdv etl', token: deps.worker.writer }
    const prefix = claimPrefix(deps.venue, job)
    const clock = watchfulClock(deps, `${prefix}.`)
    const seen = freeAtMs === undefined ? {} : { freeAtMs }
    const options = { ttlMs: claimTtlMs, clock, isDead: deps.worker.isDead, wait, ...seen }
    const outcome = await acquireLease(deps.store, prefix, claimEnding, owner, options, signal)
    return outcome.held ? new Claim(outcome.lease, deps, job) : outcome.by
  }

  /** Aborted when the claim is lost: what is being computed is then of no use. */
  get signal(): AbortSignal {
    return this.#lost.signal
  }

  /** @throws {VaultError} `held` when another may have taken over: stop, and delete nothing */
  assertCurrent(): void {
    if (!this.#lost.signal.aborted && this.#lease.isCurrent()) return
    throw this.#lossOf()
  }

  /** Lets go. A claim that cannot be let go runs out by itself. */
  async release(): Promise<void> {
    this.#timer?.cancel()
    await this.#renewal
    if (this.#lost.signal.aborted || !this.#lease.isCurrent()) return
    try {
      // No sleeper renews past its deadline, and whoever takes the claim of a committed job finds the receipt first.
      await this.#lease.remove()
    } catch (error) {
      if (!(error instanceof VaultError)) throw error
    }
  }

  #schedule(): void {
    this.#timer = this.#deps.clock.after(claimTtlMs / 3, () => {
      this.#renewal = this.#renew()
    })
  }

  async #renew(): Promise<void> {
    try {
      // Past its deadline a lease must not be renewed, though the name may be free: another may have had it, and be done.
      if (!this.#lease.isCurrent() || !(await this.#lease.renew())) return this.#lost.abort(this.#lossOf())
    } catch (error) {
      // A store that fails now may answer before the deadline.
      if (!this.#lease.isCurrent() || !(error instanceof VaultError)) return this.#lost.abort(error)
    }
    this.#schedule()
  }

  #lossOf(): VaultError {
    return new VaultError('held', `job ${this.#job}: another worker may have taken it over`, {
      remedy: 'nothing to do: it is taken up again in the next run',
    })
  }
}

const lookEveryMs = 1000

/** A clock whose sleeper wakes early when what it watches has changed: a claim let go needs no waiting for. */
function watchfulClock({ store, clock }: ClaimDeps, prefix: string): Clock {
  const keys = async (signal: AbortSignal): Promise<string> =>
    (await listAll(store, prefix, signal)).map((each) => each.key).join('\n')
  return {
    nowMs: () => clock.nowMs(),
    nowNs: () => clock.nowNs(),
    monotonicNs: () => clock.monotonicNs(),
    monotonicMs: () => clock.monotonicMs(),
    after: (delayMs, callback) => clock.after(delayMs, callback),
    async sleep(delayMs, signal) {
      const before = await keys(signal)
      for (let leftMs = delayMs; leftMs > 0; leftMs -= lookEveryMs) {
        await clock.sleep(Math.min(leftMs, lookEveryMs), signal)
        if ((await keys(signal)) !== before) return
      }
    },
  }
}
