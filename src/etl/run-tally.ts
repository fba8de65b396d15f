/** Counts of one round, and its words to whoever listens. */

import type { TableName, Receipt } from '../table/receipt.ts'
import type { JobDeps } from './job-commit.ts'
import type { JobOutcome } from './job.ts'
import type { SourceObject } from './source-files.ts'
import type { EtlReport, EtlSummary } from './run-report.ts'

/** One thing to bring to its end. */
export interface Task {
  readonly label: string
  readonly sizeBytes: number
  /** What will be read for it. */
  readonly objects: readonly SourceObject[]
  /** The job that it is, if nobody has bound its segments otherwise. */
  readonly job: string
  run(wait: boolean): Promise<JobOutcome>
  /** What is left of it when a job went another way. */
  rest(receipt: Receipt): readonly Task[]
  /** The same one by one. */
  apart(): readonly Task[]
}

export class Tally {
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
  reportHeld(tasks: readonly Task[], reported: Set<string>): void {
    this.#held = tasks.length
    for (const { label } of tasks) {
      const by = this.#holders.get(label) ?? null
      if (reported.has(`${label} ${by}`)) continue
      reported.add(`${label} ${by}`)
      this.report.onEvent({ kind: 'held', label, by })
    }
  }

  get isIdle(): boolean {
    return this.#segments === 0
  }

  expect(tasks: readonly Task[]): void {
    this.#doneSegments = 0
    this.#doneBytes = 0
    this.#totalSegments = tasks.reduce((sum, { objects }) => sum + objects.length, 0)
    this.#totalBytes = tasks.reduce((sum, task) => sum + task.sizeBytes, 0)
  }

  /** What was counted as done with another, and is not. */
  undo(tasks: readonly Task[]): void {
    for (const { objects, sizeBytes } of tasks) {
      this.#doneSegments -= objects.length
      this.#doneBytes -= sizeBytes
    }
  }

  begin(task: Task): number {
    this.#progress(task.label)
    return this.#clock.monotonicMs()
  }

  end(task: Task, outcome: JobOutcome, startMs: number): void {
    this.#doneSegments += task.objects.length
    this.#doneBytes += task.sizeBytes
    this.#progress(task.label)
    const { label } = task
    if (outcome.kind === 'held') return this.report.onEvent({ kind: 'held', label, by: holderWords(outcome) })
    const { kind, receipt } = outcome
    const sizeBytes = receipt.sources.reduce((sum, source) => sum + source.size_bytes, 0)
    const elapsedMs = this.#clock.monotonicMs() - startMs
    this.report.onEvent({ kind, label, receipt, sizeBytes, elapsedMs })
    if (kind === 'finished') this.#finished++
    else this.#count(receipt, sizeBytes)
  }

  #count(receipt: Receipt, sizeBytes: number): void {
    this.#segments += receipt.sources.length
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
