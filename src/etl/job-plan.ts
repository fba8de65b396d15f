/** By which plan a job is converted: an earlier one is followed where it still fits, else the next one is bound. */

import { VaultError } from '../core/errors.ts'
import { processed, rawRejected } from '../storage/keys.ts'
import { listAll, type ObjectStore } from '../storage/object-store.ts'
import {
  bind,
  readBindings,
  type BatchMember,
  type Binding,
  type SegmentIdentity,
} from '../table/bindings.ts'
import {
  isAgainAfter,
  parsePartKey,
  partDigits,
  partDigitsMore,
  partDigitsUsual,
} from '../table/part-name.ts'
import { tableNames } from '../table/receipt.ts'
import { receiptGenerations } from '../table/receipts.ts'
import { stagingFolder } from '../table/staged.ts'
import type { ConvertSettings } from './conversion.ts'
import type { Claim } from './job-claim.ts'

export interface PlanDeps {
  readonly store: ObjectStore
  readonly venue: string
  readonly settings: ConvertSettings
  readonly writer: string
}

/** What is to be committed: this generation of this job's receipt. */
export interface PlanTarget {
  readonly job: string
  /** The one that the job is called after. */
  readonly segment: SegmentIdentity
  readonly receiptGeneration: number
  /** What is to go into a batch with it, if no plan was made yet. */
  readonly members: readonly BatchMember[]
}

/**
 * The binding to follow, with the uncommitted parts of all plans before it gone.
 *
 * @param spentGeneration a plan whose names hold other bytes: not to be followed again; 0 for none
 */
export async function settlePlan(
  deps: PlanDeps,
  claim: Claim,
  target: PlanTarget,
  spentGeneration: number,
  signal: AbortSignal,
): Promise<Binding> {
  const made = await readBindings(deps.store, deps.venue, target.segment)
  const last = made.at(-1)
  // A copy under another label, taken up by name before its twin was bound: two jobs would make the same rows twice.
  if (last !== undefined && !mayFollow(last, target)) throw boundElsewhere(last, target)
  const isUsable =
    last !== undefined && fits(last, deps.settings, target) && last.generation > spentGeneration
  const plan = isUsable ? last : await bindNext(deps, claim, target, last, spentGeneration)
  if (!fits(plan, deps.settings, target)) throw boundElsewhere(plan, target)
  // Also when the plan was bound by an earlier try: it may have died before this.
  const before = made.filter((each) => each.generation < plan.generation && each.job === target.job)
  await removeUncommitted(deps, claim, target, before, signal)
  return plan
}

/**
 * Pure: whether a first receipt of this job may come after that plan: of its own, or of a batch that was committed without the segment, which
 * is what the job's name says then.
 */
function mayFollow(last: Binding, { job, receiptGeneration }: PlanTarget): boolean {
  return receiptGeneration > 1 || last.job === job || isAgainAfter(last.generation, job)
}

/** Pure: whether a plan leads to the wanted receipt with the bytes that these settings make. */
export function fits(
  plan: Binding,
  settings: ConvertSettings,
  target: Pick<PlanTarget, 'job' | 'receiptGeneration'>,
): boolean {
  return (
    plan.job === target.job &&
    plan.receipt_generation === target.receiptGeneration &&
    plan.software === settings.software &&
    plan.number_type === settings.numberType &&
    plan.compression === settings.compression
  )
}

async function bindNext(
  deps: PlanDeps,
  claim: Claim,
  target: PlanTarget,
  last: Binding | undefined,
  spentGeneration: number,
): Promise<Binding> {
  const generation = (last?.generation ?? 0) + 1
  const length = spentGeneration > 0 ? partDigitsMore : partDigitsUsual
  // Once said, the members of a batch stay.
  const members = last?.job === target.job ? (last.members ?? []) : target.members
  claim.assertCurrent()
  return bind(deps.store, deps.venue, target.segment, {
    format: 1,
    job: target.job,
    generation,
    receipt_generation: target.receiptGeneration,
    digits: partDigits(target.job, generation, length),
    software: deps.settings.software,
    number_type: deps.settings.numberType,
    compression: deps.settings.compression,
    writer: deps.writer,
    ...(members.length === 0 ? {} : { members }),
  })
}

/**
 * Removes what abandoned plans for the same receipt left, before the next one makes a part visible: a globbing reader would see
 * rows of both. Plans for earlier receipts are done with: their parts were committed, or removed here before the commit.
 */
async function removeUncommitted(
  deps: PlanDeps,
  claim: Claim,
  target: PlanTarget,
  before: readonly Binding[],
  signal: AbortSignal,
): Promise<void> {
  const abandoned = before.filter((plan) => plan.receipt_generation === target.receiptGeneration)
  if (abandoned.length === 0) return
  const digits = new Set(abandoned.map((plan) => plan.digits))
  const receipts = await receiptGenerations(deps.store, deps.venue, target.job)
  if (receipts.length >= target.receiptGeneration) throw committedMeanwhile(target)
  const kept = new Set(receipts.flatMap((receipt) => receipt.parts.map((part) => part.key)))
  const prefixes =
    target.receiptGeneration === 1
      ? tableNames.map((table) => `${processed(deps.venue)}${table}/`)
      : [stagingFolder(deps.venue, target.job, target.receiptGeneration)]
  for (const prefix of prefixes)
    for (const { key } of await listAll(deps.store, prefix, signal)) {
      if (kept.has(key) || !digits.has(parsePartKey(key)?.digits ?? '')) continue
      claim.assertCurrent()
      await deps.store.delete(key)
    }
  for (const plan of abandoned) {
    claim.assertCurrent()
    await deps.store.delete(rejectsKey(deps.venue, target.job, plan.generation))
  }
}

/** Rejected lines are named by the plan that found them: another plan may find others. */
export function rejectsKey(venue: string, job: string, planGeneration: number): string {
  return `${rawRejected(venue)}${job}.g${planGeneration}.ndjson`
}

function boundElsewhere(plan: Binding, target: PlanTarget): VaultError {
  return new VaultError(
    'held',
    `job ${target.job}: another worker made plan ${plan.generation} of job ${plan.job} first`,
    { remedy: 'run one version of mdv with one configuration on this vault; the next run follows that plan' },
  )
}

function committedMeanwhile(target: PlanTarget): VaultError {
  return new VaultError('held', `job ${target.job}: another worker committed it meanwhile`)
}
