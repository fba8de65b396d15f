/**
 * Bindings: which job a segment belongs to, and by what plan it is converted. Put once, never changed, kept like receipts, so that
 * a sleeper with an old listing follows what others decided meanwhile.
 */

import { VaultError } from '../core/errors.ts'
import { bindingKey } from '../storage/keys.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import type { NumberType } from './receipt.ts'
import { StrictFields } from './receipt-fields.ts'

/** A segment that a batch is to hold beside its first. */
export interface BatchMember {
  readonly first_n: number
  /** Where it lay: `segment_20251203T14_00002`. */
  readonly label: string
}

/** One plan of a job: what decides the names and bytes of its parts. */
export interface Binding {
  readonly format: 1
  readonly job: string
  /** The plan's number, from 1. Other software, settings or bytes make the next one. */
  readonly generation: number
  /** The generation of the receipt that this plan is to end in. */
  readonly receipt_generation: number
  /** The digits in its parts' names. */
  readonly digits: string
  readonly software: string
  readonly number_type: NumberType
  readonly compression: string
  readonly writer: string
  /**
   * In the binding of the segment that names a batch: what else is to go into it, ascending, all of one recorder. Each of them belongs to the
   * batch once its own binding says so too.
   */
  readonly members?: readonly BatchMember[]
}

/** (recorder, first n): what a segment is, whatever it is called. */
export interface SegmentIdentity {
  readonly recorder: string
  readonly firstN: number
}

/** All plans made for a segment, first to last; empty when it is not bound. */
export async function readBindings(
  store: ObjectStore,
  venue: string,
  segment: SegmentIdentity,
): Promise<Binding[]> {
  const all: Binding[] = []
  for (let generation = 1; ; generation++) {
    const key = bindingKey(venue, segment.recorder, segment.firstN, generation)
    const body = await store.get(key)
    if (body === undefined) return all
    all.push(parseBinding(key, body, generation))
  }
}

/**
 * Binds a segment by a plan, or finds that someone did.
 *
 * @returns the binding that stands: the one given, or another's to be followed
 */
export async function bind(
  store: ObjectStore,
  venue: string,
  segment: SegmentIdentity,
  binding: Binding,
): Promise<Binding> {
  const key = bindingKey(venue, segment.recorder, segment.firstN, binding.generation)
  const outcome = await store.putIfAbsent(key, Buffer.from(JSON.stringify(binding) + '\n'))
  if (outcome === 'created') return binding
  const there = await store.get(key)
  if (there === undefined)
    throw new VaultError('unavailable', `${key}: there when it was put, gone when it was read`)
  return parseBinding(key, there, binding.generation)
}

function parseBinding(key: string, body: Uint8Array, generation: number): Binding {
  const fields = StrictFields.parse(key, body)
  fields.format(1)
  const members = fields.listIfThere('members', (member) => ({
    first_n: member.count('first_n'),
    label: member.matching('label', /^segment_\d{8}T\d{2}_\d{5,}$/, "a segment's label"),
  }))
  const binding: Binding = {
    format: 1,
    job: fields.matching('job', /^[A-Za-z0-9_-]{1,200}$/, 'a job'),
    generation: fields.count('generation'),
    receipt_generation: fields.count('receipt_generation'),
    digits: fields.matching('digits', /^[0-9a-f]{8,64}$/, 'hex digits'),
    software: fields.text('software'),
    number_type: fields.oneOf('number_type', ['decimal', 'double']),
    compression: fields.text('compression'),
    writer: fields.text('writer'),
    ...(members === undefined ? {} : { members }),
  }
  if (binding.generation === generation) return binding
  throw new VaultError('corrupt', `${key}: holds plan ${binding.generation}`, {
    remedy: 'give it its own name again, or restore it from a backup',
  })
}
