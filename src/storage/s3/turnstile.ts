/** Lets a bounded number through at once; the others wait in order. */

import { callOnAbort } from './abort.ts'

export class Turnstile {
  readonly #atOnce: number
  readonly #waiting = new Set<() => void>()
  #inside = 0

  constructor(atOnce: number) {
    this.#atOnce = atOnce
  }

  /** Waits for its turn; whoever got it leaves once. @throws the signal's reason, without having entered */
  async enter(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    if (this.#inside < this.#atOnce) {
      this.#inside++
      return
    }
    await new Promise<void>((resolve, reject) => {
      const admit = (): void => {
        release()
        resolve()
      }
      const release = callOnAbort([signal], (reason) => {
        this.#waiting.delete(admit)
        reject(reason)
      })
      this.#waiting.add(admit)
    })
  }

  leave(): void {
    const [next] = this.#waiting
    if (next === undefined) {
      this.#inside--
      return
    }
    // The place is handed on: nobody slips in between.
    this.#waiting.delete(next)
    next()
  }
}
