/** The same work for many items, a few of them at a time; what comes of it in the order of the items, where that is asked for. */

/**
 * Starts no further item after the first failure, and returns only when nothing is running any more.
 *
 * @throws what the first failing item threw
 */
export async function forEachAtOnce<T>(
  items: readonly T[],
  atOnce: number,
  work: (item: T, index: number) => Promise<void>,
): Promise<void> {
  let next = 0
  const failures: unknown[] = []
  const runner = async (): Promise<void> => {
    while (next < items.length && failures.length === 0) {
      const index = next++
      try {
        await work(items[index]!, index)
      } catch (error) {
        failures.push(error)
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, runner))
  if (failures.length > 0) throw failures[0]
}

/**
 * The same, and what comes of each item is handed on in the order of the items, one after another.
 *
 * @throws what the first failing item or `take` threw
 */
export async function takeInOrder<T, R>(
  items: readonly T[],
  atOnce: number,
  work: (item: T, index: number) => Promise<R>,
  take: (result: R) => Promise<void>,
): Promise<void> {
  const done = new Map<number, R>()
  let next = 0
  let taking = Promise.resolve()
  const takeWhatIsDue = async (): Promise<void> => {
    while (done.has(next)) {
      const result = done.get(next)!
      done.delete(next++)
      await take(result)
    }
  }
  await forEachAtOnce(items, atOnce, async (item, index) => {
    done.set(index, await work(item, index))
    // Behind whoever takes already, who may have looked for this one a moment too early.
    taking = taking.then(takeWhatIsDue)
    await taking
  })
}
