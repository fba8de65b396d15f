/** A clock that stands still until it is told to go on. */

import type { Clock, Timer } from '../../src/core/clock.ts'

interface Waiting {
  readonly dueMs: number
  readonly callback: () => void
}

export class ManualClock implements Clock {
  #wallMs: number
  #elapsedMs = 0
  readonly #waiting = new Set<Waiting>()

  constructor(wallMs = Date.parse('2026-09-30T14:10:00Z')) {
    this.#wallMs = wallMs
  }

  /** How many timers wait: none may be left by something that was closed. */
  get timers(): number {
    return this.#waiting.size
  }

  nowMs(): number {
    return this.#wallMs
  }

  nowNs(): bigint {
    return BigInt(this.#wallMs) * 1_000_000n
  }

  monotonicNs(): bigint {
    return BigInt(this.#elapsedMs) * 1_000_000n
  }

  monotonicMs(): number {
    return this.#elapsedMs
  }

  after(delayMs: number, callback: () => void): Timer {
    const waiting = { dueMs: this.#elapsedMs + delayMs, callback }
    this.#waiting.add(waiting)
    return { cancel: () => void this.#waiting.delete(waiting) }
  }

  async sleep(delayMs: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    await new Promise<void>((resolve) => void this.after(delayMs, resolve))
  }

  /** Lets time pass; what becomes due is called, in order. */
  advance(ms: number): void {
    const untilMs = this.#elapsedMs + ms
    for (;;) {
      const next = [...this.#waiting]
        .filter((one) => one.dueMs <= untilMs)
        .sort((a, b) => a.dueMs - b.dueMs)[0]
      if (next === undefined) break
      this.#waiting.delete(next)
      this.#pass(next.dueMs - this.#elapsedMs)
      next.callback()
    }
    this.#pass(untilMs - this.#elapsedMs)
  }

  #pass(ms: number): void {
    this.#elapsedMs += ms
    this.#wallMs += ms
  }
}
