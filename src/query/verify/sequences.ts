/**
 * Sequence numbers against gap rows: within a connection each number is there, or a gap names it as missing; and no gap names numbers that
 * are there. What is looked at are rows, so that it holds when the raw bytes are long gone. Pure.
 */

import { error, type Finding } from './finding.ts'

/** Frames of one connection, in the order of their lines, whose numbers follow one another. Late ones and repeated ones end no run. */
export interface SequenceRun {
  readonly recorder: string
  readonly conn: string
  /** Lines of its first and last numbered frame. */
  readonly firstN: number
  readonly lastN: number
  /** Of its first frame, and the greatest. */
  readonly firstSequence: number
  readonly lastSequence: number
  /**
   * Something stands before its first frame (or where a gap before it would be named), or behind its last, that may have held any number: a
   * reject, a frame without a number.
   */
  readonly isAfterUnknown: boolean
  readonly isBeforeUnknown: boolean
}

/** What an event says is missing: `after` < number < `before`; -1: from the connection's start; null: everything behind `after`. */
export interface NamedGap {
  readonly recorder: string
  readonly conn: string
  readonly n: number
  readonly after: number
  readonly before: number | null
}

/** Lines of a recorder that are all accounted for, both ends included. */
export interface LineSpan {
  readonly recorder: string
  readonly firstN: number
  readonly lastN: number
}

/** What one job, or one segment that waits for its job, shows of its connections. */
export interface SequenceFacts {
  readonly runs: readonly SequenceRun[]
  readonly gaps: readonly NamedGap[]
  readonly known: readonly LineSpan[]
}

export const noFacts: SequenceFacts = { runs: [], gaps: [], known: [] }

const askForHelp = 'keep the vault as it is and report this: a recorder should never do it'

/** @param exempt recorders that kept no account of gaps: files of other tools that were adopted */
export function checkSequences(facts: readonly SequenceFacts[], exempt: ReadonlySet<string>): Finding[] {
  const counts = ({ recorder }: { readonly recorder: string }): boolean => !exempt.has(recorder)
  const gaps = byConnection(facts.flatMap((each) => each.gaps))
  const known = new KnownLines(facts.flatMap((each) => each.known))
  return [...byConnection(facts.flatMap((each) => each.runs).filter(counts))].flatMap(([conn, runs]) => {
    const named = gaps.get(conn) ?? []
    return [...unnamedHoles(runs, named, known), ...untrueGaps(runs, named)]
  })
}

/** Connections bear their recorder's name: a rescuer tells of gaps of another recorder's. */
function byConnection<T extends { readonly conn: string }>(items: readonly T[]): Map<string, T[]> {
  const groups = new Map<string, T[]>()
  for (const item of items) {
    const group = groups.get(item.conn)
    if (group === undefined) groups.set(item.conn, [item])
    else group.push(item)
  }
  return groups
}

function unnamedHoles(runs: readonly SequenceRun[], gaps: readonly NamedGap[], known: KnownLines): Finding[] {
  const findings: Finding[] = []
  let reached = -1
  let before: SequenceRun | null = null
  for (const run of [...runs].sort((a, b) => a.firstN - b.firstN)) {
    const isHole = run.firstSequence > reached + 1
    if (isHole && !isExplained(reached, run, before, gaps, known)) findings.push(unnamed(reached, run))
    reached = Math.max(reached, run.lastSequence)
    before = run
  }
  return findings
}

function isExplained(
  reached: number,
  run: SequenceRun,
  before: SequenceRun | null,
  gaps: readonly NamedGap[],
  known: KnownLines,
): boolean {
  if (run.isAfterUnknown || before?.isBeforeUnknown === true) return true
  if (gaps.some((gap) => gap.after <= reached && (gap.before ?? Infinity) >= run.firstSequence)) return true
  // Lines between may hold the frames, and the line after the jump is the one that names the gap: where they are not here, nothing is known.
  return !known.has(run.recorder, (before?.lastN ?? 0) + 1, run.firstN + 1)
}

function unnamed(reached: number, { conn, firstN, firstSequence }: SequenceRun): Finding {
  const numbers = `${reached + 1} to ${firstSequence - 1}`
  const message = `sequence numbers ${numbers} are not there (line ${firstN} goes on with ${firstSequence}), and no gap row names them`
  return error('gap_unnamed', `connection ${conn}`, message, askForHelp)
}

/** Open ends are left: after a rescue a recorder that lives on goes on behind its gap. */
function untrueGaps(runs: readonly SequenceRun[], gaps: readonly NamedGap[]): Finding[] {
  return gaps.flatMap(({ conn, n, after, before }) => {
    if (before === null || before - after < 2) return []
    const over = runs.find((run) => run.firstSequence <= Math.max(after, 0) && run.lastSequence >= before)
    if (over === undefined) return []
    const message = `line ${n} says that sequence numbers ${after + 1} to ${before - 1} are missing, and they are there`
    return [error('gap_untrue', `connection ${conn}`, message, askForHelp)]
  })
}

/** Which lines are accounted for. */
class KnownLines {
  readonly #spans = new Map<string, LineSpan[]>()

  constructor(spans: readonly LineSpan[]) {
    for (const span of [...spans].sort((a, b) => a.firstN - b.firstN)) {
      const list = this.#spans.get(span.recorder) ?? []
      this.#spans.set(span.recorder, list)
      const last = list.at(-1)
      if (last === undefined || span.firstN > last.lastN + 1) list.push(span)
      else if (span.lastN > last.lastN) list[list.length - 1] = { ...last, lastN: span.lastN }
    }
  }

  /** Both ends included. */
  has(recorder: string, firstN: number, lastN: number): boolean {
    const spans = this.#spans.get(recorder) ?? []
    return spans.some((span) => span.firstN <= firstN && span.lastN >= lastN)
  }
}

/** What a gap event says, from its text; null for anything else. */
export function namedGap(recorder: string, conn: string, n: number, body: string): NamedGap | null {
  const gap = gapOf(body)
  if (gap === null) return null
  const [after, before] = [gap['after_seq'] ?? -1, gap['before_seq'] ?? null]
  if (typeof after !== 'number' || (before !== null && typeof before !== 'number')) return null
  return { recorder, conn, n, after, before }
}

function gapOf(body: string): Readonly<Record<string, unknown>> | null {
  try {
    const event: unknown = JSON.parse(body)
    const gap = Object(event) === event ? (event as { readonly gap?: unknown }).gap : undefined
    return Object(gap) === gap ? (gap as Readonly<Record<string, unknown>>) : null
  } catch (cause) {
    if (cause instanceof SyntaxError) return null
    throw cause
  }
}
