/** Time as a value: everything that waits or stamps takes a Clock; the real one is made in cli/ only. */

export interface Timer {
  cancel(): void
}

export interface Clock {
  /** Wall clock, epoch milliseconds. May step. */
  nowMs(): number
  /** Wall clock, epoch nanoseconds (as fine as the platform gives). May step. */
  nowNs(): bigint
  /** Monotonic nanoseconds from an arbitrary start; never steps. */
  monotonicNs(): bigint
  /** Monotonic milliseconds, for time-outs; cheap. */
  monotonicMs(): number
  /** Calls back once after `delayMs`. */
  after(delayMs: number, callback: () => void): Timer
  /** Resolves after `delayMs`; rejects with the signal's reason when aborted before. */
  sleep(delayMs: number, signal: AbortSignal): Promise<void>
}

/** Uniform in [0, 1), as Math.random; seeded in tests and the simulator. */
export type Random = () => number
