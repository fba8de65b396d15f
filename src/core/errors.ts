/** The one error class operations throw; its kind says what the caller does next, and the doors turn it into an exit code. */

/**
 * What the caller does next:
 * `usage` correct the command line · `config` correct the configuration · `preflight` fix the machine (folder, disk, permission)
 * `unavailable` try again later · `invalid` correct the input · `corrupt` look at the data · `held` wait for the other owner
 * `closed` open it again.
 */
export type ErrorKind =
  | 'usage'
  | 'config'
  | 'preflight'
  | 'unavailable'
  | 'invalid'
  | 'corrupt'
  | 'held'
  | 'closed'

export interface VaultErrorDetails {
  /** What was meant, in short `key: value` pairs; never a secret. */
  readonly context?: Readonly<Record<string, string | number | bigint | boolean | null>>
  /** The way out, as an instruction: `free space or set storage.base_dir to another disk`. */
  readonly remedy?: string
  readonly cause?: unknown
}

export class VaultError extends Error {
  readonly kind: ErrorKind
  readonly context: NonNullable<VaultErrorDetails['context']>
  readonly remedy: string | undefined

  /** @param message names the thing, the place and the value: `segment raw/ready/x line 7: checksum 1a ≠ 2b in seal` */
  constructor(kind: ErrorKind, message: string, details: VaultErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.name = 'VaultError'
    this.kind = kind
    this.context = details.context ?? {}
    this.remedy = details.remedy
  }
}

/** The `code` of a Node system error (`ENOENT`), or undefined for anything else. */
export function systemCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined
  return typeof error.code === 'string' ? error.code : undefined
}

/** One sentence about any thrown value. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
