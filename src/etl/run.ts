/** One round of conversion: what earlier runs began, what waits in raw/ready (or in the archive), then the tidying. */

import { InvariantBroken } from '../core/assert.ts'
import { VaultError } from '../core/errors.ts'
import { peekSegment, type SegmentPeek } from '../segment/peek.ts'
import { rawReady } from '../storage/keys.ts'
import { listAll } from '../storage/object-store.ts'
import type { Receipt, TableName } from '../table/receipt.ts'
import { readReceipts, type ReceiptCache } from '../table/receipts.ts'
import { listArchive } from './archive.ts'
import { convertAgain } from './job-again.ts'
import { claimTtlMs } from './job-claim.ts'
import type { JobDeps } from './job-commit.ts'
import { convertReady, type JobOutcome } from './job.ts'
import { isInRange, planRound, type ForeignFile, type HourRange, type ReadyFile } from './plan.ts'
import { applyRetention, type Retention } from './retention.ts'
import { finishSwaps } from './swap.ts'
import { sweepClaims, sweepParts, sweepScratch } from './sweep.ts'

export interface EtlOptions {
  readonly deleteRaw: boolean
  readonly archive: boolean
  readonly retention: Retention
  readonly hours: HourRange
  /** Convert archived segments again instead of ready ones for the first time. */
  readonly fromArchive: boolean
  /** Watch what other workers hold until it is done or theirs no more; false: only when there is nothing else to do. */
  readonly waitForHeld: boolean
  /** Go through all of processed/ for parts that no receipt names. */
  readonly sweep: boolean
}

export type EtlEvent =
  | {
      readonly kind: 'converted' | 'finished'
      readonly label: string
      readonly receipt: Receipt
      readonly sizeBytes: number
      readonly elapsedMs: number
    }
  | { readonly kind: 'held'; readonly label: string; readonly by: string | null }
  | {
      readonly kind: 'failed'
      readonly label: string
      readonly error: unknown
      readonly retryMs: number | null
    }
  | { readonly kind: 'foreign'; readonly file: ForeignFile }
  | { readonly kind: 'foreign_part' | 'orphan_removed' | 'archive_removed'; readonly key: string }
  | { readonly kind: 'swap_finished'; readonly job: string }

export interface EtlProgress {
  readonly label: string
  readonly doneSegments: number
  readonly totalSegments: number
  readonly doneBytes: number
  readonly totalBytes: number
  readonly elapsedMs: number
}

export interface EtlReport {
  onEvent(event: EtlEvent): void
  /** Before each segment and after the last. */
  onProgress(progress: EtlProgress): void
}

export interface EtlSummary {
  /** Committed in this round. */
  readonly segments: number
  /** Committed before, or by another worker; cleaned up in this round. */
  readonly finished: number
  readonly held: number
  readonly failed: number
  readonly foreign: number
  readonly lines: number
  readonly rejected: number
  readonly rows: Readonly<Record<TableName, number>>
  readonly parts: number
  readonly bytesIn: number
  readonly bytesOut: number
  readonly elapsedMs: number
  /** A signal ended it before all was done. */
  readonly isStopped: boolean
}

/** What rounds remember of one another: only to spare reads and repeated words. */
export interface EtlMemory {
  readonly receipts: ReceiptCache
  readonly peeks: Map<string, ReadyFile>
  /** Keys already reported as foreign. */
  readonly reported: Set<string>
  /** Asked before each segment: whether it is to be left for now. */
  isResting(label: string): boolean
  /** @returns milliseconds until it is tried again, or null: not by this process */
  failed(label: string): number | null
}

export function makeMemory(): EtlMemory {
  return {
    receipts: new Map(),
    peeks: new Map(),
    reported: new Set(),
    isResting: () => false,
    failed: () => null,
  }
}

/** One thing to bring to its end. */
interface Task {
  readonly label: string
  readonly sizeBytes: number
  run(wait: boolean): Promise<JobOutcome>
}

/**
 * Brings every segment in range to its end, oldest first; a segment that fails is reported and the others go on.
 *
 * @throws {VaultError} `preflight` when the machine refuses (disk full, no permission): no segment would fare better
 */
export async function runEtlOnce(
  deps: JobDeps,
  options: EtlOptions,
  report: EtlReport,
  signal: AbortSignal,
  memory: EtlMemory = makeMemory(),
): Promise<EtlSummary> {
  const tally = new Tally(deps, report)
  try {
    for (const job of await finishSwaps(deps, signal)) report.onEvent({ kind: 'swap_finished', job })
    const tasks = await findTasks(deps, options, tally, signal, memory)
    const held = await runTasks(tasks, false, tally, memory, signal)
    // Whoever holds them may be dead in a way that only time tells.
    const isWaiting = options.waitForHeld || tally.isIdle
    const stillHeld = isWaiting ? await waitFor(held, tally, memory, signal) : held
    tally.reportHeld(stillHeld, memory)
    await tidy(deps, options, report, memory, signal)
  } catch (error) {
    if (!signal.aborted) throw error
    tally.isStopped = true
  }
  return tally.summary()
}

