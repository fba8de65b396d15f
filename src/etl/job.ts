/**
 * The protocol of one job, each step named for the crash it survives: claim (nothing done yet) · look for the receipt (all done but
 * cleaning up) · bind (a plan without parts) · convert (scratch only) · publish parts (same bytes, same names, next time) · receipt
 * (the commit) · look at the parts · archive · delete raw · release.
 */

import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { VaultError } from '../core/errors.ts'
import type { SegmentHeader } from '../segment/format.ts'
import { localFile } from '../storage/download.ts'
import type { LeaseOwner } from '../storage/lease.ts'
import { readBindings, type SegmentIdentity } from '../table/bindings.ts'
import { jobId } from '../table/part-name.ts'
import type { Receipt } from '../table/receipt.ts'
import { currentReceipt } from '../table/receipts.ts'
import { Claim } from './job-claim.ts'
import { convertAndCommit, type JobDeps } from './job-commit.ts'
import { mergeInstead } from './job-successor.ts'
import { finishJob, type FinishOptions } from './job-finish.ts'

/** A whole segment in raw/ready. */
export interface ReadySegment {
  readonly key: string
  readonly label: string
  readonly sizeBytes: number
  readonly header: SegmentHeader
}

export interface JobOptions extends FinishOptions {
  /** Watch a claim whose holder is not provably dead for its whole length, and take it over. */
  readonly wait: boolean
}

/** `converted`: committed by us. `finished`: it was committed before or by another, and what remained is done. */
export type JobOutcome =
  | { readonly kind: 'converted' | 'finished'; readonly receipt: Receipt }
  | { readonly kind: 'held'; readonly by: LeaseOwner | null }

/** Brings one ready segment to its end, from wherever an earlier try left it. */
export async function convertReady(
  deps: JobDeps,
  ready: ReadySegment,
  options: JobOptions,
  signal: AbortSignal,
): Promise<JobOutcome> {
  const segment: SegmentIdentity = { recorder: ready.header.recorder, firstN: ready.header.n }
  const bound = (await readBindings(deps.store, deps.venue, segment)).at(0)
  // Whatever the file is called now: who bound it first named the job.
  const job = bound?.job ?? jobId(ready.label, segment.recorder, segment.firstN)
  return withClaim(deps, job, options.wait, signal, (claim) =>
    convertClaimed(deps, claim, job, segment, ready, options, signal),
  )
}

/** Runs a job's work under its claim. Losing the claim on the way is an outcome, not a failure. */
export async function withClaim(
  deps: JobDeps,
  job: string,
  wait: boolean,
  signal: AbortSignal,
  work: (claim: Claim) => Promise<JobOutcome>,
): Promise<JobOutcome> {
  const claim = await Claim.take(deps, job, wait, signal)
  if (!(claim instanceof Claim)) return { kind: 'held', by: claim }
  let isDone = false
  try {
    const outcome = await work(claim)
    isDone = outcome.kind !== 'held'
    return outcome
  } catch (error) {
    if (error instanceof VaultError && error.kind === 'held') return { kind: 'held', by: null }
    throw error
  } finally {
    await claim.release(isDone)
  }
}

async function convertClaimed(
  deps: JobDeps,
  claim: Claim,
  job: string,
  segment: SegmentIdentity,
  ready: ReadySegment,
  options: JobOptions,
  signal: AbortSignal,
): Promise<JobOutcome> {
  const before = await currentReceipt(deps.store, deps.venue, job)
  if (before !== undefined) {
    const state = await finishJob(deps, claim, before, ready, null, options)
    if (state === 'done') return { kind: 'finished', receipt: before }
    const merge = await mergeInstead(deps, before)
    if (merge === 'pending') return { kind: 'held', by: null }
    if (merge !== null) return finishMerged(deps, claim, merge, ready, options)
    // Parts that a receipt names are gone while the raw bytes are still here: its next generation replaces them.
  }
  const expectedSha256 =
    before?.sources.find((each) => each.recorder === segment.recorder && each.first_n === segment.firstN)
      ?.file_sha256 ?? null
  const receiptGeneration = (before?.generation ?? 0) + 1
  // Another worker may have brought it to its end since it was listed.
  if ((await deps.store.head(ready.key)) === undefined) return { kind: 'held', by: null }
  const copyPath = join(deps.scratchDir, `${job}.ndjson`)
  const path = await localFile(deps.store, ready.key, copyPath, signal)
  const source = { path, key: ready.key, label: ready.label }
  const request = { job, segment, receiptGeneration, source, expectedSha256 }
  try {
    const committed = await convertAndCommit(deps, claim, request, signal)
    const state = await finishJob(deps, claim, committed.receipt, ready, committed.fileSha256, options)
    if (state === 'parts_missing') throw partsMissing(job)
    return { kind: committed.isOurs ? 'converted' : 'finished', receipt: committed.receipt }
  } finally {
    await rm(copyPath, { force: true })
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
  const state = await finishJob(deps, claim, merge, ready, null, options)
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
