/**
 * The protocol of one job, each step named for the crash it survives: claim (nothing done yet) · look for the receipt (all done but
 * cleaning up) · bind (a plan without parts) · convert and publish parts (same bytes, same names, next time) · receipt (the commit) ·
 * look at the parts · archive · delete raw · release.
 */

import { assert } from '../core/assert.ts'
import { VaultError } from '../core/errors.ts'
import type { LeaseOwner } from '../storage/lease.ts'
import type { SegmentIdentity } from '../table/bindings.ts'
import { parseJobId } from '../table/part-name.ts'
import type { Receipt } from '../table/receipt.ts'
import { currentReceipt } from '../table/receipts.ts'
import type { RawSegment } from './archive.ts'
import { findReady, jobOf, settleBatch } from './batch.ts'
import { isWhole, keepParts, partsNow } from './evidence.ts'
import { Claim } from './job-claim.ts'
import { convertAndCommit, type CommitRequest, type JobDeps, type JobSource } from './job-commit.ts'
import { mergeInstead } from './job-successor.ts'
import { finishJob, type FinishOptions } from './job-finish.ts'

/** A whole segment in raw/ready. */
export interface ReadySegment extends RawSegment {
  readonly sizeBytes: number
  /** By its seal; null in a segment without lines. */
  readonly lastN: number | null
  /** When it was published, epoch milliseconds, by the store's clock. */
  readonly readyMs: number
}

export interface JobOptions extends FinishOptions {
  /** Watch a claim whose holder is not provably dead for its whole length, and take it over. */
  readonly wait: boolean
}

/** `converted`: committed by us. `finished`: it was committed before or by another, and what remained is done. */
export type JobOutcome =
  | { readonly kind: 'converted' | 'finished'; readonly receipt: Receipt }
  | { readonly kind: 'held'; readonly by: LeaseOwner | null }

/**
 * Brings a ready segment to its end, from wherever an earlier try left it; in a batch with others if neither it nor they are bound yet.
 *
 * @param segments the one that counts, and those that may go with it: of its recorder, each following the one before. The receipt says which did.
 */
export async function convertReady(
  deps: JobDeps,
  segments: readonly [ReadySegment, ...ReadySegment[]],
  options: JobOptions,
  signal: AbortSignal,
): Promise<JobOutcome> {
  const [{ key, label, header }] = segments
  const job = await jobOf(deps, label, { recorder: header.recorder, firstN: header.n })
  if ((await deps.store.head(key)) === undefined) {
    // Raw bytes go last: another worker has been here since it was listed, and nothing is left to do.
    const done = await currentReceipt(deps.store, deps.venue, job)
    return done === undefined ? { kind: 'held', by: null } : { kind: 'finished', receipt: done }
  }
  return withClaim(deps, job, options.wait, signal, async (claim) => {
    try {
      return await convertClaimed(deps, claim, job, segments, options, signal)
    } finally {
      await deps.files.release()
    }
  })
}

/** Runs a job's work under its claim. Losing the claim on the way is an outcome, not a failure. */
export async function withClaim(
  deps: JobDeps,
  job: string,
  wait: boolean,
  signal: AbortSignal,
  work: (claim: Claim) => Promise<JobOutcome>,
): Promise<JobOutcome> {
  const claim = await Claim.take(deps, job, wait, signal, await deps.board.freeAtMs(job, signal))
  if (!(claim instanceof Claim)) return { kind: 'held', by: claim }
  try {
    return await work(claim)
  } catch (error) {
    if (error instanceof VaultError && error.kind === 'held') return { kind: 'held', by: null }
    throw error
  } finally {
    await claim.release()
  }
}

