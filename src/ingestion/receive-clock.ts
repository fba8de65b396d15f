/** Receive times: the wall clock at one moment plus the monotonic clock since, so that a step of the wall clock is seen, not suffered. */

import type { Clock } from '../core/clock.ts'

/** Smaller differences are the two clocks' rates and are let be. */
const stepMinNs = 50_000_000n

export class ReceiveClock {
  readonly #clock: Clock
  #wallNs: bigint
  #monotonicNs: bigint

  constructor(clock: Clock) {
    this.#clock = clock
    this.#wallNs = clock.nowNs()
    this.#monotonicNs = clock.monotonicNs()
  }

  /** Epoch nanoseconds; never goes back between two calls of `anchor`. */
  now(): bigint {
    return this.#wallNs + (this.#clock.monotonicNs() - this.#monotonicNs)
  }

  /** Compares with the wall clock and follows it where it has stepped. @returns by how much, nanoseconds; 0n when it has not */
  anchor(): bigint {
    const stepNs = this.#clock.nowNs() - this.now()
    if (stepNs < stepMinNs && stepNs > -stepMinNs) return 0n
    this.#wallNs = this.#clock.nowNs()
    this.#monotonicNs = this.#clock.monotonicNs()
    return stepNs
  }
}
