/** What a check of `mdv doctor` is: one question about the machine, its answer, and the way out. */

import type { Clock, Random } from '../../core/clock.ts'
import type { Config } from '../config.ts'

export interface Verdict {
  /** `warn` is worth knowing and stops nothing. */
  readonly state: 'ok' | 'warn' | 'fail'
  /** What was found, with its value. */
  readonly words: string
  readonly remedy?: string
}

export interface Surroundings {
  readonly config: Config
  readonly clock: Clock
  readonly random: Random
  readonly env: Readonly<Record<string, string | undefined>>
  readonly signal: AbortSignal
}

export interface Check {
  readonly name: string
  /** Without the network a recorder only waits; without the rest it cannot run. */
  readonly of: 'machine' | 'network'
  /** @throws anything: the check has failed, in the error's words */
  run(around: Surroundings): Promise<Verdict>
}

export function ok(words: string): Verdict {
  return { state: 'ok', words }
}

export function warn(words: string, remedy: string): Verdict {
  return { state: 'warn', words, remedy }
}

export function fail(words: string, remedy: string): Verdict {
  return { state: 'fail', words, remedy }
}
