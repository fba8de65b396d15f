/** How long to wait before the next attempt: exponential with full jitter, so that many clients do not come back as one. */

import type { Random } from './clock.ts'

export interface Backoff {
  readonly firstMs: number
  readonly limitMs: number
}

/** @param attempt 0 for the first retry @returns milliseconds, uniform in (0, min(limit, first * 2^attempt)], never below a tenth of `firstMs` */
export function backoffMs(backoff: Backoff, attempt: number, random: Random): number {
  const ceilingMs = Math.min(backoff.limitMs, backoff.firstMs * 2 ** Math.min(attempt, 30))
  return Math.max(backoff.firstMs / 10, Math.ceil(random() * ceilingMs))
}
