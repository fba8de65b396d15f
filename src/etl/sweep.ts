/** What dead workers left: parts that no receipt names, claims on finished jobs, scratch. Files of others are reported, never touched. */

import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../core/clock.ts'
import { systemCode } from '../core/errors.ts'
import { processed, rawProcessing } from '../storage/keys.ts'
import { listAll, type ObjectStore } from '../storage/object-store.ts'
import type { ProcessIdentity } from '../storage/process-identity.ts'
import { readBindings, type Binding, type SegmentIdentity } from '../table/bindings.ts'
import { parseJobId, parsePartKey } from '../table/part-name.ts'
import { tableNames, type Receipt } from '../table/receipt.ts'
import { currentReceipt } from '../table/receipts.ts'
import { arePartsThere } from '../table/staged.ts'
import { Claim, parseClaimKey, type ClaimDeps, type Worker } from './job-claim.ts'

export interface Swept {
  /** Keys of parts removed: a receipt says their job ended without them. */
  readonly orphans: readonly string[]
  /** Keys under the tables that are none of ours. */
  readonly foreign: readonly string[]
}

/**
 * A part goes only when its name carries the hour and digits of a plan of one of our jobs, its own metadata names that job, and the
 * job's receipt does not name it. Parts of jobs without a receipt may be in the making: they stay.
 *
 * @param receipts read after nothing: they are read again for each part that would go
 */
export async function sweepParts(
  deps: ClaimDeps,
  receipts: readonly Receipt[],
  signal: AbortSignal,
): Promise<Swept> {
  const named = new Set(receipts.flatMap((receipt) => receipt.parts.map((part) => part.key)))
  const orphans: string[] = []
  const foreign: string[] = []
  const plans = new Map<string, readonly Binding[]>()
  const plansOf = async (segment: SegmentIdentity): Promise<readonly Binding[]> => {
    const name = `${segment.recorder}_${segment.firstN}`
    const known = plans.get(name) ?? (await readBindings(deps.store, deps.venue, segment))
    plans.set(name, known)
    return known
  }
  for (const table of tableNames)
    for await (const batch of deps.store.list(`${processed(deps.venue)}${table}/`, signal))
      for (const { key } of batch) {
        if (named.has(key)) continue
        const name = parsePartKey(key)
        if (name === undefined) foreign.push(key)
        else if (await sweepPart(deps, key, name, receipts, plansOf, signal)) orphans.push(key)
      }
  return { orphans, foreign }
}

async function sweepPart(
  deps: ClaimDeps,
  key: string,
  name: { readonly hour: string; readonly digits: string },
  receipts: readonly Receipt[],
  plansOf: (segment: SegmentIdentity) => Promise<readonly Binding[]>,
  signal: AbortSignal,
): Promise<boolean> {
  for (const receipt of receipts) {
    const segment = parseJobId(receipt.job)
    if (segment === undefined || !segment.label.startsWith(`segment_${name.hour}_`)) continue
    const bindings = await plansOf(segment)
    if (!bindings.some((binding) => binding.job === receipt.job && binding.digits === name.digits)) continue
    if (!(await footerNames(deps.store, key, receipt.job, signal))) continue
    return removeOrphan(deps, key, receipt.job, signal)
  }
  return false
}

async function removeOrphan(
  deps: ClaimDeps,
  key: string,
  job: string,
  signal: AbortSignal,
): Promise<boolean> {
  const claim = await Claim.take(deps, job, false, signal)
  if (!(claim instanceof Claim)) return false
  try {
    const current = await currentReceipt(deps.store, deps.venue, job)
    if (current === undefined || current.parts.some((part) => part.key === key)) return false
    // While the current generation is damaged, an earlier one's part may be all there is of its rows.
    if (!(await arePartsThere(deps.store, current))) return false
    claim.assertCurrent()
    return await deps.store.delete(key)
  } finally {
    await claim.release()
  }
}

