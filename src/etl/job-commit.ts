/** From a whole segment to a committed receipt: plan, convert, publish, commit. Each step says which crash it survives. */

import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { forEachAtOnce } from '../core/at-once.ts'
import type { Clock } from '../core/clock.ts'
import { VaultError } from '../core/errors.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import type { Binding } from '../table/bindings.ts'
import { partKey } from '../table/part-name.ts'
import type { Receipt, ReceiptPart } from '../table/receipt.ts'
import { commitReceipt, receiptGenerations } from '../table/receipts.ts'
import { stagedPartKey, swapMarkKey } from '../table/staged.ts'
import type { Conversion, ConvertedPart, Convert, ConvertSettings, ConvertSource } from './conversion.ts'
import type { Claim, Worker } from './job-claim.ts'
import { rejectsKey, settlePlan, type PlanTarget } from './job-plan.ts'

export interface JobDeps {
  readonly store: ObjectStore
  readonly clock: Clock
  readonly venue: string
  readonly convert: Convert
  readonly settings: ConvertSettings
  readonly worker: Worker
  /** A folder of this worker alone, where the store wants its unfinished files. */
  readonly scratchDir: string
}

export interface CommitRequest extends PlanTarget {
  readonly source: ConvertSource
  /** What the bytes have to be, where an earlier receipt says so; null when this is the first. */
  readonly expectedSha256: string | null
}

export interface Committed {
  readonly receipt: Receipt
  /** Of the bytes that were read. */
  readonly fileSha256: string
  /** false: another worker's receipt came first, and `receipt` is that one. */
  readonly isOurs: boolean
}

/** Parts are synced one by one; ext4 carries several syncs in one journal commit. */
const partsAtOnce = 8
/** A plan whose names hold other bytes is left for the next; more than this many are not bad luck. */
const plansMax = 4

/** @throws {VaultError} `held` when the claim was lost, `corrupt` when the bytes are not those expected */
export async function convertAndCommit(
  deps: JobDeps,
  claim: Claim,
  request: CommitRequest,
  signal: AbortSignal,
): Promise<Committed> {
  const scratchDir = join(deps.scratchDir, `${request.job}.g${request.receiptGeneration}`)
  try {
    let spent = 0
    for (let attempt = 0; attempt < plansMax; attempt++) {
      const plan = await settlePlan({ ...deps, writer: deps.worker.writer }, claim, request, spent, signal)
      const conversion = await convertInScratch(deps, claim, request, plan, scratchDir, signal)
      // From here on the signal is not asked: abort ends waiting and computing, never half of a commit.
      const committed = await publishAndCommit(deps, claim, request, plan, conversion)
      if (committed !== 'other_bytes') return committed
      spent = plan.generation
    }
    throw new VaultError(
      'corrupt',
      `job ${request.job}: its parts' names hold other bytes, ${plansMax} times over`,
      {
        remedy: 'look for programs that write under processed/, and run "mdv verify"',
      },
    )
  } finally {
    await rm(scratchDir, { recursive: true, force: true })
  }
}

/** Survives a crash by leaving nothing: all it makes lies in scratch. */
async function convertInScratch(
  deps: JobDeps,
  claim: Claim,
  request: CommitRequest,
  plan: Binding,
  scratchDir: string,
  signal: AbortSignal,
): Promise<Conversion> {
  await rm(scratchDir, { recursive: true, force: true })
  await mkdir(scratchDir, { recursive: true })
  const { job, source, segment, expectedSha256 } = request
  const conversion = await convertUnderClaim()
  signal.throwIfAborted()
  if (conversion.recorder !== segment.recorder || conversion.firstN !== segment.firstN)
    throw new VaultError('corrupt', `${source.key}: was replaced while it was read`)
  if (expectedSha256 !== null && conversion.fileSha256 !== expectedSha256)
    throw new VaultError(
      'corrupt',
      `${source.key}: sha256 ${conversion.fileSha256.slice(0, 12)}… ≠ ${expectedSha256.slice(0, 12)}… in the receipt of ${job}`,
      { remedy: 'restore that file from a backup; the committed parts stay as they are' },
    )
  return conversion

  async function convertUnderClaim(): Promise<Conversion> {
    const plans = {
      scratchDir,
      venue: deps.venue,
      job,
      planGeneration: plan.generation,
      partDigits: plan.digits,
    }
    try {
      return await deps.convert(source, plans, AbortSignal.any([signal, claim.signal]))
    } catch (error) {
      // Whoever took over may have brought the segment to its end and its bytes away: then this is no failure.
      claim.assertCurrent()
      throw error
    }
  }
}

async function publishAndCommit(
  deps: JobDeps,
  claim: Claim,
  request: CommitRequest,
  plan: Binding,
  conversion: Conversion,
): Promise<Committed | 'other_bytes'> {
  const receipt = makeReceipt(deps, request, plan, conversion)
  const targetOf = (part: ReceiptPart): string =>
    receipt.generation === 1 ? part.key : stagedPartKey(receipt, part.key)
  if (!(await publishAll(deps, claim, receipt, conversion, targetOf))) return 'other_bytes'
  claim.assertCurrent()
  // A crash before this put leaves parts without a receipt: the next try makes the same bytes under the same names.
  const outcome = await commitReceipt(deps.store, receipt)
  const { fileSha256 } = conversion
  if (outcome.kind === 'committed') return { receipt, fileSha256, isOurs: true }
  const rejects = receipt.rejects_key === null ? [] : [receipt.rejects_key]
  await removeLosing(deps, claim, [...receipt.parts.map(targetOf), ...rejects], receipt)
  return { receipt: outcome.winner, fileSha256, isOurs: false }
}

