/** A stream of work: found ahead of its doing, done a few at a time, with bounds on both. */

/**
 * Takes items ahead of their reader, at most `itemsMax` of them, so that a listing need not wait for copies and its end is known early.
 * What the source throws is thrown once the items before it are taken.
 */
export async function* lookAhead<T>(items: AsyncIterable<T>, itemsMax: number): AsyncGenerator<T> {
  const waiting: T[] = []
  let from = 0
  let ended: { readonly error: unknown } | 'well' | undefined
  let isLeft = false
  let wakeReader = (): void => undefined
  let wakeFinder = (): void => undefined
  const find = async (): Promise<void> => {
    try {
      for await (const item of items) {
        waiting.push(item)
        wakeReader()
        while (waiting.length - from >= itemsMax && !isLeft)
          await new Promise<void>((resolve) => (wakeFinder = resolve))
        if (isLeft) break
      }
      ended = 'well'
    } catch (error) {
      ended = { error }
    }
    wakeReader()
  }
  const finding = find()
  try {
    for (;;) {
      if (from < waiting.length) {
        const item = waiting[from++]!
        if (from >= 1024) (waiting.splice(0, from), (from = 0))
        wakeFinder()
        yield item
      } else if (ended === undefined) await new Promise<void>((resolve) => (wakeReader = resolve))
      else if (ended === 'well') return
      else throw ended.error
    }
  } finally {
    isLeft = true
    wakeFinder()
    await finding
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
