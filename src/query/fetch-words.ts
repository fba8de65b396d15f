/** How a fetch stands, for people. Pure. */

import { formatBytes } from '../core/bytes.ts'
import type { FetchProgress } from '../storage/download.ts'

/** @param partsMax how many parts the vault has @returns nothing where all was on this machine in its own place */
export function fetchWords(progress: FetchProgress, partsMax: number): string[] {
  const { fetched, fetchedBytes, cached, cachedBytes, inPlace, inPlaceBytes } = progress
  if (fetched + cached + inPlace === 0) return []
  const words = [`fetched ${count(fetched)} of ${count(partsMax)} parts, ${formatBytes(fetchedBytes)}`]
  if (cached > 0) words.push(`${formatBytes(cachedBytes)} from cache`)
  if (inPlace > 0)
    words.push(`httpfs reads what it needs of ${count(inPlace)} more, ${formatBytes(inPlaceBytes)} in all`)
  return [words.join('; ')]
}

/** One line, to be drawn again and again. */
export function progressWords({
  fetched,
  fetchedBytes,
  toFetchBytes,
  objects,
  cached,
}: FetchProgress): string {
  return `fetching ${count(fetched)}/${count(objects - cached)} parts, ${formatBytes(fetchedBytes)} of ${formatBytes(toFetchBytes)}`
}

function count(number: number): string {
  return number.toLocaleString('en-US')
}
