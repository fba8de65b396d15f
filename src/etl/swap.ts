/**
 * The swap of a later generation: its receipt is committed, its parts are staged, those of earlier generations still stand. Old parts
 * go out first, then the new ones move in: a reader by glob may briefly miss rows and never sees one twice. Every step may be
 * the last one of a process; the next run goes on from what it finds.
 */

import { randomUUID } from 'node:crypto'
import { readdir, rm, rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import { systemCode, VaultError } from '../core/errors.ts'
import { stagingPrefix } from '../storage/keys.ts'
import { download } from '../storage/download.ts'
import { listAll, type ObjectStore } from '../storage/object-store.ts'
import type { Receipt } from '../table/receipt.ts'
import { currentReceipt, isMerge, receiptGenerations } from '../table/receipts.ts'
import {
  arePartsThere,
  isStagedFirst,
  parseStagingKey,
  stagedPartKey,
  stagingFolder,
  swapMarkKey,
} from '../table/staged.ts'
import { Claim, type ClaimDeps } from './job-claim.ts'

/**
 * @param receipt the current generation of its job, under whose claim this runs
 * @param certain keys of parts that need no look
 * @returns false when a part is not there as committed: nothing of earlier generations was removed for it then
 */
export async function finishSwap(
  deps: ClaimDeps,
  claim: Claim,
  receipt: Receipt,
  signal: AbortSignal,
  certain: ReadonlySet<string> = new Set(),
): Promise<boolean> {
  if (!(await arePartsThere(deps.store, receipt, certain))) return false
  if (!isStagedFirst(receipt)) return true
  await removeEarlier(deps, claim, receipt)
  await removeMerged(deps, claim, receipt)
  // A crash here leaves no part of the job to globs, and all of them to readers of receipts.
  for (const part of receipt.parts) {
    claim.assertCurrent()
    await moveIn(deps.store, stagedPartKey(receipt, part.key), part.key, signal)
  }
  for (let generation = 1; generation <= receipt.generation; generation++)
    await emptyStaging(deps, claim, receipt, generation, signal)
  return arePartsThere(deps.store, receipt)
}

async function removeEarlier(deps: ClaimDeps, claim: Claim, receipt: Receipt): Promise<void> {
  const kept = new Set(receipt.parts.map((part) => part.key))
  for (const earlier of await receiptGenerations(deps.store, deps.venue, receipt.job)) {
    if (earlier.generation >= receipt.generation) continue
    for (const part of earlier.parts) {
      if (kept.has(part.key)) continue
      claim.assertCurrent()
      await deps.store.delete(part.key)
    }
  }
}

/** What a merge holds now: parts of every generation of its jobs. */
async function removeMerged(deps: ClaimDeps, claim: Claim, receipt: Receipt): Promise<void> {
  for (const { job } of receipt.supersedes ?? [])
    for (const merged of await receiptGenerations(deps.store, deps.venue, job))
      for (const part of merged.parts) {
        claim.assertCurrent()
        await deps.store.delete(part.key)
      }
}

async function moveIn(store: ObjectStore, staged: string, key: string, signal: AbortSignal): Promise<void> {
  if ((await store.head(staged)) === undefined) return // moved by an earlier try
  const path = store.fileOf(staged)
  // `exists`: an earlier try died between giving it its name and taking the old one away.
  if (path === undefined) await publishCopy(store, staged, key, signal)
  else if ((await store.publishFile(path, key)) === 'created') return
  await store.delete(staged)
}

/** Through this machine: a server's own copy has no condition that every server honours. */
async function publishCopy(
  store: ObjectStore,
  staged: string,
  key: string,
  signal: AbortSignal,
): Promise<void> {
  const path = join(await store.scratch('swap'), randomUUID())
  try {
    await download(store, staged, path, signal)
    await store.publishFile(path, key)
  } finally {
    await rm(path, { force: true })
  }
}

/** The mark goes last: as long as it is there, the swap is looked at again. */
async function emptyStaging(
  deps: ClaimDeps,
  claim: Claim,
  receipt: Receipt,
  generation: number,
  signal: AbortSignal,
): Promise<void> {
  const folder = stagingFolder(deps.venue, receipt.job, generation)
  const mark = swapMarkKey(deps.venue, receipt.job, generation)
  const left = await listAll(deps.store, folder, signal)
  if (left.length === 0) return
  for (const { key } of left) {
    if (key === mark) continue
    claim.assertCurrent()
    await deps.store.delete(key)
  }
  claim.assertCurrent()
  await deps.store.delete(mark)
  const path = deps.store.fileOf(folder.slice(0, -1))
  if (path !== undefined) await removeEmptyFolders(path)
}

async function removeEmptyFolders(path: string): Promise<void> {
  try {
    for (const entry of await readdir(path, { withFileTypes: true }))
      if (entry.isDirectory()) await removeEmptyFolders(join(path, entry.name))
    await rmdir(path)
  } catch (error) {
    // Something came into it meanwhile, or it is gone: it is only tidiness.
    if (!['ENOTEMPTY', 'EEXIST', 'ENOENT', 'EPERM', 'EBUSY'].includes(systemCode(error) ?? '')) throw error
  }
}

/**
 * Finishes what earlier runs began, and removes what was staged for a generation that another one overtook. A staged generation
 * without a receipt is left: its job goes on with it.
 *
 * @returns jobs whose swap was finished
 */
export async function finishSwaps(deps: ClaimDeps, signal: AbortSignal): Promise<string[]> {
  const jobs = new Set<string>()
  for (const { key } of await listAll(deps.store, stagingPrefix(deps.venue), signal)) {
    const staged = parseStagingKey(key)
    if (staged !== undefined) jobs.add(staged.job)
  }
  const finished: string[] = []
  for (const job of jobs) {
    signal.throwIfAborted()
    const receipt = await currentReceipt(deps.store, deps.venue, job)
    if (receipt === undefined || !(await isUnfinished(deps, receipt, signal))) continue
    if (await finishUnderClaim(deps, job, signal)) finished.push(job)
  }
  return finished
}

async function isUnfinished(deps: ClaimDeps, receipt: Receipt, signal: AbortSignal): Promise<boolean> {
  for (let generation = 1; generation <= receipt.generation; generation++) {
    const folder = stagingFolder(deps.venue, receipt.job, generation)
    if ((await listAll(deps.store, folder, signal)).length > 0) return true
  }
  return false
}

/** All merges of one hour or day share a claim: they may want the same jobs. */
export function claimName(job: string): string {
  return isMerge(job) ? job.slice(0, job.lastIndexOf('_')) : job
}

async function finishUnderClaim(deps: ClaimDeps, job: string, signal: AbortSignal): Promise<boolean> {
  const claim = await Claim.take(deps, claimName(job), false, signal)
  if (!(claim instanceof Claim)) return false
  try {
    const receipt = await currentReceipt(deps.store, deps.venue, job)
    return receipt !== undefined && (await finishSwap(deps, claim, receipt, signal))
  } catch (error) {
    if (error instanceof VaultError && error.kind === 'held') return false
    throw error
  } finally {
    await claim.release()
  }
}
