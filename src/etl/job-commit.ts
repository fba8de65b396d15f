/** From whole segments to a committed receipt: plan, convert, publish, commit. Each step says which crash it survives. */

import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../core/clock.ts'
import { VaultError } from '../core/errors.ts'
import { bindingKey } from '../storage/keys.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import type { Binding, SegmentIdentity } from '../table/bindings.ts'
import { partKey } from '../table/part-name.ts'
import type { Receipt, ReceiptPart, ReceiptSource } from '../table/receipt.ts'
import { commitReceipt, receiptGenerations } from '../table/receipts.ts'
import { stagedPartKey, swapMarkKey } from '../table/staged.ts'
import type {
  Conversion,
  ConvertedPart,
  ConvertedSource,
  Convert,
  ConvertSettings,
  ConvertSource,
} from './conversion.ts'
import type { ClaimBoard } from './claim-board.ts'
import type { Claim, Worker } from './job-claim.ts'
import { rejectsKey, settlePlan, type PlanTarget } from './job-plan.ts'
import { publicationOf, Publisher, type Publication } from './publish.ts'
import type { SourceFiles } from './source-files.ts'

export interface JobDeps {
  readonly store: ObjectStore
  readonly clock: Clock
  readonly venue: string
  readonly convert: Convert
  readonly settings: ConvertSettings
  readonly worker: Worker
  /** A folder of this worker alone, where the store wants its unfinished files. */
  readonly scratchDir: string
  /** Copies lie there too. */
  readonly files: SourceFiles
  readonly board: ClaimBoard
}

/** A segment to be converted, and what is known of it. */
export interface JobSource extends ConvertSource {
  readonly segment: SegmentIdentity
  /** What its bytes have to be, where an earlier receipt says so; null when this is the first. */
  readonly expectedSha256: string | null
}

export interface CommitRequest extends PlanTarget {
  /** What goes into the job by this plan, settled before its first part: the same for whoever follows it. */
  sourcesOf(plan: Binding): Promise<readonly JobSource[]>
}

export interface Committed {
  readonly receipt: Receipt
  /** What was read. */
  readonly sources: readonly ConvertedSource[]
  /** Keys of parts that nobody had put before. */
  readonly created: ReadonlySet<string>
  /** false: another worker's receipt came first, and `receipt` is that one. */
  readonly isOurs: boolean
}

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
      const sources = await request.sourcesOf(plan)
      const committed = await carryOut(deps, claim, request, plan, sources, scratchDir, signal)
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

/** One plan, from scratch files to the receipt. */
async function carryOut(
  deps: JobDeps,
  claim: Claim,
  request: CommitRequest,
  plan: Binding,
  sources: readonly JobSource[],
  scratchDir: string,
  signal: AbortSignal,
): Promise<Committed | 'other_bytes'> {
  const publisher = new Publisher(deps.store, claim)
  const target = { venue: deps.venue, job: request.job, generation: request.receiptGeneration }
  const publications = (parts: readonly ConvertedPart[]): Publication[] =>
    parts.map((part) => {
      const key = keyOfPart(deps.venue, plan, part)
      return {
        path: part.path,
        key: target.generation === 1 ? key : stagedPartKey(target, key),
        sha256: part.sha256,
      }
    })
  // Parts that are to take the place of others wait until the bytes that they come from are known to be the right ones.
  const onParts = (parts: readonly ConvertedPart[]): void => {
    if (target.generation === 1) publisher.add(publications(parts))
  }
  try {
    const conversion = await convertInScratch(deps, claim, plan, sources, scratchDir, onParts, signal).catch(
      async (error: unknown) => {
        // Nothing is committed yet, and readers by glob need not wait for the next try to see the tables as they were.
        await publisher.withdraw()
        throw error
      },
    )
    // From here on the signal is not asked: abort ends waiting and computing, never half of a commit.
    if (target.generation > 1) {
      claim.assertCurrent()
      const mark = Buffer.from(JSON.stringify({ job: target.job, generation: target.generation }) + '\n')
      await deps.store.putIfAbsent(swapMarkKey(target.venue, target.job, target.generation), mark)
      publisher.add(publications(conversion.parts))
    }
    if (conversion.rejectsPath !== null)
      publisher.add([
        await publicationOf(conversion.rejectsPath, rejectsKey(deps.venue, target.job, plan.generation)),
      ])
    if (!(await publisher.end())) return 'other_bytes'
    const committed = await commit(
      deps,
      claim,
      makeReceipt(deps, request, plan, conversion),
      conversion,
      publisher,
    )
    const isAlone = await isLastPlan(deps, request.segment, plan)
    return isAlone ? committed : { ...committed, created: new Set() }
  } finally {
    await publisher.stop()
  }
}

