/** One round of conversion: what earlier runs began, what waits in raw/ready (or in the archive), then the tidying. */

import { InvariantBroken } from '../core/assert.ts'
import { forEachAtOnce } from '../core/at-once.ts'
import { VaultError } from '../core/errors.ts'
import { peekSegment } from '../segment/peek.ts'
import { rawReady, rawRejected } from '../storage/keys.ts'
import { listAll } from '../storage/object-store.ts'
import type { SegmentIdentity } from '../table/bindings.ts'
import { jobId } from '../table/part-name.ts'
import type { Receipt } from '../table/receipt.ts'
import { readReceipts, ReceiptCache } from '../table/receipts.ts'
import { listArchive } from './archive.ts'
import { namesSegment } from './batch.ts'
import { planBatches, sizeOf, type Batch, type BatchLimits } from './batch-plan.ts'
import { convertAgain, type AgainReason } from './job-again.ts'
import { KnownSources } from './known-sources.ts'
import { claimTtlMs } from './job-claim.ts'
import type { JobDeps } from './job-commit.ts'
import { convertReady, type JobOutcome, type ReadySegment } from './job.ts'
import { isInRange, keptForSeal, planRound, type HourRange, type ReadyFile, type RoundPlan } from './plan.ts'
import { jobsNamed, keptRaw, type KeptRaw } from './requeue.ts'
import { applyRetention, type Retention } from './retention.ts'
import { TaskQueue } from './run-queue.ts'
import type { EtlReport, EtlSummary } from './run-report.ts'
import { Tally, type Task } from './run-tally.ts'
import { finishSwaps } from './swap.ts'
import { sweepClaims, sweepParts, sweepScratch } from './sweep.ts'

export interface EtlOptions {
  readonly deleteRaw: boolean
  readonly archive: boolean
  readonly retention: Retention
  readonly hours: HourRange
  /** Convert archived segments again instead of ready ones for the first time. */
  readonly fromArchive: boolean
  /** Convert these jobs again instead, or those of these segments, from whatever raw bytes are kept; null: not asked for. */
  readonly requeue: readonly string[] | null
  /** Watch what other workers hold until it is done or theirs no more; false: only when there is nothing else to do. */
  readonly waitForHeld: boolean
  /** Go through all of processed/ for parts that no receipt names. */
  readonly sweep: boolean
  readonly batch: BatchLimits
}

/** What rounds remember of one another: only to spare reads and repeated words. */
export interface EtlMemory {
  readonly sources: KnownSources
  readonly peeks: Map<string, ReadyFile>
  /** Keys already reported as foreign. */
  readonly reported: Set<string>
  /** Something was converted since the archive was last looked through for what is kept no longer. */
  hasArchived: boolean
  /** When it is looked through next, monotonic milliseconds. */
  retainAtMs: number
  /** Asked before each segment: whether it is to be left for now. */
  isResting(label: string): boolean
  /** @returns milliseconds until it is tried again, or null: not by this process */
  failed(label: string): number | null
}

export function makeMemory(): EtlMemory {
  return {
    sources: new KnownSources(),
    peeks: new Map(),
    reported: new Set(),
    hasArchived: false,
    retainAtMs: 0,
    isResting: () => false,
    failed: () => null,
  }
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
  // Of a round that reads them all: they name every part of the vault, and are too many to keep from one round to the next.
  const receipts = new ReceiptCache()
  try {
    for (const job of await finishSwaps(deps, signal)) report.onEvent({ kind: 'swap_finished', job })
    const tasks = await findTasks(deps, options, tally, signal, memory, receipts)
    const held = await runTasks(deps, tasks, false, tally, memory, signal)
    // Whoever holds them may be dead in a way that only time tells.
    const isWaiting = options.waitForHeld || tally.isIdle
    const stillHeld = isWaiting ? await waitFor(deps, held, tally, memory, signal) : held
    tally.reportHeld(stillHeld, memory.reported)
    const isLookDue = memory.hasArchived && deps.clock.monotonicMs() >= memory.retainAtMs
    if (options.sweep || isLookDue) await retain(deps, options, report, memory, signal, receipts)
    if (options.sweep) await sweep(deps, report, memory, signal, receipts)
  } catch (error) {
    if (signal.aborted) tally.isStopped = true
    else {
      // A disk that is full may be so of what is kept too long: what came since the last look is looked at whatever the time.
      if (error instanceof VaultError && error.kind === 'preflight' && (memory.hasArchived || options.sweep))
        await retain(deps, options, report, memory, signal, receipts).catch(() => undefined) // the first error is the one to tell
      throw error
    }
  } finally {
    await deps.files.close()
  }
  return tally.summary()
}

