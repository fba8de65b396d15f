/**
 * Several actors on one store, one operation at a time, in an order that a seed decides: whoever was let go runs until its next
 * operation. An operation may fail before or after its effect, or take effect long after it failed, as a request in flight does.
 */

import { readFile } from 'node:fs/promises'
import type { Random } from '../../src/core/clock.ts'
import { VaultError } from '../../src/core/errors.ts'
import type { ObjectInfo, ObjectStore, PutOutcome } from '../../src/storage/object-store.ts'

/** Of each durable step. */
export interface Chances {
  readonly lost: number
  readonly landed: number
  readonly late: number
}

export class Stage {
  readonly #inner: ObjectStore
  readonly #random: Random
  readonly #chances: Chances
  readonly #waiting: (() => void)[] = []
  readonly #late: (() => Promise<unknown>)[] = []
  #acting = 0

  constructor(inner: ObjectStore, random: Random, chances: Chances) {
    this.#inner = inner
    this.#random = random
    this.#chances = chances
  }

  /** Runs all of them to their ends; what is late by then lands in the end. */
  async play(actors: readonly ((store: ObjectStore) => Promise<void>)[]): Promise<void> {
    this.#acting = actors.length
    await Promise.all(
      actors.map(async (act) => {
        try {
          await act(this.#store())
        } finally {
          this.#acting--
          this.#letGo()
        }
      }),
    )
    for (const effect of this.#late.splice(0)) await effect()
  }

  /** Also an actor that only waits, for time to pass or for others, takes turns. */
  turn(): Promise<void> {
    const mine = new Promise<void>((resolve) => this.#waiting.push(resolve))
    this.#letGo()
    return mine
  }

  #letGo(): void {
    if (this.#waiting.length < this.#acting || this.#waiting.length === 0) return
    const [next] = this.#waiting.splice(Math.floor(this.#random() * this.#waiting.length), 1)
    next!()
  }

  async #read<T>(operation: () => Promise<T>): Promise<T> {
    await this.turn()
    await this.#someLate()
    return operation()
  }

  async #someLate(): Promise<void> {
    if (this.#late.length === 0 || this.#random() < 0.7) return
    const [effect] = this.#late.splice(Math.floor(this.#random() * this.#late.length), 1)
    await effect!()
  }

  /** @param later the same effect when the one who asked for it has gone on */
  async #step<T>(operation: () => Promise<T>, later: () => Promise<() => Promise<unknown>>): Promise<T> {
    await this.turn()
    await this.#someLate()
    const { lost, landed, late } = this.#chances
    const drawn = this.#random()
    if (drawn < lost) throw unanswered()
    if (drawn < lost + landed) {
      await (
        await later()
      )()
      throw unanswered()
    }
    if (drawn < lost + landed + late) {
      this.#late.push(await later())
      throw unanswered()
    }
    return operation()
  }

  #store(): ObjectStore {
    const inner = this.#inner
    const read = <T>(operation: () => Promise<T>): Promise<T> => this.#read(operation)
    return {
      location: inner.location,
      putIfAbsent: (key, body) => {
        const put = () => inner.putIfAbsent(key, body)
        return this.#step(put, () => Promise.resolve(put))
      },
      publishFile: (path, key) =>
        this.#step<PutOutcome>(
          () => inner.publishFile(path, key),
          async () => {
            const body = await readFile(path)
            return () => inner.putIfAbsent(key, body)
          },
        ),
      delete: (key) => {
        const remove = () => inner.delete(key)
        return this.#step(remove, () => Promise.resolve(remove))
      },
      get: (key, bytesMax) => read(() => inner.get(key, bytesMax)),
      head: (key) => read(() => inner.head(key)),
      async *read(key, from, until, signal): AsyncGenerator<Buffer> {
        await read(() => Promise.resolve())
        yield* inner.read(key, from, until, signal)
      },
      async *list(prefix, signal): AsyncGenerator<readonly ObjectInfo[]> {
        await read(() => Promise.resolve())
        yield* inner.list(prefix, signal)
      },
      scratch: (name) => inner.scratch(name),
      fileOf: () => undefined,
    }
  }
}

function unanswered(): VaultError {
  return new VaultError('unavailable', 'no answer came')
}
