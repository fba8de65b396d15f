/**
 * A job converted again from its archived raw bytes, after an improvement or a damaged part: its next generation. Where the same bytes
 * would come out again, nothing is done.
 */

import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { VaultError } from '../core/errors.ts'
import { readBindings } from '../table/bindings.ts'
import type { Receipt, ReceiptSource } from '../table/receipt.ts'
import { currentReceipt } from '../table/receipts.ts'
import { unpackArchived } from './archive.ts'
import type { Claim } from './job-claim.ts'
import { convertAndCommit, sha256OfObject, type JobDeps } from './job-commit.ts'
import { finishJob } from './job-finish.ts'
import { mergeInstead } from './job-successor.ts'
import { fits } from './job-plan.ts'
import { partsMissing, withClaim, type JobOutcome } from './job.ts'

/** The archived raw bytes stay as they are. */
const keepEverything = { deleteRaw: false, archive: false }

/** @param archivedKey where the one source of the job lies under raw/archive */
export async function convertAgain(
  deps: JobDeps,
  job: string,
  archivedKey: string,
  wait: boolean,
  signal: AbortSignal,
): Promise<JobOutcome> {
  return withClaim(deps, job, wait, signal, (claim) => againClaimed(deps, claim, job, archivedKey, signal))
}

async function againClaimed(
  deps: JobDeps,
  claim: Claim,
  job: string,
  archivedKey: string,
  signal: AbortSignal,
): Promise<JobOutcome> {
  const before = await currentReceipt(deps.store, deps.venue, job)
  const source = before?.sources.at(0)
  if (before === undefined || source === undefined || before.sources.length > 1)
    throw new VaultError('corrupt', `job ${job}: its receipt does not name one source`, {
      remedy: 'restore the receipt from a backup',
    })
  // The generation before must stand where readers by glob look for it. Damaged or not, the next one replaces it.
  await finishJob(deps, claim, before, null, null, keepEverything)
  if (await isCurrent(deps, before, source, signal)) return { kind: 'finished', receipt: before }
  if ((await mergeInstead(deps, before)) !== null) throw merged(before)
  const unpackDir = join(deps.scratchDir, 'unpacked')
  const path = join(unpackDir, `${source.label}.ndjson`)
  await mkdir(unpackDir, { recursive: true })
  try {
    await unpackArchived(deps.store, archivedKey, path, signal)
    const committed = await convertAndCommit(
      deps,
      claim,
      {
        job,
        segment: { recorder: source.recorder, firstN: source.first_n },
        receiptGeneration: before.generation + 1,
        source: { path, key: archivedKey, label: source.label },
        expectedSha256: source.file_sha256,
      },
      signal,
    )
    return await finishAgain(deps, claim, committed)
  } finally {
    await rm(path, { force: true })
  }
}

function merged({ job }: Receipt): VaultError {
  return new VaultError('held', `job ${job}: is part of a merge, and its rows are no longer its own`, {
    remedy: 'convert again before "mdv compact" runs, or leave it as it is',
  })
}

/** Whether the same bytes would come out: made by these settings, and every part still as it was committed. */
async function isCurrent(
  deps: JobDeps,
  receipt: Receipt,
  source: ReceiptSource,
  signal: AbortSignal,
): Promise<boolean> {
  const segment = { recorder: source.recorder, firstN: source.first_n }
  const plan = (await readBindings(deps.store, deps.venue, segment)).at(-1)
  const target = { job: receipt.job, segment, receiptGeneration: receipt.generation }
  if (plan === undefined || !fits(plan, deps.settings, target)) return false
  for (const part of receipt.parts)
    if ((await sha256OfObject(deps.store, part.key, signal)) !== part.sha256) return false
  return true
}

async function finishAgain(
  deps: JobDeps,
  claim: Claim,
  committed: { readonly receipt: Receipt; readonly isOurs: boolean },
): Promise<JobOutcome> {
  const state = await finishJob(deps, claim, committed.receipt, null, null, keepEverything)
  if (state === 'parts_missing') throw partsMissing(committed.receipt.job)
  return { kind: committed.isOurs ? 'converted' : 'finished', receipt: committed.receipt }
}
