/**
 * What goes wrong with a request: by chance, with a seed, or the next so-many by order of a test. Each kind says whether the effect
 * took place, which is what a client cannot know.
 */

import { seededRandom } from '../../../src/core/random.ts'

export const faultKinds = [
  /** 503 without effect. */
  'slow-down',
  /** 500 without effect. */
  'internal',
  /** 409 without effect: another conditional request is under way. */
  'conflict',
  /** 412 without effect and without reason. */
  'precondition',
  /** The connection is reset before anything happened. */
  'reset-before',
  /** It happened, and the connection is reset instead of an answer. */
  'reset-after',
  /** It happened; half of the answer's body comes, then a reset. */
  'truncated',
  /** It happened; one byte of the answer's body is another. */
  'damaged',
  /** It happened; the answer's ETag is another. */
  'wrong-etag',
  /** It happens after `slowMs`. */
  'slow',
  /** It happened, and no answer ever comes. */
  'hang',
  /** Without effect: what stands between answers 200 with a page of its own. */
  'web-page',
  'repeated-page',
  'lost-token',
] as const

export type FaultKind = (typeof faultKinds)[number]

interface Ordered {
  readonly kind: FaultKind
  readonly operation: string | undefined
  times: number
  /** Requests to let pass first. */
  skip: number
}

export class Faults {
  readonly #random: () => number
  #chances: readonly (readonly [FaultKind, number])[] = []
  readonly #ordered: Ordered[] = []

  constructor(seed: number) {
    this.#random = seededRandom(seed)
  }

  /** @param chances probability of each kind, for every request from now on; `{}`: none */
  byChance(chances: Readonly<Partial<Record<FaultKind, number>>>): void {
    this.#chances = Object.entries(chances) as [FaultKind, number][]
  }

  /**
   * The next `times` requests have this fault.
   *
   * @param only of this operation (`PutObject`); left out: of any
   * @param skip after letting so many pass
   */
  next(kind: FaultKind, only?: string, times = 1, skip = 0): void {
    this.#ordered.push({ kind, operation: only, times, skip })
  }

  draw(operation: string): FaultKind | undefined {
    const ordered = this.#ordered.find((each) => each.operation === undefined || each.operation === operation)
    if (ordered !== undefined) {
      if (ordered.skip-- > 0) return undefined
      if (--ordered.times <= 0) this.#ordered.splice(this.#ordered.indexOf(ordered), 1)
      return ordered.kind
    }
    let roll = this.#random()
    for (const [kind, chance] of this.#chances) {
      if (roll < chance) return kind
      roll -= chance
    }
    return undefined
  }
}
