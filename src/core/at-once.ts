/** The same work for many items, a few of them at a time. */

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
