/** Whether someone is recording into this vault, from the lease that a recorder holds. */

import { rawActive } from '../storage/keys.ts'
import { leaseHolder } from '../storage/lease.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import { isProvablyDead } from '../storage/process-identity.ts'

/** `recording`: a lease is held and its owner not provably dead. `died`: its owner is. `none`: nobody holds one. */
export interface RecorderStatus {
  readonly state: 'recording' | 'died' | 'none'
  readonly pid: number | null
  readonly host: string | null
  /** The same for people. */
  readonly words: string
}

export async function recorderStatus(
  store: ObjectStore,
  venue: string,
  signal: AbortSignal,
): Promise<RecorderStatus> {
  const owner = await leaseHolder(store, `${rawActive(venue)}recorder`, '.lease.json', signal)
  if (owner === null) return { state: 'none', pid: null, host: null, words: 'none is running' }
  const { pid, host, purpose } = owner
  if (!(await isProvablyDead(owner)))
    return { state: 'recording', pid, host, words: `${purpose}, pid ${pid} on ${host}` }
  return {
    state: 'died',
    pid,
    host,
    words: `${purpose}, pid ${pid} on ${host}, ended without closing; its segment is recovered at the next start or by "mdv segments recover"`,
  }
}
