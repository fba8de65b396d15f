/** Stopping requests by the caller's signal or the store's end. */

import { setMaxListeners } from 'node:events'

export interface LinkedSignal {
  readonly signal: AbortSignal
  /** Takes the listeners away again. */
  readonly release: () => void
}

/**
 * Aborted as soon as one of the two is, until released. AbortSignal.any would leave an entry on both at every call, and they live for
 * weeks.
 */
export function either(one: AbortSignal, other: AbortSignal): LinkedSignal {
  const controller = new AbortController()
  const release = callOnAbort([one, other], (reason) => controller.abort(reason))
  return { signal: controller.signal, release }
}

/** Calls back once, at once when one is aborted already. @returns what takes the listeners away again */
export function callOnAbort(
  signals: readonly AbortSignal[],
  callback: (reason: unknown) => void,
): () => void {
  const listeners = signals.map((signal) => ({ signal, listener: () => callback(signal.reason) }))
  for (const { signal, listener } of listeners) {
    // As many listeners as requests at once are no leak.
    setMaxListeners(0, signal)
    signal.addEventListener('abort', listener, { once: true })
    if (signal.aborted) listener()
  }
  return () => {
    for (const { signal, listener } of listeners) signal.removeEventListener('abort', listener)
  }
}