async function findTasks(
  deps: JobDeps,
  options: EtlOptions,
  tally: Tally,
  signal: AbortSignal,
  memory: EtlMemory,
  cache: ReceiptCache,
): Promise<Task[]> {
  const readAll = (): Promise<Receipt[]> => readReceipts(deps.store, deps.venue, signal, { cache })
  if (options.requeue !== null) return requeuedTasks(deps, options.requeue, await readAll(), signal, memory)
  if (options.fromArchive) return archivedTasks(deps, options, await readAll(), signal)
  // Listed before receipts are read: a segment committed in between is then found finished, not new.
  const files = await readReady(deps, memory, signal)
  const { sources } = memory
  if (options.sweep) sources.learnReady(await readAll())
  sources.keepReady(files)
  const plan = await planKnowing(deps, options, files, memory, signal)
  tally.foreign = plan.foreign.length
  for (const file of plan.foreign) {
    if (!memory.reported.has(file.key)) tally.report.onEvent({ kind: 'foreign', file })
    memory.reported.add(file.key)
  }
  return tasksOf(deps, options, plan, signal)
}

/**
 * Whether a segment is converted already turns out under its claim at the latest. Only where raw segments stay is it asked before: those that
 * another worker converted would else be claimed one by one.
 */
async function planKnowing(
  deps: JobDeps,
  options: EtlOptions,
  files: readonly ReadyFile[],
  { sources }: EtlMemory,
  signal: AbortSignal,
): Promise<RoundPlan> {
  const plan = planRound(deps.venue, files, sources.ready, options.hours, options.deleteRaw)
  // Where nothing is due by what is known, nothing is due.
  if (options.deleteRaw || options.sweep || tasksOf(deps, options, plan, signal).length === 0) return plan
  await sources.lookUp(deps, plan.segments, signal)
  return planRound(deps.venue, files, sources.ready, options.hours, options.deleteRaw)
}

function tasksOf(
  deps: JobDeps,
  options: EtlOptions,
  { segments, unfinished }: RoundPlan,
  signal: AbortSignal,
): Task[] {
  const due = planBatches(segments, options.batch, deps.clock.nowMs())
  const alone = unfinished.map((segment): Batch => [segment])
  return [...alone, ...due].map((batch) => readyTask(deps, options, batch, signal))
}

function readyTask(deps: JobDeps, options: EtlOptions, batch: Batch, signal: AbortSignal): Task {
  const [{ label, header }, ...others] = batch
  const tasks = (batches: readonly Batch[]): Task[] =>
    batches.map((each) => readyTask(deps, options, each, signal))
  return {
    label,
    job: jobId(label, header.recorder, header.n),
    sizeBytes: sizeOf(batch),
    objects: batch,
    run: (wait) => convertReady(deps, batch, { ...options, wait }, signal),
    rest(receipt) {
      const left = others.filter((each) => !namesSegment(receipt, identityOf(each)))
      return tasks(planBatches(left, { ...options.batch, isPatient: false }, 0))
    },
    apart: () => tasks(batch.map((segment): Batch => [segment])),
  }
}

function identityOf({ header }: ReadySegment): SegmentIdentity {
  return { recorder: header.recorder, firstN: header.n }
}

/** Each is two or three round trips to a bucket, and little else. */
const peeksAtOnce = 16

/** First and last lines of what lies in raw/ready, read once for each file: sealed segments never change. */
async function readReady(deps: JobDeps, memory: EtlMemory, signal: AbortSignal): Promise<ReadyFile[]> {
  const objects = await listAll(deps.store, rawReady(deps.venue), signal)
  const found: (ReadyFile | undefined)[] = []
  await forEachAtOnce(objects, peeksAtOnce, async (object, i) => {
    const before = memory.peeks.get(object.key)
    if (before?.object.sizeBytes === object.sizeBytes && before.object.modifiedMs === object.modifiedMs) {
      found[i] = before
      return
    }
    signal.throwIfAborted()
    const peek = await peekSegment(deps.store, object, true, signal)
    if (peek !== 'gone') found[i] = { object, peek }
  })
  const files = found.filter((file) => file !== undefined)
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
  const archive = await listArchive(deps.store, deps.venue, signal)
  const archivedKeys = new Map(archive.map(({ label, object }) => [label, object.key]))
  return receipts
    .filter(({ sources }) =>
      sources.some(({ label }) => archivedKeys.has(label) && isInRange(label, options.hours)),
    )
    .map((receipt) => againTask(deps, receipt, archivedKeys, 'improvement', signal))
}

async function requeuedTasks(
  deps: JobDeps,
  names: readonly string[],
  receipts: readonly Receipt[],
  signal: AbortSignal,
  memory: EtlMemory,
): Promise<Task[]> {
  const archive = await listArchive(deps.store, deps.venue, signal)
  const ready = await readReady(deps, memory, signal)
  const rejected = await listAll(deps.store, rawRejected(deps.venue), signal)
  return jobsNamed(receipts, names).map((receipt) =>
    againTask(deps, receipt, keptRaw(receipt, archive, ready, rejected), 'repair', signal),
  )
}

