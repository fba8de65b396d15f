/**
 * A job converted again from raw bytes that are kept: its next generation. After an improvement, where nothing is done if the same bytes
 * would come out again; or to repair it, which is always done. Damaged parts are kept before the new ones take their place.
 */

import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { assert } from '../core/assert.ts'
import { VaultError } from '../core/errors.ts'
import { rawArchive } from '../storage/keys.ts'
import { readBindings } from '../table/bindings.ts'
import { parseJobId } from '../table/part-name.ts'
import type { Receipt, ReceiptSource } from '../table/receipt.ts'
import { currentReceipt } from '../table/receipts.ts'
import { unpackArchived } from './archive.ts'
import { isWhole, keepParts, partsNow, type PartNow } from './evidence.ts'
import type { Claim } from './job-claim.ts'
import { convertAndCommit, type Committed, type JobDeps, type JobSource } from './job-commit.ts'
import { finishJob } from './job-finish.ts'
import { mergeInstead } from './job-successor.ts'
import { fits } from './job-plan.ts'
import { cannotRequeue, type KeptRaw } from './requeue.ts'
import { partsMissing, withClaim, type JobOutcome } from './job.ts'

/** The raw bytes stay as they are. */
const keepEverything = { deleteRaw: false, archive: false }

/** `repair`: something is wrong with its parts, or with rows in them. */
export type AgainReason = 'improvement' | 'repair'

/** @param kept where the job's sources lie, by label */
export async function convertAgain(
  deps: JobDeps,
  job: string,
  kept: KeptRaw,
  reason: AgainReason,
  wait: boolean,
  signal: AbortSignal,
): Promise<JobOutcome> {
  return withClaim(deps, job, wait, signal, async (claim) => {
    try {
      return await againClaimed(deps, claim, job, kept, reason, signal)
    } finally {
      await deps.files.release()
    }
  })
}

async function againClaimed(
  deps: JobDeps,
  claim: Claim,
  job: string,
  kept: KeptRaw,
  reason: AgainReason,
  signal: AbortSignal,
): Promise<JobOutcome> {
  const before = await currentReceipt(deps.store, deps.venue, job)
  if (before === undefined)
    throw new VaultError('corrupt', `job ${job}: its receipt is gone`, {
      remedy: 'restore the receipt from a backup',
    })
  if (before.supersedes !== undefined) throw await mergedError(deps, before, kept, reason, signal)
  // The generation before must stand where readers by glob look for it. Damaged or not, the next one replaces it.
  await finishJob(deps, claim, before, [], null, keepEverything)
  const parts = await partsNow(deps.store, before, signal)
  if (reason === 'improvement' && (await isCurrent(deps, before, parts)))
    return { kind: 'finished', receipt: before }
  if (before.sources.some(({ label }) => !kept.has(label))) throw cannotRequeue(before, kept, parts)
  if ((await mergeInstead(deps, before)) !== null) throw merged(before)
  await keepParts(deps, claim, before, partsToKeep(parts, reason), signal)
  return convertKept(deps, claim, before, kept, signal)
}

/** Where a repair finds every part as it was committed, what is wrong is in the rows, and any part may have it. */
function partsToKeep(parts: readonly PartNow[], reason: AgainReason): readonly PartNow[] {
  const damaged = parts.filter((part) => !isWhole(part))
  return reason === 'repair' && damaged.length === 0 ? parts : damaged
}

async function convertKept(
  deps: JobDeps,
  claim: Claim,
  before: Receipt,
  kept: KeptRaw,
  signal: AbortSignal,
): Promise<JobOutcome> {
  const { job } = before
  const lead = parseJobId(job)
  assert(lead !== undefined, `${job} is called after a segment`)
  const unpackDir = join(deps.scratchDir, 'unpacked')
  const sources = before.sources.map((source) => keptSource(deps, source, kept.get(source.label)!, unpackDir))
  await mkdir(unpackDir, { recursive: true })
  try {
    const request = {
      job,
      segment: lead,
      receiptGeneration: before.generation + 1,
      members: [],
      sourcesOf: async () => sources,
    }
    return await finishAgain(deps, claim, await convertAndCommit(deps, claim, request, signal))
  } finally {
    await rm(unpackDir, { recursive: true, force: true })
  }
}

function keptSource(deps: JobDeps, source: ReceiptSource, key: string, unpackDir: string): JobSource {
  const { label } = source
  return {
    key,
    label,
    segment: { recorder: source.recorder, firstN: source.first_n },
    expectedSha256: source.file_sha256,
    async file(signal) {
      if (!key.startsWith(rawArchive(deps.venue))) return deps.files.take({ key }, signal)
      const path = join(unpackDir, `${label}.ndjson`)
      await unpackArchived(deps.store, key, source, path, signal)
      return path
    },
  }
}

async function mergedError(
  { store }: JobDeps,
  receipt: Receipt,
  kept: KeptRaw,
  reason: AgainReason,
  signal: AbortSignal,
): Promise<VaultError> {
  if (reason === 'improvement') return merged(receipt)
  return cannotRequeue(receipt, kept, await partsNow(store, receipt, signal))
}

function merged({ job }: Receipt): VaultError {
  return new VaultError('held', `job ${job}: is part of a merge, and its rows are no longer its own`, {
    remedy: 'convert again before "mdv compact" runs, or leave it as it is',
  })
}

/** Whether the same bytes would come out: made by these settings, and every part still as it was committed. */
async function isCurrent(deps: JobDeps, receipt: Receipt, parts: readonly PartNow[]): Promise<boolean> {
  const segment = parseJobId(receipt.job)
  const plan =
    segment === undefined ? undefined : (await readBindings(deps.store, deps.venue, segment)).at(-1)
  const target = { job: receipt.job, receiptGeneration: receipt.generation }
  return plan !== undefined && fits(plan, deps.settings, target) && parts.every(isWhole)
}

async function finishAgain(deps: JobDeps, claim: Claim, committed: Committed): Promise<JobOutcome> {
  const state = await finishJob(deps, claim, committed.receipt, [], null, keepEverything)
  if (state === 'parts_missing') throw partsMissing(committed.receipt.job)
  return { kind: committed.isOurs ? 'converted' : 'finished', receipt: committed.receipt }
}
