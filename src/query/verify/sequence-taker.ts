/** The runs and gaps of a segment that waits for its conversion, from its lines. Pure. */

import type { Line } from '../../segment/format.ts'
import { namedGap, type NamedGap, type SequenceFacts, type SequenceRun } from './sequences.ts'

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

interface Open {
  run: Mutable<SequenceRun> | null
  reached: number
  isUnknown: boolean
}

export class SequenceTaker {
  readonly #sequenceOf: (frame: Buffer) => number
  readonly #runs: SequenceRun[] = []
  readonly #gaps: NamedGap[] = []
  readonly #open = new Map<string, Open>()

  /** @param sequenceOf the venue's number of a frame; -1: it has none */
  constructor(sequenceOf: (frame: Buffer) => number) {
    this.#sequenceOf = sequenceOf
  }

  take(recorder: string, line: Line): void {
    if (line.kind === 'unknown' || line.conn === null) return
    if (line.kind === 'frame') return this.#frame(recorder, line.conn, line.n, this.#sequenceOf(line.frame))
    const gap = namedGap(recorder, line.conn, line.n, JSON.stringify(line.event))
    if (gap !== null) this.#gaps.push(gap)
  }

  /** @param span of its lines; null where some may not have been read */
  facts(span: SequenceFacts['known'][number] | null): SequenceFacts {
    return { runs: this.#runs, gaps: this.#gaps, known: span === null ? [] : [span] }
  }

  #frame(recorder: string, conn: string, n: number, sequence: number): void {
    const open = this.#open.get(conn) ?? { run: null, reached: -1, isUnknown: false }
    this.#open.set(conn, open)
    if (sequence < 0) {
      open.isUnknown = true
      if (open.run !== null) open.run.isBeforeUnknown = true
      return
    }
    if (open.run === null || sequence > open.reached + 1) {
      const sequences = { firstSequence: sequence, lastSequence: sequence }
      const unknown = { isAfterUnknown: open.isUnknown, isBeforeUnknown: false }
      open.run = { recorder, conn, firstN: n, lastN: n, ...sequences, ...unknown }
      this.#runs.push(open.run)
    }
    open.isUnknown = false
    open.run.isBeforeUnknown = false
    open.run.lastN = n
    open.reached = Math.max(open.reached, sequence)
    open.run.lastSequence = Math.max(open.run.lastSequence, sequence)
  }
}
