/** The plan of a merge as an object: what goes into it, so that whoever finds a job bound to it can carry it on. */

import { VaultError } from '../core/errors.ts'
import { jobsPrefix } from '../storage/keys.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import type { Committed, NumberType } from './receipt.ts'
import { StrictFields } from './receipt-fields.ts'

export interface MergePlan {
  readonly format: 1
  /** `compact_20251203T14_h_0123456789abcdef`. */
  readonly job: string
  /** Ascending by job. */
  readonly inputs: readonly Committed[]
  readonly software: string
  readonly number_type: NumberType
  readonly compression: 'zstd' | 'snappy' | 'none'
}

function planKey(venue: string, job: string): string {
  return `${jobsPrefix(venue)}${job}.plan.json`
}

/** Its job's name comes from all of it: what is there already is the same. */
export async function putMergePlan(store: ObjectStore, venue: string, plan: MergePlan): Promise<void> {
  await store.putIfAbsent(planKey(venue, plan.job), Buffer.from(JSON.stringify(plan) + '\n'))
}

/** @throws {VaultError} `corrupt` when it is gone or is none */
export async function readMergePlan(store: ObjectStore, venue: string, job: string): Promise<MergePlan> {
  const key = planKey(venue, job)
  const body = await store.get(key)
  if (body === undefined)
    throw new VaultError('corrupt', `${key}: is not there, and jobs are bound to it`, {
      remedy: 'restore it from a backup; these jobs stay as they are meanwhile',
    })
  const fields = StrictFields.parse(key, body)
  fields.format(1)
  return {
    format: 1,
    job: fields.matching('job', /^compact_[A-Za-z0-9_]{1,100}$/, 'a merge'),
    inputs: fields.list('inputs', (input) => ({
      job: input.matching('job', /^[A-Za-z0-9_-]{1,200}$/, 'a job'),
      generation: input.count('generation'),
    })),
    software: fields.text('software'),
    number_type: fields.oneOf('number_type', ['decimal', 'double']),
    compression: fields.oneOf('compression', ['zstd', 'snappy', 'none']),
  }
}
