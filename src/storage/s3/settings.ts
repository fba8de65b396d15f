/** What it takes to open a bucket. Plain values. */

import type { Clock, Random } from '../../core/clock.ts'
import type { S3Place } from '../place.ts'

export interface S3Settings extends Omit<S3Place, 'backend' | 'singleWriter'> {
  /** Local folder; scratch folders are made below it. */
  readonly workDir: string
}

export interface S3Timeouts {
  /** Until a connection stands. */
  readonly connectMs: number
  /** Without a byte in either direction. A request as such may take as long as its bytes do. */
  readonly idleMs: number
}

export interface S3Retries {
  /** Of one request, the first included. */
  readonly attempts: number
  readonly firstMs: number
  readonly limitMs: number
  /** No further attempt is started after this long. */
  readonly giveUpMs: number
}

/** How a process that was asked to stop lets go of a bucket, also of one that does not answer. */
export interface Stop {
  /** Aborts opening at once. */
  readonly signal: AbortSignal
  /** So much later it aborts what an opened store does: time for what has begun. */
  readonly graceMs: number
}

export interface S3Deps {
  readonly clock: Clock
  /** For pauses between attempts only; tokens are made by node:crypto. */
  readonly random: Random
  readonly env: Readonly<Record<string, string | undefined>>
  /** Left out: only `close` ends a store. */
  readonly stop?: Stop | undefined
  /** Left out: 5 s to connect, 60 s without a byte. */
  readonly timeouts?: S3Timeouts
  /** Left out: 6 attempts, 0.2 s to 5 s between them, none after 2 minutes. */
  readonly retries?: S3Retries
}

export const usualTimeouts: S3Timeouts = { connectMs: 5_000, idleMs: 60_000 }
export const usualRetries: S3Retries = { attempts: 6, firstMs: 200, limitMs: 5_000, giveUpMs: 120_000 }

/**
 * `read`: nothing will be written, nothing about writing is tried. `shared`: many processes, refused where the server does not honour
 * conditions. `single-writer`: whoever opens it promises that no other process writes.
 */
export type S3Mode = 'read' | 'shared' | 'single-writer'

/** Where to send requests to; null: AWS. The variables are the SDK's own, which it would follow behind our back. */
export function endpointOf(settings: S3Settings, env: S3Deps['env']): string | null {
  return settings.endpointUrl ?? env['AWS_ENDPOINT_URL_S3'] ?? env['AWS_ENDPOINT_URL'] ?? null
}

/** The region someone named; null: it has to be found out. */
export function namedRegion(settings: S3Settings, env: S3Deps['env']): string | null {
  for (const region of [settings.region, env['AWS_REGION'], env['AWS_DEFAULT_REGION']])
    if (region !== null && region !== undefined && region !== '') return region
  return null
}
