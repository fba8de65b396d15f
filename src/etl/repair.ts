/**
 * `mdv segments repair`: a damaged segment under raw/ is put aside whole, and what is good of it is sealed anew, so that it can be converted.
 * Each step named for the crash it survives: the damaged file is copied to raw/rejected (found there again) · the new segment is published
 * under a free label (found by its identity) · the damaged file goes. Bad bytes between good lines stay where they are: conversion rejects
 * them, each with its reason.
 */

import { createHash, randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { VaultError } from '../core/errors.ts'
import type { Seal, SegmentHeader } from '../segment/format.ts'
import { peekSegment } from '../segment/peek.ts'
import { publishSegment } from '../segment/publish.ts'
import { lastCounter } from '../segment/seal-check.ts'
import { writeSealed } from '../segment/reseal.ts'
import type { Disk } from '../storage/disk.ts'
import { isReadySegment, rawReady, rawRejected, readyLabel } from '../storage/keys.ts'
import { listAll, type ObjectInfo } from '../storage/object-store.ts'
import type { ReceiptSource } from '../table/receipt.ts'
import { currentReceipt, readReceipts } from '../table/receipts.ts'
import { archivedBytes, listArchive, type ArchivedSegment } from './archive.ts'
import { jobOf } from './batch.ts'
import { keepObject } from './evidence.ts'
import { Claim, type ClaimDeps } from './job-claim.ts'
import { sha256OfObject } from './publish.ts'
import { damagedEnding } from './requeue.ts'
import { isNewer, surveyRaw, underHeader, type RawSurvey, type SurveyDeps } from './raw-survey.ts'

export interface RepairDeps extends ClaimDeps, SurveyDeps {
  readonly disk: Disk
  /** A folder of this process alone, where the store wants its unfinished files. */
  readonly scratchDir: string
}

/**
 * `resealed`: put aside and sealed anew. `put_aside`: its rows are committed, or it holds no line. `left`: damaged, and nothing can be done here.
 * `foreign`: none of ours. `held`: a worker has it.
 */
export type RepairKind = 'whole' | 'resealed' | 'put_aside' | 'left' | 'foreign' | 'held'

export interface Repair {
  readonly key: string
  readonly kind: RepairKind
  /** What is wrong with it. */
  readonly problem: string
  readonly remedy: string
  /** Where the damaged file is kept; null: it was not touched. */
  readonly keptAs: string | null
  /** The label of what was sealed anew. */
  readonly label: string | null
  readonly goodLines: number
}

export interface RepairOptions {
  /** Labels or keys; empty: all of raw/ready. */
  readonly names: readonly string[]
  readonly isDryRun: boolean
}

/** What is to be done, before anything is. */
interface Plan {
  readonly kind: Exclude<RepairKind, 'held'>
  readonly problem: string
  readonly remedy: string
}

/** @returns one for each file looked at, whole ones too */
export async function repairRaw(
  deps: RepairDeps,
  { names, isDryRun }: RepairOptions,
  signal: AbortSignal,
): Promise<Repair[]> {
  const { store, venue } = deps
  const ready = await listAll(store, rawReady(venue), signal)
  const archive = names.length === 0 ? [] : await listArchive(store, venue, signal)
  const receipts = await readReceipts(store, venue, signal)
  const sources = receipts.flatMap((receipt) => receipt.sources)
  const isNamed = (key: string, label: string): boolean =>
    names.length === 0 || names.includes(key) || names.includes(label)
  const repairs: Repair[] = []
  for (const object of ready)
    if (isNamed(object.key, readyLabel(venue, object.key)))
      repairs.push(await repairReady(deps, object, sources, isDryRun, signal))
  for (const one of archive)
    if (isNamed(one.object.key, one.label))
      repairs.push(await repairArchived(deps, one, sources, isDryRun, signal))
  return repairs
}

async function repairReady(
  deps: RepairDeps,
  object: ObjectInfo,
  sources: readonly ReceiptSource[],
  isDryRun: boolean,
  signal: AbortSignal,
): Promise<Repair> {
  const { key, sizeBytes } = object
  const label = readyLabel(deps.venue, key)
  const survey = await surveyRaw(deps, key, sizeBytes, signal)
  const { header, scan } = survey
  const source = sources.find((each) => each.recorder === header?.recorder && each.first_n === header.n)
  const plan = planOf(deps.venue, key, label, survey, source)
  const repair: Repair = { key, ...plan, keptAs: null, label: null, goodLines: scan.lines }
  if (isDryRun || plan.kind === 'whole' || plan.kind === 'left' || plan.kind === 'foreign') return repair
  const job = await jobOf(deps, label, { recorder: header!.recorder, firstN: header!.n })
  return underClaim(deps, job, repair, signal, async (claim) => {
    // Converted since it was looked at: it is another case now.
    if ((await isConverted(deps, job, header!)) !== (source !== undefined))
      return { ...repair, kind: 'held', remedy: runAgain }
    const keptAs = await putAside(deps, claim, key, survey.fileSha256, signal)
    const isSealed = plan.kind === 'resealed'
    const newLabel = isSealed ? await sealAnew(deps, claim, object, label, survey, signal) : null
    claim.assertCurrent()
    await deps.store.delete(key)
    return { ...repair, keptAs, label: newLabel }
  })
}

const nothing = 'nothing'
const fromBackup = 'restore it from a backup'
const runAgain = 'it changed meanwhile: run this again'

/** Pure. @param source what a receipt says of this very segment */
function planOf(
  venue: string,
  key: string,
  label: string,
  { fileSha256, scan, problems, header, keepUntil }: RawSurvey,
  source: ReceiptSource | undefined,
): Plan {
  const left = (problem: string, remedy: string): Plan => ({ kind: 'left', problem, remedy })
  if (!isReadySegment(venue, label, key))
    return {
      kind: 'foreign',
      problem: 'is not called as a segment of this vault is',
      remedy: 'move it away if it should not be there',
    }
  if (isNewer(scan)) return left(scan.headerProblem!, 'use the newest mdv on this vault')
  const problem = problems.join('; ')
  if (header === null) return left(`${problem}, and no line tells whose it is`, fromBackup)
  if (header.venue !== venue)
    return left(`is of venue ${header.venue}`, `move it to ${rawReady('<its venue>')}`)
  if (source !== undefined) {
    if (fileSha256 !== source.file_sha256)
      return { kind: 'put_aside', problem: 'is not the bytes that were converted', remedy: nothing }
    if (source.seal_problem === undefined) return { kind: 'whole', problem: '', remedy: nothing }
    return { kind: 'put_aside', problem: `is converted, but ${source.seal_problem}`, remedy: nothing }
  }
  if (problems.length === 0) return { kind: 'whole', problem, remedy: nothing }
  const hasLines = scan.lines > 0 || keepUntil > scan.goodUntil
  return hasLines
    ? { kind: 'resealed', problem, remedy: 'mdv etl --once' }
    : { kind: 'put_aside', problem: `${problem}, and it holds no line`, remedy: fromBackup }
}

async function underClaim(
  deps: RepairDeps,
  job: string,
  repair: Repair,
  signal: AbortSignal,
  work: (claim: Claim) => Promise<Repair>,
): Promise<Repair> {
  const claim = await Claim.take(deps, job, false, signal)
  if (!(claim instanceof Claim))
    return { ...repair, kind: 'held', remedy: 'a worker has it: run this again when it is done' }
  try {
    return await work(claim)
  } finally {
    await claim.release()
  }
}

async function isConverted(
  { store, venue }: RepairDeps,
  job: string,
  { recorder, n }: SegmentHeader,
): Promise<boolean> {
  const receipt = await currentReceipt(store, venue, job)
  return receipt?.sources.some((each) => each.recorder === recorder && each.first_n === n) === true
}

async function putAside(
  deps: RepairDeps,
  claim: Claim,
  key: string,
  sha256: string,
  signal: AbortSignal,
): Promise<string> {
  const name = key.slice(key.lastIndexOf('/') + 1)
  const wanted = `${rawRejected(deps.venue)}${name}${damagedEnding(sha256)}`
  return keepObject(deps, claim, wanted, key, sha256, signal)
}

/** @returns its label */
async function sealAnew(
  deps: RepairDeps,
  claim: Claim,
  object: ObjectInfo,
  label: string,
  survey: RawSurvey,
  signal: AbortSignal,
): Promise<string> {
  const before = await publishedBefore(deps, object, survey.header!, signal)
  if (before !== null) return before
  const path = join(deps.scratchDir, randomUUID())
  const said = { repaired: true, ...saidCounter(survey) } as const
  await writeSealed(deps.disk, path, goodOf(deps, object, survey, signal), deps.sequenceOf, said)
  claim.assertCurrent()
  return publishSegment(deps.store, deps.venue, path, label, signal)
}

/** By a try that died before the damaged one was removed. */
async function publishedBefore(
  { store, venue }: RepairDeps,
  object: ObjectInfo,
  { recorder, n }: SegmentHeader,
  signal: AbortSignal,
): Promise<string | null> {
  for (const other of await listAll(store, `${rawReady(venue)}segment_`, signal)) {
    if (other.key === object.key) continue
    const peek = await peekSegment(store, other, true, signal)
    if (peek === 'gone' || peek.seal?.repaired !== true) continue
    if (peek.header?.recorder === recorder && peek.header.n === n) return readyLabel(venue, other.key)
  }
  return null
}

/** Header and lines, the bad ones among them where they stood. */
function goodOf(
  { store }: RepairDeps,
  { key }: ObjectInfo,
  { header, shiftBytes, keepUntil }: RawSurvey,
  signal: AbortSignal,
): AsyncIterable<Buffer> {
  const bytes = store.read(key, 0, keepUntil - (shiftBytes ?? 0), signal)
  return shiftBytes === null ? bytes : underHeader(header!, bytes)
}

/** What the seal that was tells beyond the last good line. */
function saidCounter({ scan }: RawSurvey): Partial<Pick<Seal, 'last_n'>> {
  const last = lastCounter(scan)
  return scan.lastN === null || last === scan.lastN ? {} : { last_n: last }
}

/** Its rows are committed: a damaged copy is worth nothing but as evidence. */
async function repairArchived(
  deps: RepairDeps,
  { object, label }: ArchivedSegment,
  sources: readonly ReceiptSource[],
  isDryRun: boolean,
  signal: AbortSignal,
): Promise<Repair> {
  const { key } = object
  const source = sources.find((each) => each.label === label)
  const whole: Repair = {
    key,
    kind: 'whole',
    problem: '',
    remedy: nothing,
    keptAs: null,
    label: null,
    goodLines: source?.lines ?? 0,
  }
  if (source === undefined)
    return {
      ...whole,
      kind: 'foreign',
      problem: 'no receipt names it',
      remedy: 'move it away if it should not be there',
    }
  const problem = await archiveProblem(deps, key, source, signal)
  if (problem === null) return whole
  const repair: Repair = {
    ...whole,
    kind: 'put_aside',
    problem,
    remedy: 'its rows are in Parquet; it is not archived any more',
  }
  if (isDryRun) return repair
  const job = await jobOf(deps, label, { recorder: source.recorder, firstN: source.first_n })
  return underClaim(deps, job, repair, signal, async (claim) => {
    const sha256 = await sha256OfObject(deps.store, key, signal)
    if (sha256 === undefined) return { ...repair, kind: 'held', remedy: runAgain }
    const keptAs = await putAside(deps, claim, key, sha256, signal)
    claim.assertCurrent()
    await deps.store.delete(key)
    return { ...repair, keptAs }
  })
}

async function archiveProblem(
  { store }: RepairDeps,
  key: string,
  source: ReceiptSource,
  signal: AbortSignal,
): Promise<string | null> {
  const hash = createHash('sha256')
  try {
    await pipeline(await archivedBytes(store, key, source, signal), hash, { signal })
  } catch (error) {
    if (error instanceof VaultError && error.kind === 'corrupt') return error.message
    throw error
  }
  return hash.digest('hex') === source.file_sha256 ? null : 'is not the bytes that were converted'
}
