/** `mdv segments recover`: what a dead recorder left under raw/active becomes ordinary segments, without a new recorder being started. */

import { randomBytes } from 'node:crypto'
import type { Clock } from '../core/clock.ts'
import { VaultError } from '../core/errors.ts'
import { recoverActive, type RecoveredSegment } from '../segment/recovery.ts'
import { realDisk } from '../storage/disk.ts'
import { rawActive } from '../storage/keys.ts'
import { acquireLease } from '../storage/lease.ts'
import type { LocalObjectStore } from '../storage/object-store.ts'
import { isProvablyAlive, isProvablyDead, thisProcess } from '../storage/process-identity.ts'

export interface RecoverOptions {
  /** Where the owner cannot be proved dead (another host): watch its lease for its whole length. */
  readonly isPatient: boolean
  /** The sequence number of a frame by the venue's rule; -1: it has none. */
  readonly sequenceOf: (frame: Buffer) => number
}

/** No recorder leaves its lease unrenewed for as long while it lives. */
const leaseMs = 60_000

/** @throws {VaultError} `held` while a recorder lives, or cannot be proved dead */
export async function recoverDead(
  store: LocalObjectStore,
  clock: Clock,
  venue: string,
  options: RecoverOptions,
  signal: AbortSignal,
): Promise<RecoveredSegment[]> {
  const owner = {
    ...(await thisProcess()),
    purpose: 'mdv segments recover',
    token: randomBytes(8).toString('hex'),
  }
  const lease = {
    ttlMs: leaseMs,
    clock,
    isDead: isProvablyDead,
    isAlive: isProvablyAlive,
    wait: options.isPatient,
  }
  const prefix = `${rawActive(venue)}recorder`
  const outcome = await acquireLease(store, prefix, '.lease.json', owner, lease, signal)
  if (!outcome.held) {
    const { purpose, pid, host } = outcome.by
    throw new VaultError('held', `raw/active belongs to ${purpose}, pid ${pid} on ${host}: not proved dead`, {
      remedy: 'stop that recorder, which seals its own segment; if its machine is gone, run this with --wait',
    })
  }
  try {
    const { sequenceOf } = options
    return await recoverActive({ store, disk: realDisk, clock, sequenceOf }, venue, signal)
  } finally {
    await outcome.lease.release()
  }
}
