/** Lines of several recorders as one, by receive time; each recorder's own order stays, whatever its clock did. */

import type { ReplayLine } from './line.ts'

/** One recorder's lines, and an instant before which it has none. */
export interface TimedLines {
  readonly fromNs: bigint
  readonly lines: AsyncIterable<readonly ReplayLine[]>
}

/** @param recorders not begun until their time comes: each may hold much @returns lines that follow one another, in batches */
export async function* mergeLines(recorders: readonly TimedLines[]): AsyncGenerator<readonly ReplayLine[]> {
  const cursors = recorders.map((lines) => new Cursor(lines))
  try {
    for (;;) {
      const open = cursors.filter((cursor) => !cursor.isAtEnd)
      if (open.length === 0) return
      const first = open.reduce((least, cursor) => (cursor.timeNs < least.timeNs ? cursor : least))
      if (!first.isFilled) {
        await first.fill()
        continue
      }
      const others = open.filter((cursor) => cursor !== first)
      // As many as come before all others, or end its batch: looking anew for each line would be slow where one recorder runs alone.
      yield first.takeUntil(earliest(others))
    }
  } finally {
    await Promise.all(cursors.map((cursor) => cursor.close()))
  }
}

function earliest(cursors: readonly Cursor[]): bigint | null {
  return cursors.reduce<bigint | null>(
    (least, { timeNs }) => (least === null || timeNs < least ? timeNs : least),
    null,
  )
}

class Cursor {
  readonly #lines: AsyncIterator<readonly ReplayLine[]>
  #batch: readonly ReplayLine[] = []
  #at = 0
  /** The latest receive time so far: what a clock set back gives counts as this. */
  #timeNs: bigint
  isAtEnd = false

  constructor({ fromNs, lines }: TimedLines) {
    this.#timeNs = fromNs
    this.#lines = lines[Symbol.asyncIterator]()
  }

  /** Whether its next line is here. */
  get isFilled(): boolean {
    return this.#at < this.#batch.length
  }

  /** Of its next line; no later than that, where it is not here. */
  get timeNs(): bigint {
    const recvNs = this.#batch[this.#at]?.recvNs ?? null
    return recvNs !== null && recvNs > this.#timeNs ? recvNs : this.#timeNs
  }

  async fill(): Promise<void> {
    while (!this.isAtEnd && !this.isFilled) {
      const step = await this.#lines.next()
      this.isAtEnd = step.done === true
      this.#batch = step.done === true ? [] : step.value
      this.#at = 0
    }
  }

  /** @param limitNs of the others' next line; null: there are none. At least one line. */
  takeUntil(limitNs: bigint | null): readonly ReplayLine[] {
    const from = this.#at
    const isBefore = (): boolean => limitNs === null || this.timeNs <= limitNs
    do {
      this.#timeNs = this.timeNs
      this.#at++
    } while (this.#at < this.#batch.length && isBefore())
    return this.#batch.slice(from, this.#at)
  }

  async close(): Promise<void> {
    await this.#lines.return?.()
  }
}