/** Survives a crash by leaving nothing but what `onParts` took: all it makes lies in scratch. */
async function convertInScratch(
  deps: JobDeps,
  claim: Claim,
  plan: Binding,
  sources: readonly JobSource[],
  scratchDir: string,
  onParts: (parts: readonly ConvertedPart[]) => void,
  signal: AbortSignal,
): Promise<Conversion> {
  await rm(scratchDir, { recursive: true, force: true })
  await mkdir(scratchDir, { recursive: true })
  const plans = {
    scratchDir,
    venue: deps.venue,
    job: plan.job,
    planGeneration: plan.generation,
    partDigits: plan.digits,
    onParts,
  }
  const conversion = await deps
    .convert(sources, plans, AbortSignal.any([signal, claim.signal]))
    .catch((error: unknown) => {
      // Whoever took over may have brought the segments to their end and their bytes away: then this is no failure.
      claim.assertCurrent()
      throw error
    })
  for (const [i, source] of sources.entries()) refuseOther(plan.job, source, conversion.sources[i]!)
  return conversion
}

function refuseOther(job: string, { key, segment, expectedSha256 }: JobSource, found: ConvertedSource): void {
  if (found.recorder !== segment.recorder || found.firstN !== segment.firstN)
    throw new VaultError('corrupt', `${key}: was replaced while it was read`)
  if (expectedSha256 === null || found.fileSha256 === expectedSha256) return
  throw new VaultError(
    'corrupt',
    `${key}: sha256 ${found.fileSha256.slice(0, 12)}… ≠ ${expectedSha256.slice(0, 12)}… in the receipt of ${job}`,
    { remedy: 'restore that file from a backup; the committed parts stay as they are' },
  )
}

/** Whoever removes parts of a plan has bound the next one before: while there is none, what was put is there. */
async function isLastPlan(
  { store, venue }: JobDeps,
  segment: SegmentIdentity,
  plan: Binding,
): Promise<boolean> {
  const { recorder, firstN } = segment
  return (await store.get(bindingKey(venue, recorder, firstN, plan.generation + 1))) === undefined
}

async function commit(
  deps: JobDeps,
  claim: Claim,
  receipt: Receipt,
  { sources }: Conversion,
  { created }: Publisher,
): Promise<Committed> {
  claim.assertCurrent()
  // A crash before this put leaves parts without a receipt: the next try makes the same bytes under the same names.
  const outcome = await commitReceipt(deps.store, receipt)
  if (outcome.kind === 'committed') return { receipt, sources, created, isOurs: true }
  const rejects = receipt.rejects_key === null ? [] : [receipt.rejects_key]
  const published = receipt.parts.map(({ key }) =>
    receipt.generation === 1 ? key : stagedPartKey(receipt, key),
  )
  await removeLosing(deps, claim, [...published, ...rejects], receipt)
  return { receipt: outcome.winner, sources, created: new Set(), isOurs: false }
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
  const { job, receiptGeneration } = request
  return {
    format: 1,
    job,
    generation: receiptGeneration,
    venue: deps.venue,
    software: plan.software,
    number_type: plan.number_type,
    sources: conversion.sources.map(receiptSource),
    parts: conversion.parts.map((part) => receiptPart(deps.venue, plan, part)),
    lines: conversion.lines,
    rejects_key: conversion.rejectsPath === null ? null : rejectsKey(deps.venue, job, plan.generation),
    writer: deps.worker.writer,
    committed_ms: deps.clock.nowMs(),
  }
}

function receiptSource(source: ConvertedSource): ReceiptSource {
  return {
    key: source.key,
    label: source.label,
    recorder: source.recorder,
    first_n: source.firstN,
    last_n: source.lastN,
    lines: source.lines,
    size_bytes: source.sizeBytes,
    file_sha256: source.fileSha256,
    seal_sha256: source.sealSha256,
    ...(source.sealProblem === null ? {} : { seal_problem: source.sealProblem }),
    first_recv_ns: nsText(source.firstRecvNs),
    last_recv_ns: nsText(source.lastRecvNs),
  }
}

function keyOfPart(venue: string, plan: Binding, part: ConvertedPart): string {
  return partKey(venue, plan.job, plan.digits, part, part.slice)
}

function receiptPart(venue: string, plan: Binding, part: ConvertedPart): ReceiptPart {
  return {
    key: keyOfPart(venue, plan, part),
    table: part.table,
    product_id: part.productId,
    date: part.date,
    rows: part.rows,
    size_bytes: part.sizeBytes,
    sha256: part.sha256,
    min_time_ns: String(part.minTimeNs),
    max_time_ns: String(part.maxTimeNs),
  }
}

function nsText(ns: bigint | null): string | null {
  return ns === null ? null : String(ns)
}
