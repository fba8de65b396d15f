/** A stream of work: found ahead of its doing, done a few at a time, with bounds on both. */

/**
 * Takes items ahead of their reader, at most `itemsMax` of them, so that a listing need not wait for copies and its end is known early.
 * What the source throws is thrown once the items before it are taken.
 */
export async function* lookAhead<T>(items: AsyncIterable<T>, itemsMax: number): AsyncGenerator<T> {
  const queue = new Queue<T>(itemsMax)
  const filling = queue.fill(items)
  try {
    for (;;) {
      const item = await queue.take()
      if (item === undefined) return
      yield item.value
    }
  } finally {
    queue.leave()
    await filling
  }
}

class Queue<T> {
  readonly #itemsMax: number
  #items: T[] = []
  #taken = 0
  #ended: { readonly error: unknown } | 'well' | undefined
  #isLeft = false
  #wakeReader = (): void => undefined
  #wakeFinder = (): void => undefined

  constructor(itemsMax: number) {
    this.#itemsMax = itemsMax
  }

  /** Never throws: what goes wrong is the reader's to hear. */
  async fill(items: AsyncIterable<T>): Promise<void> {
    try {
      for await (const item of items) {
        this.#items.push(item)
        this.#wakeReader()
        await this.#untilWanted()
        if (this.#isLeft) break
      }
      this.#ended = 'well'
    } catch (error) {
      this.#ended = { error }
    }
    this.#wakeReader()
  }

  async #untilWanted(): Promise<void> {
    while (this.#items.length - this.#taken >= this.#itemsMax && !this.#isLeft)
      await new Promise<void>((resolve) => (this.#wakeFinder = resolve))
  }

  /** @returns undefined at the end @throws what the source threw */
  async take(): Promise<{ readonly value: T } | undefined> {
    while (this.#taken === this.#items.length) {
      if (this.#ended === 'well') return undefined
      if (this.#ended !== undefined) throw this.#ended.error
      await new Promise<void>((resolve) => (this.#wakeReader = resolve))
    }
    const value = this.#items[this.#taken++]!
    if (this.#taken >= 1024) {
      this.#items = this.#items.slice(this.#taken)
      this.#taken = 0
    }
    this.#wakeFinder()
    return { value }
  }

  leave(): void {
    this.#isLeft = true
    this.#wakeFinder()
  }
}

/**
 * Works on items as they come, `atOnce` of them at a time. After the first failure, or when told to stop, no further item is begun;
 * returns or throws only when nothing is running any more.
 *
 * @throws what the first failing item or the stream threw, or the signal's reason
 */
export async function forEachOf<T>(
  items: AsyncIterable<T>,
  atOnce: number,
  signal: AbortSignal,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const running = new Set<Promise<void>>()
  const failures: unknown[] = []
  const begin = (item: T): void => {
    const one = work(item)
      .catch((error: unknown) => void failures.push(error))
      .finally(() => running.delete(one))
    running.add(one)
  }
  try {
    for await (const item of items) {
      if (failures.length > 0 || signal.aborted) break
      begin(item)
      if (running.size >= atOnce) await Promise.race(running)
      if (failures.length > 0) break
    }
  } catch (error) {
    failures.push(error)
  }
  await Promise.all(running)
  if (failures.length > 0) throw failures[0]
  signal.throwIfAborted()
}

/** An array as a stream. */
export async function* streamOf<T>(items: Iterable<T>): AsyncGenerator<T> {
  yield* items
}
