/** `mdv verify`: proves from receipts and data that every line is accounted for once. Reads everything it proves. */

import { join } from 'node:path'
import type { ObjectStore } from '../../storage/object-store.ts'
import { readAdoptedFiles } from '../../table/adopted.ts'
import { readReceipts } from '../../table/receipts.ts'
import type { Receipt } from '../../table/receipt.ts'
import { isVanishedPart } from '../engine.ts'
import { error, type Finding } from './finding.ts'
import type { VaultError } from '../../core/errors.ts'
import { joinSegments, listRaw, type SegmentEntry } from '../segments.ts'
import { checkParts, type PartPaths } from './parts.ts'
import { checkRawSegment, checkRawChain, type RawFacts } from './raw.ts'
import { checkAdopted, checkReceipts } from './receipts.ts'
import { readRejects } from './rejects.ts'
import { RowChecker } from './rows.ts'
import { checkStrays, listStrays } from './strays.ts'

export interface VerifyOptions {
  /** Only segments with a line received on or after this UTC date; null: all. */
  readonly since: string | null
  /** Rebuilds every frame of a job whose raw segment is kept, and compares; null: not asked for. */
  readonly rebuild: RebuildCheck | null
  /** The venue's number of a frame; -1: it has none. */
  readonly sequenceOf: (frame: Buffer) => number
  readonly memoryLimitMb: number
  readonly onFinding: (finding: Finding) => Promise<void>
  readonly onProgress: (done: number, total: number, what: string) => void
}

export type RebuildCheck = (
  store: ObjectStore,
  receipt: Receipt,
  paths: PartPaths,
  raw: SegmentEntry,
  signal: AbortSignal,
) => Promise<{ readonly frames: number; readonly findings: readonly Finding[] }>

export interface VerifySummary {
  readonly receipts: number
  readonly parts: number
  readonly rows: number
  readonly lines: number
  readonly rejected: number
  readonly rawSegments: number
  readonly framesRebuilt: number
  readonly errors: number
  readonly warnings: number
}

/** @returns counts of what was proved; findings go to `onFinding` as they are made */
export async function verifyVault(
  store: ObjectStore,
  venue: string,
  options: VerifyOptions,
  signal: AbortSignal,
): Promise<VerifySummary> {
  const strays = await listStrays(store, venue, signal)
  const adopted = await readAdoptedFiles(store, venue, signal)
  const raw = await listRaw(store, venue, signal)
  const damaged: VaultError[] = []
  const everyReceipt = await readReceipts(store, venue, signal, new Map(), (each) => damaged.push(each))
  const everySegment = joinSegments(raw, everyReceipt)
  const tally = new Tally(options.onFinding)

  await tally.add(damaged.map(damagedReceipt))
  await tally.add(checkReceipts(everyReceipt, everySegment))
  await tally.add(checkAdopted(adopted, everySegment))
  await tally.add(checkStrays(strays, everyReceipt, everySegment))
  const segments = everySegment.filter((entry) => isSince(entry, options.since))
  const receipts = [...new Set(segments.flatMap((entry) => (entry.receipt === null ? [] : [entry.receipt])))]
  const rawSegments = await verifyRaw(store, segments, tally, options, signal)
  const framesRebuilt = await verifyReceipts(store, receipts, segments, tally, options, signal)
  return {
    receipts: receipts.length,
    parts: sum(receipts, (receipt) => receipt.parts.length),
    rows: sum(receipts, (receipt) => sum(receipt.parts, (part) => part.rows)),
    lines: sum(receipts, (receipt) => receipt.lines.total),
    rejected: sum(receipts, (receipt) => receipt.lines.rejected),
    rawSegments,
    framesRebuilt,
    errors: tally.errors,
    warnings: tally.warnings,
  }
}

async function verifyRaw(
  store: ObjectStore,
  segments: readonly SegmentEntry[],
  tally: Tally,
  options: VerifyOptions,
  signal: AbortSignal,
): Promise<number> {
  const present = segments.filter((entry) => entry.rawKey !== null && entry.state !== 'active')
  const facts: RawFacts[] = []
  for (const [i, entry] of present.entries()) {
    signal.throwIfAborted()
    options.onProgress(i, present.length, `segment ${entry.label}`)
    const checked = await checkRawSegment(store, entry, options.sequenceOf, signal)
    await tally.add(checked.findings)
    if (checked.facts !== null) facts.push(checked.facts)
  }
  await tally.add(checkRawChain(facts, segments))
  return present.length
}

