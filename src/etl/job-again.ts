/**
 * A job converted again from its archived raw bytes, after an improvement or a damaged part: its next generation. Where the same bytes
 * would come out again, nothing is done.
 */

import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { assert } from '../core/assert.ts'
import { VaultError } from '../core/errors.ts'
import { readBindings } from '../table/bindings.ts'
import { parseJobId } from '../table/part-name.ts'
import type { Receipt, ReceiptSource } from '../table/receipt.ts'
import { currentReceipt } from '../table/receipts.ts'
import { unpackArchived } from './archive.ts'
import type { Claim } from './job-claim.ts'
import { convertAndCommit, type Committed, type JobDeps, type JobSource } from './job-commit.ts'
import { finishJob } from './job-finish.ts'
import { mergeInstead } from './job-successor.ts'
import { fits } from './job-plan.ts'
import { sha256OfObject } from './publish.ts'
import { partsMissing, withClaim, type JobOutcome } from './job.ts'

/** The archived raw bytes stay as they are. */
const keepEverything = { deleteRaw: false, archive: false }

/** @param archivedKeys where the job's sources lie under raw/archive, by label */
export async function convertAgain(
  deps: JobDeps,
  job: string,
  archivedKeys: ReadonlyMap<string, string>,
  wait: boolean,
  signal: AbortSignal,
): Promise<JobOutcome> {
  return withClaim(deps, job, wait, signal, (claim) => againClaimed(deps, claim, job, archivedKeys, signal))
}

async function againClaimed(
  deps: JobDeps,
  claim: Claim,
  job: string,
  archivedKeys: ReadonlyMap<string, string>,
  signal: AbortSignal,
): Promise<JobOutcome> {
  const before = await currentReceipt(deps.store, deps.venue, job)
  if (before === undefined)
    throw new VaultError('corrupt', `job ${job}: its receipt is gone`, {
      remedy: 'restore the receipt from a backup',
    })
  if (before.supersedes !== undefined) throw merged(before)
  // The generation before must stand where readers by glob look for it. Damaged or not, the next one replaces it.
  await finishJob(deps, claim, before, [], null, keepEverything)
  if (await isCurrent(deps, before, signal)) return { kind: 'finished', receipt: before }
  if ((await mergeInstead(deps, before)) !== null) throw merged(before)
  const lead = parseJobId(job)
  assert(lead !== undefined, `${job} is called after a segment`)
  const unpackDir = join(deps.scratchDir, 'unpacked')
  const sources = before.sources.map((source) => unpackedSource(deps, job, source, archivedKeys, unpackDir))
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

function unpackedSource(
  deps: JobDeps,
  job: string,
  source: ReceiptSource,
  archivedKeys: ReadonlyMap<string, string>,
  dir: string,
): JobSource {
  const { label } = source
  const key = archivedKeys.get(label)
  if (key === undefined)
    throw new VaultError('corrupt', `job ${job}: its source ${label} is not under raw/archive`, {
      remedy: 'restore it from a backup: a job is converted again whole or not at all',
    })
  return {
    key,
    label,
    segment: { recorder: source.recorder, firstN: source.first_n },
    expectedSha256: source.file_sha256,
    async file(signal) {
      const path = join(dir, `${label}.ndjson`)
      await unpackArchived(deps.store, key, path, signal)
      return path
    },
  }
}

function merged({ job }: Receipt): VaultError {
  return new VaultError('held', `job ${job}: is part of a merge, and its rows are no longer its own`, {
    remedy: 'convert again before "mdv compact" runs, or leave it as it is',
  })
}

/** Whether the same bytes would come out: made by these settings, and every part still as it was committed. */
async function isCurrent(deps: JobDeps, receipt: Receipt, signal: AbortSignal): Promise<boolean> {
  const segment = parseJobId(receipt.job)
  const plan =
    segment === undefined ? undefined : (await readBindings(deps.store, deps.venue, segment)).at(-1)
  const target = { job: receipt.job, receiptGeneration: receipt.generation }
  if (plan === undefined || !fits(plan, deps.settings, target)) return false
  for (const part of receipt.parts)
    if ((await sha256OfObject(deps.store, part.key, signal)) !== part.sha256) return false
  return true
}

async function finishAgain(deps: JobDeps, claim: Claim, committed: Committed): Promise<JobOutcome> {
  const state = await finishJob(deps, claim, committed.receipt, [], null, keepEverything)
  if (state === 'parts_missing') throw partsMissing(committed.receipt.job)
  return { kind: committed.isOurs ? 'converted' : 'finished', receipt: committed.receipt }
}
