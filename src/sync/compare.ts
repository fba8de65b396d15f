/** Two listings side by side, in the order of keys: what one has, the other, or both. Holds a batch of each, whatever their lengths. */

import { VaultError } from '../core/errors.ts'
import type { ObjectInfo, ObjectStore } from '../storage/object-store.ts'

/** At least one of the two is there. */
export interface Pair {
  readonly key: string
  readonly source: ObjectInfo | undefined
  readonly target: ObjectInfo | undefined
}

/** @throws what either listing threw: half a listing must not look like a whole one */
export async function* comparePairs(
  source: ObjectStore,
  target: ObjectStore,
  prefix: string,
  signal: AbortSignal,
): AsyncGenerator<Pair> {
  const ours = new Listing(source, prefix, signal)
  const theirs = new Listing(target, prefix, signal)
  try {
    await Promise.all([ours.fetch(), theirs.fetch()])
    for (;;) {
      const mine = ours.head
      const its = theirs.head
      if (mine === undefined && its === undefined) return
      const key = mine === undefined || (its !== undefined && its.key < mine.key) ? its!.key : mine.key
      const inSource = mine?.key === key
      const inTarget = its?.key === key
      yield { key, source: inSource ? mine : undefined, target: inTarget ? its : undefined }
      if (inSource && !ours.step()) await ours.fetch()
      if (inTarget && !theirs.step()) await theirs.fetch()
    }
  } finally {
    await Promise.all([ours.close(), theirs.close()])
  }
}

/** A listing, object by object: only its batches are waited for. */
class Listing {
  readonly #store: ObjectStore
  readonly #batches: AsyncIterator<readonly ObjectInfo[]>
  #batch: readonly ObjectInfo[] = []
  #at = 0
  /** The next; undefined after the last. */
  head: ObjectInfo | undefined = undefined

  constructor(store: ObjectStore, prefix: string, signal: AbortSignal) {
    this.#store = store
    this.#batches = store.list(prefix, signal)[Symbol.asyncIterator]()
  }

  /** Goes on to the next; false: that is in a batch yet to be fetched, or nowhere. */
  step(): boolean {
    const next = this.#batch[++this.#at]
    if (next !== undefined) this.#take(next)
    return next !== undefined
  }

  /** Goes on to the first of the next batch. */
  async fetch(): Promise<void> {
    do {
      const { done, value } = await this.#batches.next()
      if (done === true) {
        this.head = undefined
        return
      }
      this.#batch = value
    } while (this.#batch.length === 0)
    this.#at = 0
    this.#take(this.#batch[0]!)
  }

  async close(): Promise<void> {
    await this.#batches.return?.()
  }

  /** A listing out of order would make objects look missing, and be removed for it. */
  #take(info: ObjectInfo): void {
    const last = this.head?.key ?? ''
    if (info.key <= last)
      throw new VaultError(
        'unavailable',
        `${this.#store.location}: lists ${JSON.stringify(info.key)} after ${JSON.stringify(last)}, which is not the order of keys`,
        { remedy: 'nothing was removed; look at that server: S3 lists keys in ascending order' },
      )
    this.head = info
  }
}
