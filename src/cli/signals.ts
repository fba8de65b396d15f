/**
 * How a process is told to stop. The first Ctrl-C, SIGTERM, SIGHUP or the end of a supervisor's pipe drains; the second signal
 * leaves at once.
 */

import type { ExitCode } from './command.ts'

export interface Stopping {
  readonly signal: AbortSignal
  /** The exit code of a command that was cut short; undefined when nobody asked to stop. */
  interruptedCode(): ExitCode | undefined
  stop(code: ExitCode): void
}

/** Aborts what waits; carries no news of its own. */
export class Interrupted extends Error {
  constructor() {
    super('interrupted')
    this.name = 'AbortError'
  }
}

/** A terminal and npx, or `timeout` and its process group, each pass on the same order. No person asks again so soon. */
const sameOrderMs = 500

const codes = { SIGINT: 130, SIGTERM: 143, SIGHUP: 143, SIGBREAK: 130 } as const

/**
 * @param isSupervised this process belongs to another mdv process: the end of stdin is the order to drain, so that it also comes
 *   when that process is killed, and a Ctrl-C, which a terminal sends to both, is left to it
 */
export function listenForStop(isSupervised: boolean, say: (words: string) => void): Stopping {
  const controller = new AbortController()
  let interrupted: ExitCode | undefined
  let firstMs = 0
  const stop = (code: ExitCode): void => {
    interrupted ??= code
    controller.abort(new Interrupted())
  }
  for (const [name, code] of Object.entries(codes) as [NodeJS.Signals, 130 | 143][]) {
    if (name === 'SIGBREAK' && process.platform !== 'win32') continue
    process.on(name, () => {
      if (isSupervised && code === 130) return
      if (interrupted !== undefined) {
        if (performance.now() - firstMs < sameOrderMs) return
        process.exit(code)
      }
      firstMs = performance.now()
      stop(code)
      if (name === 'SIGINT') say('\nmdv: finishing what has begun; Ctrl-C again stops at once\n')
    })
  }
  if (isSupervised) {
    const onEnd = (): void => stop(143)
    process.stdin.on('end', onEnd).on('close', onEnd).on('error', onEnd)
    process.stdin.resume()
  }
  return { signal: controller.signal, interruptedCode: () => interrupted, stop }
}
