/** How much of its goal each figure reaches at the very least, also on a busy machine: what sinks below was broken, not unlucky. */

const floors: readonly (readonly [beginning: string, share: number])[] = [
  ['durable ingestion', 0.25],
  ['the same for each second of processor time', 0.2],
  ['small frames behind', 0.1],
  ['conversion of', 0.5],
  ['conversion beside', 0.5],
  ['bytes of', 0.8],
  ['1-minute candles', 0.3],
  ['top of book', 0.3],
  ['start of', 0.3],
  ['raw replay', 0.4],
  ['lines replayed', 0.2],
]

/** @returns 0 for one that has none */
export function floorOf(name: string): number {
  return floors.find(([beginning]) => name.startsWith(beginning))?.[1] ?? 0
}
