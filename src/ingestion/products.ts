/** Which products to record: the user's list, or all the venue trades, looked up over REST. */

import type { Clock } from '../core/clock.ts'
import { messageOf, VaultError } from '../core/errors.ts'
import { nearest } from '../core/nearest.ts'
import type { Venue } from '../venue/venue.ts'

/** A GET that returns the body of a 200; throws VaultError `unavailable` otherwise. */
export type FetchText = (url: string, signal: AbortSignal) => Promise<string>

const listBytesMax = 64 * 1024 * 1024

/** The real one: no redirects, a deadline, a limit on the size. */
export async function fetchText(
  url: string,
  signal: AbortSignal,
  onHeaders: (headers: Headers) => void = () => undefined,
): Promise<string> {
  try {
    const response = await fetch(url, {
      redirect: 'error',
      signal: AbortSignal.any([signal, AbortSignal.timeout(15_000)]),
    })
    onHeaders(response.headers)
    if (response.status !== 200) throw new Error(`HTTP ${response.status}`)
    return await textOf(response)
  } catch (error) {
    signal.throwIfAborted()
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
    throw new VaultError('unavailable', `GET ${url}: ${messageOf(cause)}`, {
      cause: error,
      remedy: 'look at the network and coinbase.rest_url; mdv doctor tries both',
    })
  }
}

async function textOf(response: Response): Promise<string> {
  const pieces: Uint8Array[] = []
  let sizeBytes = 0
  for await (const piece of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    sizeBytes += piece.length
    if (sizeBytes > listBytesMax) throw new Error(`more than ${listBytesMax} bytes: no product list`)
    pieces.push(piece)
  }
  return Buffer.concat(pieces).toString('utf8')
}

/** Ids the venue trades now, sorted; never none. @throws {VaultError} `unavailable` */
export async function listProducts(
  venue: Venue,
  restUrl: string,
  get: FetchText,
  signal: AbortSignal,
): Promise<string[]> {
  const body = await get(new URL(venue.productsPath, restUrl).toString(), signal)
  const ids = [...new Set(venue.readProducts(body).map((product) => product.id))].sort()
  if (ids.length > 0) return ids
  throw new VaultError('unavailable', `${restUrl}: the product list names no product that is traded`, {
    remedy: 'look at coinbase.rest_url; try again later',
  })
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

/** The venue's list against what is recorded. */
export interface Look {
  /** Listed and not recorded yet. */
  readonly added: readonly string[]
  /** Recorded and gone. */
  readonly removed: readonly string[]
  /** Wanted and not listed. */
  readonly missing: readonly string[]
}

/**
 * A product is gone when two looks in a row lack it: a list may be short for a moment, and what is not subscribed is not recorded. Pure.
 *
 * @param wanted what the user asked for
 * @param missingBefore `missing` of the look before
 */
export function compareList(
  venue: Venue,
  wanted: readonly string[] | 'all',
  recorded: readonly string[],
  listed: readonly string[],
  missingBefore: readonly string[],
): Look {
  const known = new Set(listed)
  const isListed = (id: string): boolean => known.has(id) || known.has(venue.labelOf(id))
  const before = new Set(recorded)
  const missing = (wanted === 'all' ? recorded : wanted).filter((id) => !isListed(id))
  return {
    added: (wanted === 'all' ? listed : wanted.filter(isListed)).filter((id) => !before.has(id)),
    removed: missing.filter((id) => before.has(id) && missingBefore.includes(id)),
    missing,
  }
}

/**
 * Refuses ids the venue does not have, with the nearest it has.
 *
 * @throws {VaultError} `config`
 */
export function refuseUnknown(venue: Venue, asked: readonly string[], listed: readonly string[]): void {
  const known = new Set(listed)
  // An alias such as BTC-USDC is left out of the list and may still be subscribed.
  const unknown = asked.filter((id) => !known.has(id) && !known.has(venue.labelOf(id)))
  if (unknown.length === 0) return
  const hints = unknown.map((id) => {
    const near = nearest(id, listed)
    return near === undefined ? `"${id}"` : `"${id}" (did you mean "${near}"?)`
  })
  throw new VaultError('config', `coinbase.product_ids: the venue has no ${hints.join(', ')}`, {
    remedy: 'correct coinbase.product_ids, or use "all"',
  })
}
