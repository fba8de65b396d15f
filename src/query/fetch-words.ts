/** How a fetch stands, for people. Pure. */

import { formatBytes } from '../core/bytes.ts'
import type { FetchProgress } from '../storage/download.ts'

/** @param partsMax how many parts the vault has @returns nothing where all was on this machine in its own place */
export function fetchWords(progress: FetchProgress, partsMax: number): string[] {
  const { fetched, fetchedBytes, cached, cachedBytes } = progress
  if (fetched + cached === 0) return []
  const fresh = `fetched ${count(fetched)} of ${count(partsMax)} parts, ${formatBytes(fetchedBytes)}`
  return [cached === 0 ? fresh : `${fresh}; ${formatBytes(cachedBytes)} from cache`]
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
