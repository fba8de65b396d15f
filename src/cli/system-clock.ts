/** The real clock: the only place that asks the system what time it is. */

import { setTimeout as sleepFor } from 'node:timers/promises'
import type { Clock } from '../core/clock.ts'

/** How far the fine clock may be from the system's before it follows it: Date.now() itself is up to 1 ms late. */
const followMs = 2

let offsetMs = 0

/**
 * Milliseconds with microseconds as their fraction. Date.now() has none, and the high-resolution timer does not follow
 * when the system's clock is set: so the one as long as it agrees with the other.
 */
function fineNowMs(): number {
  const fineMs = performance.timeOrigin + performance.now() + offsetMs
  const wallMs = Date.now()
  if (Math.abs(wallMs - fineMs) <= followMs) return fineMs
  offsetMs += wallMs - fineMs
  return wallMs
}

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  nowNs: () => BigInt(Math.round(fineNowMs() * 1000)) * 1000n,
  monotonicNs: () => process.hrtime.bigint(),
  monotonicMs: () => performance.now(),
  after: (delayMs, callback) => {
    const timer = setTimeout(callback, delayMs)
    return { cancel: () => clearTimeout(timer) }
  },
  sleep: async (delayMs, signal) => {
    await sleepFor(delayMs, undefined, { signal })
  },
}
