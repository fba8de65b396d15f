/** The venue's allowance of connects and messages an address may make in a second, shared by all connections. Pure; time is passed in. */

/** Evenly spaced: no bursts, since a burst of connects is what venues drop. */
export class Budget {
  readonly #everyMs: number
  #nextMs = Number.NEGATIVE_INFINITY

  constructor(perSecond: number) {
    this.#everyMs = 1000 / perSecond
  }

  /** Takes the next place. @returns how long to wait for it, milliseconds */
  take(nowMs: number): number {
    const atMs = Math.max(nowMs, this.#nextMs)
    this.#nextMs = atMs + this.#everyMs
    return atMs - nowMs
  }
}