async function findTasks(
  deps: JobDeps,
  options: EtlOptions,
  tally: Tally,
  signal: AbortSignal,
  memory: EtlMemory,
): Promise<Task[]> {
  // Listed before receipts are read: a segment committed in between is then found finished, not new.
  const files = options.fromArchive ? [] : await readReady(deps, memory, signal)
  const receipts = await readReceipts(deps.store, deps.venue, signal, memory.receipts)
  if (options.fromArchive) return archivedTasks(deps, options, receipts, signal)
  const plan = planRound(deps.venue, files, receipts, options.hours, options.deleteRaw)
  tally.foreign = plan.foreign.length
  for (const file of plan.foreign) {
    if (!memory.reported.has(file.key)) tally.report.onEvent({ kind: 'foreign', file })
    memory.reported.add(file.key)
  }
  return plan.segments.map((segment) => ({
    label: segment.label,
    sizeBytes: segment.sizeBytes,
    run: (wait) => convertReady(deps, segment, { ...options, wait }, signal),
  }))
}

/** First and last lines of what lies in raw/ready, read once for each file: sealed segments never change. */
async function readReady(deps: JobDeps, memory: EtlMemory, signal: AbortSignal): Promise<ReadyFile[]> {
  const objects = await listAll(deps.store, rawReady(deps.venue), signal)
  const files: ReadyFile[] = []
  for (const object of objects) {
    const before = memory.peeks.get(object.key)
    if (before?.object.sizeBytes === object.sizeBytes && before.object.modifiedMs === object.modifiedMs) {
      files.push(before)
      continue
    }
    const peek: SegmentPeek | 'gone' = await peekSegment(deps.store, object, true, signal)
    if (peek !== 'gone') files.push({ object, peek })
  }
  memory.peeks.clear()
  for (const file of files) memory.peeks.set(file.object.key, file)
  return files
}

async function archivedTasks(
  deps: JobDeps,
  options: EtlOptions,
  receipts: readonly Receipt[],
  signal: AbortSignal,
): Promise<Task[]> {
  const byLabel = new Map(
    receipts.flatMap((receipt) => receipt.sources.map((source) => [source.label, { receipt, source }])),
  )
  const tasks: Task[] = []
  for (const { object, label } of await listArchive(deps.store, deps.venue, signal)) {
    const found = byLabel.get(label)
    if (found === undefined || !isInRange(label, options.hours)) continue
    tasks.push({
      label,
      sizeBytes: found.source.size_bytes,
      run: (wait) => convertAgain(deps, found.receipt.job, object.key, wait, signal),
    })
  }
  return tasks
}

/** @returns those that another worker holds */
async function runTasks(
  tasks: readonly Task[],
  wait: boolean,
  tally: Tally,
  memory: EtlMemory,
  signal: AbortSignal,
): Promise<Task[]> {
  const held: Task[] = []
  const due = tasks.filter((task) => !memory.isResting(task.label))
  tally.expect(due)
  for (const task of due) {
    signal.throwIfAborted()
    const outcome = await runTask(task, wait, tally, memory, signal)
    if (outcome?.kind === 'held') held.push(task)
  }
  return held
}

/** Takes over from the dead, and is there when the living have done; for as long as two claims last. */
async function waitFor(
  held: readonly Task[],
  tally: Tally,
  memory: EtlMemory,
  signal: AbortSignal,
): Promise<readonly Task[]> {
  const untilMs = tally.elapsedMs + 2 * claimTtlMs
  let left = held
  while (left.length > 0 && tally.elapsedMs < untilMs)
    left = await runTasks(left, true, tally, memory, signal)
  return left
}

async function runTask(
  task: Task,
  wait: boolean,
  tally: Tally,
  memory: EtlMemory,
  signal: AbortSignal,
): Promise<JobOutcome | undefined> {
  const startMs = tally.begin(task)
  try {
    const outcome = await task.run(wait)
    tally.end(task, outcome, startMs)
    return outcome
  } catch (error) {
    if (signal.aborted || error instanceof InvariantBroken) throw error
    tally.failed++
    tally.report.onEvent({ kind: 'failed', label: task.label, error, retryMs: memory.failed(task.label) })
    if (error instanceof VaultError && error.kind === 'preflight') throw error
    return undefined
  }
}

