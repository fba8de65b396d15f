/** What a command of `mdv` is. One file in commands/ and one line in registry.ts each. */

import type { Command as Parser } from 'commander'
import type { Clock, Random } from '../core/clock.ts'
import type { Config } from './config.ts'
import type { Section } from './options.ts'

/** 0 ok · 1 bug · 2 usage · 3 configuration · 4 preflight · 5 outside failure worth retrying · 6 data problem found · 7 partly done · 8 held elsewhere · 130/143 signals */
export type ExitCode = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 130 | 143

/** Where a command's words go: data on `out`, talk and progress on `err`. */
export interface Output {
  out(text: string): Promise<void>
  /** The same for UTF-8 bytes, as they are where it is no terminal. Resolves when they are written. */
  outBytes(bytes: Uint8Array): Promise<void>
  err(text: string): void
  /** stderr is a terminal: one line of progress may be redrawn. */
  readonly isTerminal: boolean
  /** stdout is a terminal: tables rather than lines for machines. */
  readonly isOutTerminal: boolean
  readonly useColor: boolean
  readonly columns: number
}

export interface CommandContext {
  readonly clock: Clock
  readonly random: Random
  readonly env: Readonly<Record<string, string | undefined>>
  readonly output: Output
  /** Aborted by the first Ctrl-C or SIGTERM: drain, seal, leave. The second one ends the process without asking. */
  readonly signal: AbortSignal
  /** The effective configuration: flag > environment > file > default. Throws VaultError `config`. */
  config(): Promise<Config>
  /** The values of this command's own options, as commander parsed them. */
  readonly options: Readonly<Record<string, unknown>>
  readonly args: readonly string[]
  /** `--json` was given. */
  readonly json: boolean
}

export interface Command {
  readonly name: string
  readonly summary: string
  /** One complete line a user could paste. */
  readonly example: string
  /** Which sections of the configuration this command lets be set by flags: `['coinbase', 'ingestion', 'storage']`. */
  readonly sections: readonly Section[]
  /** Adds this command's own arguments and options. */
  configure?(parser: Parser): void
  run(context: CommandContext): Promise<ExitCode>
}
