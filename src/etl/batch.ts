/**
 * What goes into a batch, the same for whoever follows its plan: the segment that names it, and of the others those that are there whole
 * and that no other job has. Each is bound by put-if-absent before the first part.
 */

import { isOfThisFormat, peekSegment } from '../segment/peek.ts'
import { readySegmentKey } from '../storage/keys.ts'
import { bind, readBindings, type Binding, type SegmentIdentity } from '../table/bindings.ts'
import { jobId, jobIdAgain } from '../table/part-name.ts'
import type { Receipt } from '../table/receipt.ts'
import { currentReceipt } from '../table/receipts.ts'
import type { RawSegment } from './archive.ts'
import type { Claim, ClaimDeps } from './job-claim.ts'

/** @returns the job that the segment belongs to, or is to be bound to */
export async function jobOf(
  { store, venue }: Pick<ClaimDeps, 'store' | 'venue'>,
  label: string,
  segment: SegmentIdentity,
): Promise<string> {
  const bound = (await readBindings(store, venue, segment)).at(-1)
  // Whatever the file is called now: who bound it first named the job.
  if (bound === undefined) return jobId(label, segment.recorder, segment.firstN)
  const receipt = await currentReceipt(store, venue, bound.job)
  if (receipt === undefined || namesSegment(receipt, segment)) return bound.job
  // It was not there when its batch was converted, or not whole; the receipt says so for good.
  return jobIdAgain(label, segment, bound.generation + 1)
}

export function namesSegment({ sources }: Receipt, { recorder, firstN }: SegmentIdentity): boolean {
  return sources.some((source) => source.recorder === recorder && source.first_n === firstN)
}

/**
 * @param lead what the job is called after
 * @param known segments of which it is known that they are there, whole
 */
export async function settleBatch(
  deps: ClaimDeps,
  claim: Claim,
  plan: Binding,
  lead: SegmentIdentity & { readonly label: string },
  known: readonly RawSegment[],
  signal: AbortSignal,
): Promise<RawSegment[]> {
  const wanted = [{ label: lead.label, first_n: lead.firstN }, ...(plan.members ?? [])]
  const settled: RawSegment[] = []
  for (const { label, first_n: firstN } of wanted) {
    const segment = { recorder: lead.recorder, firstN }
    const raw =
      known.find(({ header }) => header.recorder === segment.recorder && header.n === firstN) ??
      (await findReady(deps, label, segment, signal))
    if (raw !== undefined && (firstN === lead.firstN || (await isBound(deps, claim, plan, segment))))
      settled.push(raw)
  }
  return settled
}

async function isBound(
  { store, venue }: ClaimDeps,
  claim: Claim,
  plan: Binding,
  segment: SegmentIdentity,
): Promise<boolean> {
  const { members: _, ...binding } = plan
  claim.assertCurrent()
  const standing = await bind(store, venue, segment, { ...binding, generation: 1 })
  return standing.job === plan.job
}

/** A segment under the name it had when its batch was planned; undefined when it is not there, or not whole, or another one. */
export async function findReady(
  { store, venue }: ClaimDeps,
  label: string,
  { recorder, firstN }: SegmentIdentity,
  signal: AbortSignal,
): Promise<RawSegment | undefined> {
  const key = readySegmentKey(venue, label)
  const object = await store.head(key)
  const peek = object === undefined ? 'gone' : await peekSegment(store, object, true, signal)
  if (peek === 'gone' || peek.header === null || peek.seal === null) return undefined
  const { header } = peek
  const isIt = isOfThisFormat(header) && header.recorder === recorder && header.n === firstN
  return isIt ? { key, label, header } : undefined
}