async function tidy(
  deps: JobDeps,
  options: EtlOptions,
  report: EtlReport,
  memory: EtlMemory,
  signal: AbortSignal,
): Promise<void> {
  const { store, clock, venue, worker } = deps
  const receipts = await readReceipts(store, venue, signal, memory.receipts)
  for (const key of await applyRetention(store, clock, venue, options.retention, receipts, signal))
    report.onEvent({ kind: 'archive_removed', key })
  if (!options.sweep) return
  await sweepScratch(store, clock, worker)
  await sweepClaims(deps, receipts, signal)
  const { orphans, foreign } = await sweepParts(deps, receipts, signal)
  for (const key of orphans) report.onEvent({ kind: 'orphan_removed', key })
  for (const key of foreign) {
    if (!memory.reported.has(key)) report.onEvent({ kind: 'foreign_part', key })
    memory.reported.add(key)
  }
}

/** Counts of one round. */
class Tally {
  readonly report: EtlReport
  readonly #clock: JobDeps['clock']
  readonly #startMs: number
  readonly #rows: Record<TableName, number> = { ticker: 0, level2: 0, market_trades: 0, other: 0 }
  #segments = 0
  #finished = 0
  #lines = 0
  #rejected = 0
  #parts = 0
  #bytesIn = 0
  #bytesOut = 0
  #doneSegments = 0
  #doneBytes = 0
  #totalSegments = 0
  #totalBytes = 0
  readonly #holders = new Map<string, string | null>()
  #held = 0
  failed = 0
  foreign = 0
  isStopped = false

  constructor(deps: JobDeps, report: EtlReport) {
    this.report = report
    this.#clock = deps.clock
    this.#startMs = deps.clock.monotonicMs()
  }

  get elapsedMs(): number {
    return this.#clock.monotonicMs() - this.#startMs
  }

  /** Each holder once, not each round. */
  reportHeld(tasks: readonly Task[], memory: EtlMemory): void {
    this.#held = tasks.length
    for (const { label } of tasks) {
      const by = this.#holders.get(label) ?? null
      if (memory.reported.has(`${label} ${by}`)) continue
      memory.reported.add(`${label} ${by}`)
      this.report.onEvent({ kind: 'held', label, by })
    }
  }

  get isIdle(): boolean {
    return this.#segments === 0
  }

  expect(tasks: readonly Task[]): void {
    this.#doneSegments = 0
    this.#doneBytes = 0
    this.#totalSegments = tasks.length
    this.#totalBytes = tasks.reduce((sum, task) => sum + task.sizeBytes, 0)
  }

  begin(task: Task): number {
    this.#progress(task.label)
    return this.#clock.monotonicMs()
  }

  end(task: Task, outcome: JobOutcome, startMs: number): void {
    this.#doneSegments++
    this.#doneBytes += task.sizeBytes
    this.#progress(task.label)
    const { label, sizeBytes } = task
    if (outcome.kind === 'held') return this.report.onEvent({ kind: 'held', label, by: holderWords(outcome) })
    const { kind, receipt } = outcome
    const elapsedMs = this.#clock.monotonicMs() - startMs
    this.report.onEvent({ kind, label, receipt, sizeBytes, elapsedMs })
    if (kind === 'finished') this.#finished++
    else this.#count(receipt, sizeBytes)
  }

  #count(receipt: Receipt, sizeBytes: number): void {
    this.#segments++
    this.#bytesIn += sizeBytes
    this.#lines += receipt.lines.total
    this.#rejected += receipt.lines.rejected
    this.#parts += receipt.parts.length
    for (const part of receipt.parts) {
      this.#bytesOut += part.size_bytes
      this.#rows[part.table] += part.rows
    }
  }

  #progress(label: string): void {
    this.report.onProgress({
      label,
      doneSegments: this.#doneSegments,
      totalSegments: this.#totalSegments,
      doneBytes: this.#doneBytes,
      totalBytes: this.#totalBytes,
      elapsedMs: this.elapsedMs,
    })
  }

  summary(): EtlSummary {
    return {
      segments: this.#segments,
      finished: this.#finished,
      held: this.#held,
      failed: this.failed,
      foreign: this.foreign,
      lines: this.#lines,
      rejected: this.#rejected,
      rows: { ...this.#rows },
      parts: this.#parts,
      bytesIn: this.#bytesIn,
      bytesOut: this.#bytesOut,
      elapsedMs: this.elapsedMs,
      isStopped: this.isStopped,
    }
  }
}

function holderWords(outcome: JobOutcome): string | null {
  if (outcome.kind !== 'held' || outcome.by === null) return null
  return `${outcome.by.purpose}, process ${outcome.by.pid} on ${outcome.by.host}`
}