async function verifyReceipts(
  store: ObjectStore,
  receipts: readonly Receipt[],
  segments: readonly SegmentEntry[],
  tally: Tally,
  options: VerifyOptions,
  signal: AbortSignal,
): Promise<number> {
  const kept = new Map<string, SegmentEntry[]>()
  for (const entry of segments)
    if (entry.rawKey !== null && entry.receipt !== null)
      kept.set(entry.receipt.job, [...(kept.get(entry.receipt.job) ?? []), entry])
  const spill = join(await store.scratch('verify'), 'spill')
  using checker = await RowChecker.open(options.memoryLimitMb, spill)
  let framesRebuilt = 0
  for (const [i, receipt] of receipts.entries()) {
    signal.throwIfAborted()
    options.onProgress(i, receipts.length, `job ${receipt.job}`)
    const raws = kept.get(receipt.job) ?? []
    const checked = await verifyReceipt(store, receipt, raws, checker, options, signal)
    framesRebuilt += checked.frames
    await tally.add(checked.findings)
  }
  return framesRebuilt
}

interface CheckedReceipt {
  readonly findings: readonly Finding[]
  readonly frames: number
}

/** @returns nothing found for a receipt that a later generation replaced while it was looked at */
async function verifyReceipt(
  store: ObjectStore,
  receipt: Receipt,
  raws: readonly SegmentEntry[],
  checker: RowChecker,
  options: VerifyOptions,
  signal: AbortSignal,
): Promise<CheckedReceipt> {
  for (let isLast = false; ; isLast = true) {
    try {
      return await verifyOnce(store, receipt, raws, checker, options, signal)
    } catch (thrown) {
      // A part that took its place, or was replaced, between two looks: look again.
      if (isLast || !isVanishedPart(thrown)) throw thrown
    }
  }
}

async function verifyOnce(
  store: ObjectStore,
  receipt: Receipt,
  raws: readonly SegmentEntry[],
  checker: RowChecker,
  options: VerifyOptions,
  signal: AbortSignal,
): Promise<CheckedReceipt> {
  const parts = await checkParts(store, receipt, raws.length > 0, signal)
  if (parts === 'superseded') return { findings: [], frames: 0 }
  await using checked = parts
  const { rejects, findings } = await readRejects(store, receipt)
  // Rows of damaged parts are not counted: what is wrong with them is already said.
  if (checked.findings.length > 0) return { findings: [...checked.findings, ...findings], frames: 0 }
  const accounted = [...findings, ...(await checker.check(receipt, checked.paths, rejects))]
  if (options.rebuild === null || accounted.length > 0) return { findings: accounted, frames: 0 }
  let frames = 0
  const differing: Finding[] = []
  for (const raw of raws) {
    // The files are there until it is done.
    const rebuilt = await options.rebuild(store, receipt, checked.paths, raw, signal)
    frames += rebuilt.frames
    differing.push(...rebuilt.findings)
  }
  return { findings: differing, frames }
}

/** What it alone knew of is told further on as missing: that goes away with it. */
function damagedReceipt({ message, remedy }: VaultError): Finding {
  const [key, ...words] = message.split(': ')
  return error('receipt_damaged', key!, words.join(': '), remedy ?? 'restore it from a backup')
}

function isSince(entry: SegmentEntry, since: string | null): boolean {
  if (since === null) return true
  const hour = /^segment_(\d{4})(\d{2})(\d{2})T/.exec(entry.label)
  // A label's hour is when a segment was opened; it holds lines of the next hour at most.
  return hour === null || `${hour[1]}-${hour[2]}-${hour[3]}` >= since
}

class Tally {
  readonly #onFinding: (finding: Finding) => Promise<void>
  errors = 0
  warnings = 0

  constructor(onFinding: (finding: Finding) => Promise<void>) {
    this.#onFinding = onFinding
  }

  async add(findings: readonly Finding[]): Promise<void> {
    for (const finding of findings) {
      if (finding.severity === 'error') this.errors++
      else this.warnings++
      await this.#onFinding(finding)
    }
  }
}

function sum<T>(items: readonly T[], of: (item: T) => number): number {
  return items.reduce((total, item) => total + of(item), 0)
}