/** @returns false when one of the names holds other bytes */
async function publishAll(
  deps: JobDeps,
  claim: Claim,
  receipt: Receipt,
  conversion: Conversion,
  targetOf: (part: ReceiptPart) => string,
): Promise<boolean> {
  const { store, venue } = deps
  if (receipt.generation > 1) {
    claim.assertCurrent()
    const mark = Buffer.from(JSON.stringify({ job: receipt.job, generation: receipt.generation }) + '\n')
    await store.putIfAbsent(swapMarkKey(venue, receipt.job, receipt.generation), mark)
  }
  let areOurs = true
  await forEachAtOnce(conversion.parts, partsAtOnce, async (part, i) => {
    if (!areOurs) return
    claim.assertCurrent()
    areOurs = (await publishSame(store, part.path, targetOf(receipt.parts[i]!), part.sha256)) && areOurs
  })
  if (!areOurs || conversion.rejectsPath === null || receipt.rejects_key === null) return areOurs
  claim.assertCurrent()
  const sha256 = await sha256OfFile(conversion.rejectsPath)
  return publishSame(store, conversion.rejectsPath, receipt.rejects_key, sha256)
}

/** Gives a file its name. What has the name already counts as ours only when its bytes are the same: an earlier try made it. */
export async function publishSame(
  store: ObjectStore,
  path: string,
  key: string,
  sha256: string,
): Promise<boolean> {
  if ((await store.publishFile(path, key)) === 'created') return true
  return (await sha256OfObject(store, key, new AbortController().signal)) === sha256
}

/** What the loser published and no receipt of the job names. What it cannot remove now, the sweep removes. */
async function removeLosing(
  deps: JobDeps,
  claim: Claim,
  published: readonly string[],
  losing: Receipt,
): Promise<void> {
  const receipts = await receiptGenerations(deps.store, deps.venue, losing.job)
  const named = new Set(
    receipts.flatMap((receipt) => [
      ...receipt.parts.flatMap((part) => [part.key, stagedPartKey(receipt, part.key)]),
      receipt.rejects_key ?? '',
    ]),
  )
  for (const key of published) {
    if (named.has(key)) continue
    claim.assertCurrent()
    await deps.store.delete(key)
  }
}

function makeReceipt(deps: JobDeps, request: CommitRequest, plan: Binding, conversion: Conversion): Receipt {
  const { job, source, receiptGeneration } = request
  return {
    format: 1,
    job,
    generation: receiptGeneration,
    venue: deps.venue,
    software: plan.software,
    number_type: plan.number_type,
    sources: [
      {
        key: source.key,
        label: source.label,
        recorder: conversion.recorder,
        first_n: conversion.firstN,
        last_n: conversion.lastN,
        lines: conversion.lines.total,
        size_bytes: conversion.sizeBytes,
        file_sha256: conversion.fileSha256,
        seal_sha256: conversion.sealSha256,
        ...(conversion.sealProblem === null ? {} : { seal_problem: conversion.sealProblem }),
        first_recv_ns: nsText(conversion.firstRecvNs),
        last_recv_ns: nsText(conversion.lastRecvNs),
      },
    ],
    parts: receiptParts(deps.venue, job, plan.digits, conversion.parts),
    lines: conversion.lines,
    rejects_key: conversion.rejectsPath === null ? null : rejectsKey(deps.venue, job, plan.generation),
    writer: deps.worker.writer,
    committed_ms: deps.clock.nowMs(),
  }
}

/** Parts with their names, in the order given: the k-th of one partition is its slice k. Pure. */
export function receiptParts(
  venue: string,
  job: string,
  digits: string,
  parts: readonly ConvertedPart[],
): ReceiptPart[] {
  const partition = (part: ConvertedPart): string => `${part.table}/${part.productId}/${part.date}`
  const counts = new Map<string, number>()
  for (const part of parts) counts.set(partition(part), (counts.get(partition(part)) ?? 0) + 1)
  const seen = new Map<string, number>()
  return parts.map((part) => {
    const slice = (seen.get(partition(part)) ?? 0) + 1
    seen.set(partition(part), slice)
    return {
      key: partKey(venue, job, digits, part, counts.get(partition(part)) === 1 ? null : slice),
      table: part.table,
      product_id: part.productId,
      date: part.date,
      rows: part.rows,
      size_bytes: part.sizeBytes,
      sha256: part.sha256,
      min_time_ns: String(part.minTimeNs),
      max_time_ns: String(part.maxTimeNs),
    }
  })
}

function nsText(ns: bigint | null): string | null {
  return ns === null ? null : String(ns)
}

/** @returns undefined when there is no such object */
export async function sha256OfObject(
  store: ObjectStore,
  key: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  const info = await store.head(key)
  if (info === undefined) return undefined
  const hash = createHash('sha256')
  for await (const chunk of store.read(key, 0, info.sizeBytes, signal)) hash.update(chunk)
  return hash.digest('hex')
}

async function sha256OfFile(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer)
  return hash.digest('hex')
}
