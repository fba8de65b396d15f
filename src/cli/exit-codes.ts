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

const remedyOfSystem: Readonly<Record<string, string>> = {
  EACCES: 'give this user the right to read and write there',
  EPERM: 'give this user the right to read and write there',
  EROFS: 'that file system is read-only: mount it writable, or use another folder',
  ENOSPC: 'free space on the disk of storage.base_dir; what is recorded stays as it is',
  EDQUOT: 'free space within the quota; what is recorded stays as it is',
  EMFILE: 'allow this process more open files: ulimit -n',
  ENFILE: 'close other programs, or allow this machine more open files',
}

/** The way out of a system error that no room explained. */
export function systemRemedy(error: unknown): string | undefined {
  return remedyOfSystem[systemCode(error) ?? '']
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
    return {
      code: system,
      words: `mdv: ${oneLine(error.message)}\n${remedyLine(systemRemedy(error))}${stack}`,
    }
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
  return lines.join('') + remedyLine(error.remedy)
}

function remedyLine(remedy: string | undefined): string {
  return remedy === undefined ? '' : `  → ${oneLine(remedy)}\n`
}

function stackOf(error: Error): string {
  const own = error.stack ?? String(error)
  return error.cause instanceof Error ? `${own}\ncaused by ${stackOf(error.cause)}` : own
}

function oneLine(text: string): string {
  return text.replace(/\s*\n\s*/g, ' ')
}
