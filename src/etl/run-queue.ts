/**
 * The order in which a worker takes what waits: oldest first while it is alone. Where others are at work it begins at a place of its own, so
 * that they need not meet at every claim.
 */

import { sha256Hex } from '../core/ids.ts'
import type { ClaimBoard } from './claim-board.ts'
import type { Task } from './run-tally.ts'

/** Others begin at most this far from the oldest: none of it waits for long. */
const windowTasks = 16

export class TaskQueue {
  readonly #board: ClaimBoard | null
  readonly #place: number
  #left: Task[]

  /**
   * @param board null: all are taken, oldest first, claimed or not
   * @param writer of the worker: decides its place
   */
  constructor(tasks: readonly Task[], board: ClaimBoard | null, writer: string) {
    this.#left = [...tasks]
    this.#board = board
    this.#place = Number.parseInt(sha256Hex(writer).slice(0, 8), 16)
  }

  /** The next one, removed: what others have claimed comes last, they may be dead. undefined when none is left. */
  async take(signal: AbortSignal): Promise<Task | undefined> {
    if (this.#left.length === 0) return undefined
    await this.#board?.refresh(signal)
    const next = this.next()
    this.#left = this.#left.filter((task) => task !== next)
    return next
  }

  /** What would be taken next, as far as is known. */
  next(): Task | undefined {
    const claimed = this.#board?.claimed ?? new Set()
    const free = this.#left.filter(({ job }) => !claimed.has(job))
    if (free.length === 0 || claimed.size === 0) return this.#left[0]
    return free[this.#place % Math.min(windowTasks, free.length)]
  }

  add(tasks: readonly Task[]): void {
    this.#left.unshift(...tasks)
  }
}
