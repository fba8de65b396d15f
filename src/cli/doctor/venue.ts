/** Checks of the way to the venue: product list, clock against the venue's, WebSocket. */

import { WebSocket } from 'ws'
import { messageOf, VaultError } from '../../core/errors.ts'
import { nearest } from '../../core/nearest.ts'
import { fetchText } from '../../ingestion/products.ts'
import { coinbase } from '../../venue/coinbase.ts'
import { fail, ok, warn, type Check, type Surroundings, type Verdict } from './check.ts'

const timeoutMs = 10_000

interface Listing {
  readonly ids: readonly string[]
  readonly elapsedMs: number
  /** The venue's clock minus ours; null: it sent no date. Its date has whole seconds. */
  readonly skewMs: number | null
}

/** Asked once for all checks of one run. */
const listings = new WeakMap<Surroundings, Promise<Listing>>()

function listing(around: Surroundings): Promise<Listing> {
  const asked = listings.get(around) ?? fetchListing(around)
  listings.set(around, asked)
  return asked
}

async function fetchListing({ config, clock, signal }: Surroundings): Promise<Listing> {
  const url = new URL(coinbase.productsPath, config.coinbase.rest_url)
  const startedMs = clock.monotonicMs()
  let dateText = ''
  let nowMs = clock.nowMs()
  const body = await fetchText(url.toString(), signal, (headers) => {
    dateText = headers.get('date') ?? ''
    nowMs = clock.nowMs()
  })
  const date = Date.parse(dateText)
  const ids = coinbase.readProducts(body).map((product) => product.id)
  return {
    ids,
    elapsedMs: clock.monotonicMs() - startedMs,
    skewMs: Number.isNaN(date) ? null : date + 500 - nowMs,
  }
}

const rest: Check = {
  name: 'product list',
  of: 'network',
  async run(around) {
    try {
      const { ids, elapsedMs } = await listing(around)
      return ok(`${ids.length} products in ${elapsedMs.toFixed(0)} ms`)
    } catch (error) {
      return unreachable(around.config.coinbase.rest_url, error, 'coinbase.rest_url')
    }
  },
}

const products: Check = {
  name: 'products',
  // A product that does not exist is a mistake here, not the network's.
  of: 'machine',
  async run(around) {
    const wanted = around.config.coinbase.product_ids
    const known = await listing(around).catch(() => undefined)
    if (known === undefined) return warn('not compared: no product list', 'see the product list above')
    if (wanted === 'all') return ok(`all: ${known.ids.length}`)
    // `BTC-USDC` is an alias that the list leaves out and the feed accepts.
    const isKnown = (id: string): boolean =>
      known.ids.includes(id) || (id.endsWith('-USDC') && known.ids.includes(id.slice(0, -1)))
    const unknown = wanted.filter((id) => !isKnown(id))
    if (unknown.length === 0) return ok(wanted.join(', '))
    const meant = nearest(unknown[0]!, known.ids)
    const hint = meant === undefined ? '' : ` (did you mean ${meant}?)`
    return fail(`the venue does not list ${unknown.join(', ')}${hint}`, 'correct coinbase.product_ids')
  },
}

const skewWarnMs = 2000

const clock: Check = {
  name: 'clock',
  of: 'network',
  async run(around) {
    const skewMs = (await listing(around).catch(() => undefined))?.skewMs ?? null
    if (skewMs === null) return warn('not compared: the venue did not answer', 'see the product list above')
    const words = `${(Math.abs(skewMs) / 1000).toFixed(1)} s ${skewMs > 0 ? 'behind' : 'ahead of'} the venue's`
    return Math.abs(skewMs) > skewWarnMs
      ? warn(words, 'let the system keep its time (NTP): receive times are stamped with it')
      : ok(`within ${skewWarnMs / 1000} s of the venue's`)
  },
}

const socket: Check = {
  name: 'WebSocket',
  of: 'network',
  async run({ config, clock, signal }) {
    const startedMs = clock.monotonicMs()
    const client = new WebSocket(config.coinbase.ws_url, {
      handshakeTimeout: timeoutMs,
      followRedirects: false,
    })
    const onAbort = (): void => client.terminate()
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      await new Promise<void>((resolve, reject) => client.once('open', resolve).on('error', reject))
      return ok(`open in ${(clock.monotonicMs() - startedMs).toFixed(0)} ms`)
    } catch (error) {
      return unreachable(config.coinbase.ws_url, error, 'coinbase.ws_url')
    } finally {
      signal.removeEventListener('abort', onAbort)
      client.terminate()
    }
  },
}

export const venueChecks: readonly Check[] = [rest, products, clock, socket]

function unreachable(url: string, error: unknown, key: string): Verdict {
  const words = error instanceof VaultError ? error.message : `${url}: ${messageOf(error) || String(error)}`
  return fail(words, `look at the network, a proxy or firewall, and ${key}`)
}
