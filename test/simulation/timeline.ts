/**
 * Virtual time: events in their order, one at a time. After each one everything it set going comes to rest (promises, and the real file
 * operations that some of them wait for) before the next begins, so that what a run does is a function of its seed alone.
 */

import { createHash, type Hash } from 'node:crypto'
import { appendFileSync } from 'node:fs'
import type { Timer } from '../../src/core/clock.ts'

interface Event {
  readonly dueUs: number
  /** Of events due at one moment, the one asked for first comes first. */
  readonly order: number
  readonly run: () => void | Promise<void>
  /** It sets no promise going: nothing has to come to rest. */
  readonly isPlain: boolean
  isCancelled: boolean
}

/** What keeps the loop of events alive besides timers and pipes: file operations under way. */
const fileOperation = /^(FSReq|CloseReq|FileHandle)/

export class Timeline {
  #nowUs = 0
  #made = 0
  readonly #heap: Event[] = []
  readonly #digest: Hash = createHash('sha256')
  readonly #tracePath: string | undefined
  #failure: { readonly error: unknown } | undefined
  /** Events so far. */
  events = 0
  /** Lines of the trace so far. */
  traced = 0

  /** @param tracePath a file to write the trace to; left out: only its digest is kept */
  constructor(tracePath?: string) {
    this.#tracePath = tracePath
  }

  /** Milliseconds from the beginning, to the microsecond. */
  get nowMs(): number {
    return this.#nowUs / 1000
  }

  /** At the first whole microsecond after so long. */
  at(delayMs: number, run: () => void | Promise<void>, isPlain = false): Timer {
    const dueUs = this.#nowUs + Math.max(0, Math.ceil(delayMs * 1000))
    const event: Event = { dueUs, order: this.#made++, run, isPlain, isCancelled: false }
    this.#push(event)
    return { cancel: () => (event.isCancelled = true) }
  }

  /** Resolves after so long, when nothing asked for before is still due. */
  wait(delayMs: number): Promise<void> {
    return new Promise((resolve) => void this.at(delayMs, resolve))
  }

  /** What happens is written down: two runs of a seed have to write the same. */
  trace(text: string): void {
    const line = `${this.nowMs} ${text}\n`
    this.traced++
    this.#digest.update(line)
    if (this.#tracePath !== undefined) appendFileSync(this.#tracePath, line)
  }

  digest(): string {
    return this.#digest.copy().digest('hex')
  }

  /** A mistake in the program: the run ends with it. */
  fail(error: unknown): void {
    this.#failure ??= { error }
  }

  /** Lets time pass until the story has come to its end. @throws what failed meanwhile */
  async play<T>(story: Promise<T>): Promise<T> {
    const state = { isOver: false }
    const over = (): void => void (state.isOver = true)
    story.then(over, over)
    await rest()
    while (!state.isOver && this.#failure === undefined) {
      const event = this.#pop()
      if (event === undefined)
        throw new Error(`nothing is due at ${this.nowMs} ms, and the story is not over`)
      if (event.isCancelled) continue
      this.#nowUs = event.dueUs
      this.events++
      const running = event.run()
      if (running !== undefined) await running
      if (!event.isPlain) await rest()
    }
    if (this.#failure !== undefined) throw this.#failure.error
    return story
  }

  #push(event: Event): void {
    const heap = this.#heap
    let at = heap.push(event) - 1
    while (at > 0) {
      const above = (at - 1) >> 1
      if (!isBefore(event, heap[above]!)) break
      heap[at] = heap[above]!
      at = above
    }
    heap[at] = event
  }

  #pop(): Event | undefined {
    const heap = this.#heap
    const first = heap[0]
    const last = heap.pop()
    if (first === undefined || last === undefined || heap.length === 0) return first
    let at = 0
    for (let below = 1; below < heap.length; below = 2 * at + 1) {
      if (below + 1 < heap.length && isBefore(heap[below + 1]!, heap[below]!)) below++
      if (!isBefore(heap[below]!, last)) break
      heap[at] = heap[below]!
      at = below
    }
    heap[at] = last
    return first
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.dueUs < b.dueUs || (a.dueUs === b.dueUs && a.order < b.order)
}

/** Returns when no promise has anything more to do, and no file operation is under way. */
async function rest(): Promise<void> {
  do await new Promise<void>((resolve) => setImmediate(resolve))
  while (process.getActiveResourcesInfo().some((name) => fileOperation.test(name)))
}