/** A committed job once more, from what is kept of its raw bytes. */
function againTask(
  deps: JobDeps,
  { job, sources }: Receipt,
  kept: KeptRaw,
  reason: AgainReason,
  signal: AbortSignal,
): Task {
  const objects = sources.flatMap(({ label, size_bytes: sizeBytes }) => {
    const key = kept.get(label)
    return key === undefined ? [] : [{ key, sizeBytes, label }]
  })
  const task: Task = {
    label: objects[0]?.label ?? sources[0]?.label ?? job,
    job,
    sizeBytes: sources.reduce((sum, source) => sum + source.size_bytes, 0),
    objects,
    run: (wait) => convertAgain(deps, job, kept, reason, wait, signal),
    rest: () => [],
    apart: () => [task],
  }
  return task
}

/** @returns those that another worker holds */
async function runTasks(
  deps: JobDeps,
  tasks: readonly Task[],
  wait: boolean,
  tally: Tally,
  memory: EtlMemory,
  signal: AbortSignal,
): Promise<Task[]> {
  const held: Task[] = []
  const due = tasks.filter((task) => !memory.isResting(task.label))
  tally.expect(due)
  const queue = new TaskQueue(due, wait ? null : deps.board, deps.worker.writer)
  for (let task = await queue.take(signal); task !== undefined; task = await queue.take(signal)) {
    signal.throwIfAborted()
    deps.files.expect([...task.objects, ...(queue.next()?.objects.slice(0, 1) ?? [])])
    const outcome = await runTask(task, wait, tally, memory, signal)
    if (outcome?.kind === 'held') {
      deps.board.outdate()
      held.push(...task.apart())
    } else if (outcome !== undefined) {
      const rest = task.rest(outcome.receipt)
      tally.undo(rest)
      queue.add(rest)
    }
  }
  return held
}

/** Takes over from the dead, and is there when the living have done; for as long as two claims last. */
async function waitFor(
  deps: JobDeps,
  held: readonly Task[],
  tally: Tally,
  memory: EtlMemory,
  signal: AbortSignal,
): Promise<readonly Task[]> {
  const untilMs = tally.elapsedMs + 2 * claimTtlMs
  let left = held
  while (left.length > 0 && tally.elapsedMs < untilMs)
    left = await runTasks(deps, left, true, tally, memory, signal)
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
    if (outcome.kind !== 'held') {
      memory.sources.learnReady([outcome.receipt])
      memory.sources.learnArchived([outcome.receipt])
      memory.hasArchived = true
    }
    if (outcome.kind === 'converted') reportKept(outcome.receipt, tally, memory)
    return outcome
  } catch (error) {
    if (signal.aborted || error instanceof InvariantBroken) throw error
    tally.failed++
    tally.report.onEvent({ kind: 'failed', label: task.label, error, retryMs: memory.failed(task.label) })
    if (error instanceof VaultError && error.kind === 'preflight') throw error
    return undefined
  }
}

function reportKept(receipt: Receipt, tally: Tally, memory: EtlMemory): void {
  for (const { key, seal_problem: problem } of receipt.sources) {
    if (problem === undefined || memory.reported.has(key)) continue
    memory.reported.add(key)
    tally.report.onEvent({ kind: 'foreign', file: keptForSeal(key, problem) })
  }
}

/** The whole archive is listed for it, which in a bucket is 526 requests for a year of a segment a minute. */
const retainEveryMs = 15 * 60_000

async function retain(
  { store, clock, venue }: JobDeps,
  options: EtlOptions,
  report: EtlReport,
  memory: EtlMemory,
  signal: AbortSignal,
  cache: ReceiptCache,
): Promise<void> {
  if (options.sweep) memory.sources.learnArchived(await readReceipts(store, venue, signal, { cache }))
  for (const key of await applyRetention(store, clock, venue, options.retention, memory.sources, signal))
    report.onEvent({ kind: 'archive_removed', key })
  memory.hasArchived = false
  memory.retainAtMs = clock.monotonicMs() + retainEveryMs
}

async function sweep(
  deps: JobDeps,
  report: EtlReport,
  memory: EtlMemory,
  signal: AbortSignal,
  cache: ReceiptCache,
): Promise<void> {
  const { store, clock, venue, worker } = deps
  const receipts = await readReceipts(store, venue, signal, { cache })
  await sweepScratch(store, clock, worker)
  await sweepClaims(deps, receipts, signal)
  const { orphans, foreign } = await sweepParts(deps, receipts, signal)
  for (const key of orphans) report.onEvent({ kind: 'orphan_removed', key })
  for (const key of foreign) {
    if (!memory.reported.has(key)) report.onEvent({ kind: 'foreign_part', key })
    memory.reported.add(key)
  }
}
