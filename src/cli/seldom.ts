/** Words that would come again and again: a log is bounded by time, whatever fails however often. */

import type { Clock } from '../core/clock.ts'

const everyMs = 60_000

interface Subject {
  /** How many more may be said now. */
  left: number
  /** When `left` was reckoned, monotonic milliseconds. */
  atMs: number
  unsaid: number
}

/** Of each subject the first few are said as they come, after that one a minute, which tells how many were not. */
export class Seldom {
  readonly #clock: Clock
  readonly #print: (text: string) => void
  readonly #atOnce: number
  readonly #subjects = new Map<string, Subject>()

  /** @param atOnce how many of a subject that rested for so many minutes */
  constructor(clock: Clock, print: (text: string) => void, atOnce = 5) {
    this.#clock = clock
    this.#print = print
    this.#atOnce = atOnce
  }

  /** @param subject one of a few: each has an allowance of its own */
  say(subject: string, text: string): void {
    const known = this.#subjects.get(subject) ?? {
      left: this.#atOnce,
      atMs: this.#clock.monotonicMs(),
      unsaid: 0,
    }
    this.#subjects.set(subject, known)
    this.#refill(known)
    if (known.left < 1) {
      known.unsaid++
      return
    }
    known.left--
    this.#print(known.unsaid === 0 ? text : `${text} (and ${known.unsaid} more like it)`)
    known.unsaid = 0
  }

  #refill(subject: Subject): void {
    const nowMs = this.#clock.monotonicMs()
    subject.left = Math.min(this.#atOnce, subject.left + (nowMs - subject.atMs) / everyMs)
    subject.atMs = nowMs
  }
}
