/** A small seeded generator for tests and the simulator: repeatable, not secret. */

import type { Random } from './clock.ts'

/** Mulberry32 (Tommy Ettinger, public domain): 32 bits of state, uniform enough for a simulated market. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** An independent generator for one purpose, so that adding a draw in one place does not shift all others. */
export function forkRandom(seed: number, purpose: string): Random {
  let hash = seed >>> 0
  for (let i = 0; i < purpose.length; i++) hash = Math.imul(hash ^ purpose.charCodeAt(i), 0x01000193) >>> 0
  return seededRandom(hash)
}
