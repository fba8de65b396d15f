/** Which products to record: the user's list, or all the venue trades, looked up over REST. */

import type { Clock } from '../core/clock.ts'
import { messageOf, VaultError } from '../core/errors.ts'
import { nearest } from '../core/nearest.ts'
import type { Venue } from '../venue/venue.ts'

/** A GET that returns the body of a 200; throws VaultError `unavailable` otherwise. */
export type FetchText = (url: string, signal: AbortSignal) => Promise<string>

const listBytesMax = 64 * 1024 * 1024

/** The real one: no redirects, a deadline, a limit on the size. */
export const fetchText: FetchText = async (url, signal) => {
  try {
    const response = await fetch(url, {
      redirect: 'error',
      signal: AbortSignal.any([signal, AbortSignal.timeout(15_000)]),
    })
    if (response.status !== 200) throw new Error(`HTTP ${response.status}`)
    const body = await response.text()
    if (body.length > listBytesMax) throw new Error(`${body.length} characters, more than a product list has`)
    return body
  } catch (error) {
    signal.throwIfAborted()
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
    throw new VaultError('unavailable', `GET ${url}: ${messageOf(cause)}`, {
      cause: error,
      remedy: 'look at the network and coinbase.rest_url; mdv doctor tries both',
    })
  }
}

/** Ids the venue trades now, sorted. @throws {VaultError} `unavailable` */
export async function listProducts(
  venue: Venue,
  restUrl: string,
  get: FetchText,
  signal: AbortSignal,
): Promise<string[]> {
  const body = await get(new URL(venue.productsPath, restUrl).toString(), signal)
  return [...new Set(venue.readProducts(body).map((product) => product.id))].sort()
}

/** The venue's list, asked again until it is had: a recorder started before its network comes up waits for it. */
export async function awaitProducts(
  venue: Venue,
  restUrl: string,
  get: FetchText,
  clock: Clock,
  onFailure: (error: VaultError) => void,
  signal: AbortSignal,
): Promise<string[]> {
  for (let waitMs = 1_000; ; waitMs = Math.min(60_000, waitMs * 2)) {
    try {
      return await listProducts(venue, restUrl, get, signal)
    } catch (error) {
      if (!(error instanceof VaultError) || error.kind !== 'unavailable') throw error
      onFailure(error)
      await clock.sleep(waitMs, signal)
    }
  }
}

/**
 * Refuses ids the venue does not have, with the nearest it has.
 *
 * @throws {VaultError} `config`
 */
export function refuseUnknown(asked: readonly string[], listed: readonly string[]): void {
  const known = new Set(listed)
  // An alias such as BTC-USDC is left out of the list and may still be subscribed.
  const unknown = asked.filter(
    (id) => !known.has(id) && !(id.endsWith('-USDC') && known.has(id.slice(0, -1))),
  )
  if (unknown.length === 0) return
  const hints = unknown.map((id) => {
    const near = nearest(id, listed)
    return near === undefined ? `"${id}"` : `"${id}" (did you mean "${near}"?)`
  })
  throw new VaultError('config', `coinbase.product_ids: the venue has no ${hints.join(', ')}`, {
    remedy: 'correct coinbase.product_ids, or use "all"',
  })
}
