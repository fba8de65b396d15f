/**
 * Who comes after a committed generation of a job: its next generation, or a merge of several jobs. Put once, before the first part of the
 * successor, so that a job is never converted again and merged at the same time. Kept like receipts.
 */

import { VaultError } from '../core/errors.ts'
import { jobsPrefix } from '../storage/keys.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import type { Committed } from './receipt.ts'
import { StrictFields } from './receipt-fields.ts'

function successionKey(venue: string, { job, generation }: Committed): string {
  return `${jobsPrefix(venue)}${job}.g${generation}.next.json`
}

/** @returns the job that succeeds; the same job's name: its next generation; undefined: nobody yet */
export async function readSuccessor(
  store: ObjectStore,
  venue: string,
  committed: Committed,
): Promise<string | undefined> {
  const key = successionKey(venue, committed)
  const body = await store.get(key)
  return body === undefined ? undefined : parseSuccessor(key, body)
}

/** @returns the successor that stands: the one given, or the one who came first */
export async function bindSuccessor(
  store: ObjectStore,
  venue: string,
  committed: Committed,
  successor: string,
): Promise<string> {
  const key = successionKey(venue, committed)
  const body = Buffer.from(JSON.stringify({ format: 1, successor }) + '\n')
  if ((await store.putIfAbsent(key, body)) === 'created') return successor
  const there = await store.get(key)
  if (there === undefined)
    throw new VaultError('unavailable', `${key}: there when it was put, gone when it was read`)
  return parseSuccessor(key, there)
}

function parseSuccessor(key: string, body: Uint8Array): string {
  const fields = StrictFields.parse(key, body)
  fields.format(1)
  return fields.matching('successor', /^[A-Za-z0-9_-]{1,200}$/, 'a job')
}