async function convertClaimed(
  deps: JobDeps,
  claim: Claim,
  job: string,
  segments: readonly [ReadySegment, ...ReadySegment[]],
  options: JobOptions,
  signal: AbortSignal,
): Promise<JobOutcome> {
  const before = await currentReceipt(deps.store, deps.venue, job)
  if (before !== undefined) {
    const state = await finishJob(deps, claim, before, [segments[0]], null, options)
    if (state === 'done') return { kind: 'finished', receipt: before }
    const merge = await mergeInstead(deps, before)
    if (merge === 'pending') return { kind: 'held', by: null }
    if (merge !== null) return finishMerged(deps, claim, merge, segments[0], options)
    // Parts that a receipt names are gone or damaged while the raw bytes are still here: its next generation replaces them.
    const parts = await partsNow(deps.store, before, signal)
    await keepParts(
      deps,
      claim,
      before,
      parts.filter((part) => !isWhole(part)),
      signal,
    )
  }
  const raws: RawSegment[] = []
  const request = requestFor(deps, claim, job, segments, before, raws, signal)
  const committed = await convertAndCommit(deps, claim, request, signal)
  const state = await finishJob(deps, claim, committed.receipt, raws, committed, options)
  if (state === 'parts_missing') throw partsMissing(job)
  return { kind: committed.isOurs ? 'converted' : 'finished', receipt: committed.receipt }
}

/** @param raws filled with what goes into the job */
function requestFor(
  deps: JobDeps,
  claim: Claim,
  job: string,
  segments: readonly [ReadySegment, ...ReadySegment[]],
  before: Receipt | undefined,
  raws: RawSegment[],
  signal: AbortSignal,
): CommitRequest {
  const lead = parseJobId(job)
  assert(lead !== undefined, `${job} is called after a segment`)
  return {
    job,
    segment: lead,
    receiptGeneration: (before?.generation ?? 0) + 1,
    members: segments.slice(1).map(({ label, header }) => ({ label, first_n: header.n })),
    async sourcesOf(plan) {
      const settled =
        before === undefined
          ? await settleBatch(deps, claim, plan, lead, segments, signal)
          : await sameAgain(deps, before, segments, signal)
      // Another worker may have brought it to its end since it was listed.
      if (settled.length === 0)
        throw new VaultError('held', `job ${job}: its segments are gone from raw/ready`)
      raws.splice(0, raws.length, ...settled)
      return settled.map((raw) => jobSource(deps, raw, before))
    },
  }
}

/** What a receipt names, for its next generation: all of it has to be here. */
async function sameAgain(
  deps: JobDeps,
  receipt: Receipt,
  segments: readonly ReadySegment[],
  signal: AbortSignal,
): Promise<RawSegment[]> {
  const raws: RawSegment[] = []
  for (const { recorder, first_n: firstN, key, label } of receipt.sources) {
    const raw =
      segments.find(({ header }) => header.recorder === recorder && header.n === firstN) ??
      (await findReady(deps, label, { recorder, firstN }, signal))
    if (raw === undefined)
      throw new VaultError('corrupt', `job ${receipt.job}: a part of it is gone, and so is ${key}`, {
        remedy: 'restore the part from a backup, or run "mdv etl --once --from-archive"',
      })
    raws.push(raw)
  }
  return raws
}

function jobSource(
  deps: JobDeps,
  { key, label, header }: RawSegment,
  before: Receipt | undefined,
): JobSource {
  const segment: SegmentIdentity = { recorder: header.recorder, firstN: header.n }
  const known = before?.sources.find(
    (source) => source.recorder === segment.recorder && source.first_n === segment.firstN,
  )
  return {
    key,
    label,
    segment,
    expectedSha256: known?.file_sha256 ?? null,
    file: (signal) => deps.files.take({ key }, signal),
  }
}

/** Raw bytes that came back after their job was merged. */
async function finishMerged(
  deps: JobDeps,
  claim: Claim,
  merge: Receipt,
  ready: ReadySegment,
  options: JobOptions,
): Promise<JobOutcome> {
  const state = await finishJob(deps, claim, merge, [ready], null, options)
  if (state === 'parts_missing') throw partsMissing(merge.job)
  return { kind: 'finished', receipt: merge }
}

export function partsMissing(job: string): VaultError {
  return new VaultError(
    'corrupt',
    `job ${job}: a part vanished just after it was committed; its raw bytes are kept`,
    {
      remedy: 'look for programs that remove files under processed/; the next run converts it again',
    },
  )
}
