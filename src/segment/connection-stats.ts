/** What a stretch of the log saw of each connection: sequence numbers, counted as frames are appended, added up at the seal. */

import type { SealedConnection } from './format.ts'

/** One connection's frames in one chunk. `firstSequence` -1: none had a number. */
export interface ConnectionStretch {
  readonly conn: string
  readonly frames: number
  readonly firstSequence: number
  readonly lastSequence: number
  readonly gaps: readonly (readonly [from: number, until: number])[]
}

/** Counts for one connection; `take` gives what has gathered since the last call. */
export class ConnectionCounter {
  readonly conn: string
  #frames = 0
  #first = -1
  #last = -1
  #gaps: [number, number][] = []

  constructor(conn: string) {
    this.conn = conn
  }

  /** @param sequence -1 when the frame has none. Late and repeated numbers count as frames and move nothing. */
  add(sequence: number): void {
    this.#frames++
    if (sequence < 0) return
    if (this.#first < 0) this.#first = sequence
    else if (sequence > this.#last + 1) this.#gaps.push([this.#last + 1, sequence])
    if (sequence > this.#last) this.#last = sequence
  }

  take(): ConnectionStretch | null {
    if (this.#frames === 0) return null
    const stretch = {
      conn: this.conn,
      frames: this.#frames,
      firstSequence: this.#first,
      lastSequence: this.#last,
      gaps: this.#gaps,
    }
    this.#frames = 0
    this.#first = -1
    this.#last = -1
    this.#gaps = []
    return stretch
  }
}

/** Adds stretches up, in order, into what the seal says. */
export class SealedConnections {
  readonly #byName = new Map<string, ConnectionStretch>()

  add(stretches: readonly ConnectionStretch[]): void {
    for (const next of stretches) {
      const before = this.#byName.get(next.conn)
      this.#byName.set(next.conn, before === undefined ? next : join(before, next))
    }
  }

  toJSON(): SealedConnection[] {
    return [...this.#byName.values()].map((one) => ({
      conn: one.conn,
      frames: one.frames,
      first_seq: one.firstSequence < 0 ? null : one.firstSequence,
      last_seq: one.lastSequence < 0 ? null : one.lastSequence,
      gaps: one.gaps,
    }))
  }
}

function join(a: ConnectionStretch, b: ConnectionStretch): ConnectionStretch {
  const frames = a.frames + b.frames
  if (b.firstSequence < 0) return { ...a, frames }
  if (a.firstSequence < 0) return { ...b, frames }
  const between: readonly (readonly [number, number])[] =
    b.firstSequence > a.lastSequence + 1 ? [[a.lastSequence + 1, b.firstSequence]] : []
  return {
    conn: a.conn,
    frames,
    firstSequence: a.firstSequence,
    lastSequence: Math.max(a.lastSequence, b.lastSequence),
    gaps: [...a.gaps, ...between, ...b.gaps],
  }
}