/** Whether a Parquet file's own metadata holds the job's name. */
async function footerNames(
  store: ObjectStore,
  key: string,
  job: string,
  signal: AbortSignal,
): Promise<boolean> {
  const info = await store.head(key)
  if (info === undefined || info.sizeBytes < 12) return false
  const end = await readAll(store, key, info.sizeBytes - 8, info.sizeBytes, signal)
  const footerBytes = end.readUInt32LE(0)
  if (end.toString('latin1', 4) !== 'PAR1' || footerBytes > info.sizeBytes - 8) return false
  const footer = await readAll(store, key, info.sizeBytes - 8 - footerBytes, info.sizeBytes - 8, signal)
  return footer.includes(job)
}

async function readAll(
  store: ObjectStore,
  key: string,
  from: number,
  until: number,
  signal: AbortSignal,
): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of store.read(key, from, until, signal)) chunks.push(chunk)
  return Buffer.concat(chunks)
}

/** Removes claims that dead workers left on jobs that are committed, or whose segment another job has. @returns how many jobs were cleared */
export async function sweepClaims(
  deps: ClaimDeps,
  receipts: readonly Receipt[],
  signal: AbortSignal,
): Promise<number> {
  const committed = new Set(receipts.map((receipt) => receipt.job))
  const segments = new Set(
    receipts.flatMap(({ sources }) => sources.map(({ recorder, first_n }) => `${recorder}_${first_n}`)),
  )
  const isOver = (job: string): boolean => {
    const segment = parseJobId(job)
    return (
      committed.has(job) || (segment !== undefined && segments.has(`${segment.recorder}_${segment.firstN}`))
    )
  }
  const jobs = new Map<string, string[]>()
  for (const { key } of await listAll(deps.store, rawProcessing(deps.venue), signal)) {
    const job = parseClaimKey(key)
    if (job !== undefined && isOver(job)) jobs.set(job, [...(jobs.get(job) ?? []), key])
  }
  let cleared = 0
  for (const [job, keys] of jobs) {
    const claim = await Claim.take(deps, job, false, signal)
    if (!(claim instanceof Claim)) continue
    // All older than the claim just taken.
    for (const key of keys) await deps.store.delete(key)
    await claim.release()
    cleared++
  }
  return cleared
}

const ownerFile = 'owner.json'
/** A scratch folder without an owner in it was being made, or is as old as this. */
const ownerlessMs = 86_400_000

/** A folder of this worker alone, that others can tell is abandoned once it is dead. The caller removes it. */
export async function openWorkerScratch(store: ObjectStore, worker: Worker): Promise<string> {
  const path = await store.scratch(`etl/${worker.writer}`)
  await mkdir(path, { recursive: true })
  await writeFile(join(path, ownerFile), JSON.stringify(worker.identity))
  return path
}

/** Removes scratch of workers that are provably dead. @returns how many folders */
export async function sweepScratch(store: ObjectStore, clock: Clock, worker: Worker): Promise<number> {
  const parent = await store.scratch('etl')
  let removed = 0
  for (const name of await readdir(parent)) {
    if (name === worker.writer || !(await isAbandoned(join(parent, name), clock, worker))) continue
    await rm(join(parent, name), { recursive: true, force: true })
    removed++
  }
  return removed
}

async function isAbandoned(path: string, clock: Clock, worker: Worker): Promise<boolean> {
  try {
    const identity = JSON.parse(await readFile(join(path, ownerFile), 'utf8')) as ProcessIdentity
    return await worker.isDead(identity)
  } catch (error) {
    if (systemCode(error) !== 'ENOENT' && !(error instanceof SyntaxError)) throw error
    return await isOld(path, clock)
  }
}

/** Its worker may have ended between the listing of its folder and now. */
async function isOld(path: string, clock: Clock): Promise<boolean> {
  try {
    const { mtimeMs } = await stat(path)
    return clock.nowMs() - mtimeMs > ownerlessMs
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return false
    throw error
  }
}
