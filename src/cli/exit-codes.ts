/** How a command's end becomes an exit code and words on stderr. */

import { systemCode, VaultError, type ErrorKind } from '../core/errors.ts'
import type { ExitCode } from './command.ts'

/** For `mdv --help`. */
export const exitCodeWords =
  '0 ok, 1 bug, 2 usage, 3 configuration, 4 preflight failed, 5 outside failure worth retrying,\n  6 data problem found, 7 partly done, 8 held elsewhere, 130/143 interrupted'

const codeOfKind: Readonly<Record<ErrorKind, ExitCode>> = {
  usage: 2,
  config: 3,
  preflight: 4,
  unavailable: 5,
  invalid: 6,
  corrupt: 6,
  held: 8,
  closed: 1,
}

/** System errors that no room explained: the machine or the network is at fault, not this program. */
const codeOfSystem: Readonly<Record<string, ExitCode>> = {
  EACCES: 4,
  EPERM: 4,
  EROFS: 4,
  ENOSPC: 4,
  EDQUOT: 4,
  EMFILE: 4,
  ENFILE: 4,
  EIO: 4,
  ENOENT: 4,
  ENOTDIR: 4,
  EISDIR: 4,
  ENAMETOOLONG: 4,
  ENOTFOUND: 5,
  EAI_AGAIN: 5,
  ECONNREFUSED: 5,
  ECONNRESET: 5,
  ETIMEDOUT: 5,
  ENETUNREACH: 5,
  EHOSTUNREACH: 5,
  EADDRINUSE: 4,
}

export interface Ending {
  readonly code: ExitCode
  /** For stderr, ending in a line break. */
  readonly words: string
}

/** @param isDebug print the stack too (MDV_DEBUG=1) */
export function endingOf(error: unknown, isDebug: boolean): Ending {
  const stack = isDebug && error instanceof Error ? `${stackOf(error)}\n` : ''
  if (error instanceof VaultError) return { code: codeOfKind[error.kind], words: vaultWords(error) + stack }
  const system = codeOfSystem[systemCode(error) ?? '']
  if (system !== undefined && error instanceof Error)
    return { code: system, words: `mdv: ${oneLine(error.message)}\n${stack}` }
  const words = error instanceof Error ? `${error.name}: ${oneLine(error.message)}` : String(error)
  const hint = isDebug ? '' : ' (MDV_DEBUG=1 shows where)'
  return {
    code: 1,
    words: `mdv: ${words}\n  → this is a bug in mdv: please report it with the command that led here${hint}\n${stack}`,
  }
}

/** One line a problem, then the way out. */
function vaultWords(error: VaultError): string {
  const lines = error.message.split('\n').map((line) => `mdv: ${line}\n`)
  const remedy = error.remedy === undefined ? '' : `  → ${oneLine(error.remedy)}\n`
  return lines.join('') + remedy
}

function stackOf(error: Error): string {
  const own = error.stack ?? String(error)
  return error.cause instanceof Error ? `${own}\ncaused by ${stackOf(error.cause)}` : own
}

function oneLine(text: string): string {
  return text.replace(/\s*\n\s*/g, ' ')
}
