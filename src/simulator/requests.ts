/** What a client's messages do: subscribe and unsubscribe, refusals, and the acknowledgement after the data. */

import { Exchange } from './exchange.ts'
import { statusEvent, subscriptionsEvent } from './frames.ts'
import { canonicalId } from './products.ts'
import type { Session } from './session.ts'

/** The venue's undocumented limit of level2 products on one connection. */
const bookProductsMax = 30

const channels = new Set([
  'level2',
  'market_trades',
  'ticker',
  'ticker_batch',
  'candles',
  'status',
  'heartbeats',
])

interface Request {
  readonly type: 'subscribe' | 'unsubscribe'
  readonly channel: string
  /** Undefined: the whole channel. */
  readonly productIds: readonly string[] | undefined
}

/** At most so many messages in any second, of all connections together, as they come from one address. */
export class MessageLimit {
  readonly #perSecond: number
  /** Of the last second, oldest first. */
  readonly #timesMs: number[] = []

  constructor(perSecond: number) {
    this.#perSecond = perSecond
  }

  take(nowMs: number): boolean {
    while ((this.#timesMs[0] ?? nowMs) <= nowMs - 1000) this.#timesMs.shift()
    if (this.#timesMs.length >= this.#perSecond) return false
    this.#timesMs.push(nowMs)
    return true
  }
}

/**
 * Queues the work of one client message; the feed does it piece by piece.
 *
 * @param isWithinLimit false: refused unread. What the venue answers then is not documented; an error frame is assumed
 */
export function acceptMessage(
  exchange: Exchange,
  session: Session,
  message: string,
  isWithinLimit: boolean,
): void {
  const request = isWithinLimit ? readRequest(message) : null
  if (!isWithinLimit) session.work.push(refuse(session, 'rate limit exceeded'))
  else if (request === null) session.work.push(refuse(session, 'failure to subscribe'))
  else if (!channels.has(request.channel)) session.work.push(refuse(session, 'authentication failure'))
  else if (request.type === 'subscribe') session.work.push(subscribe(exchange, session, request))
  else session.work.push(unsubscribe(exchange, session, request))
}

function readRequest(message: string): Request | null {
  let parsed: unknown
  try {
    parsed = JSON.parse(message)
  } catch (error) {
    if (error instanceof SyntaxError) return null
    throw error
  }
  if (typeof parsed !== 'object' || parsed === null) return null
  const { type, channel, product_ids: ids } = parsed as Record<string, unknown>
  if (type !== 'subscribe' && type !== 'unsubscribe') return null
  const productIds = Array.isArray(ids) ? ids.filter((id) => typeof id === 'string') : undefined
  return typeof channel === 'string' ? { type, channel, productIds: productIds?.map(canonicalId) } : null
}

function* refuse(session: Session, message: string): Generator<void> {
  session.emitError(message)
  yield
}

/** Snapshots one product after another, with other products' updates between them, then the acknowledgement. */
function* subscribe(exchange: Exchange, session: Session, request: Request): Generator<void> {
  const { channel } = request
  const wanted = new Set(request.productIds ?? exchange.products.map((product) => product.id))
  const missing = session.takeFault('missing_product')
  if (missing !== undefined) wanted.delete(missing.product ?? [...wanted].at(-1) ?? '')
  const subscribed = session.subscribed(channel)
  if (channel === 'level2' && new Set([...subscribed, ...wanted]).size > bookProductsMax) {
    session.emitError('too many L2 streams requested in a single session')
    return
  }
  if (channel === 'heartbeats') subscribed.add('heartbeats')
  else if (channel === 'status') yield* subscribeStatus(exchange, session, wanted)
  else
    for (const id of wanted) {
      const listing = exchange.listing(id)
      if (listing === undefined || subscribed.has(id)) continue
      exchange.sendSnapshot(channel, listing, session)
      subscribed.add(id)
      Exchange.listeners(listing, channel)?.add(session)
      exchange.version++
      yield
    }
  session.emit('subscriptions', subscriptionsEvent(session.subscriptions))
}

function* subscribeStatus(
  exchange: Exchange,
  session: Session,
  wanted: ReadonlySet<string>,
): Generator<void> {
  const products = exchange.products.filter((product) => wanted.has(product.id))
  for (const product of products) session.subscribed('status').add(product.id)
  session.emit('status', statusEvent(products))
  yield
}

function* unsubscribe(exchange: Exchange, session: Session, request: Request): Generator<void> {
  const subscribed = session.subscribed(request.channel)
  for (const id of request.productIds ?? [...subscribed]) {
    subscribed.delete(id)
    const listing = exchange.listing(id)
    if (listing !== undefined) Exchange.listeners(listing, request.channel)?.delete(session)
  }
  exchange.version++
  session.emit('subscriptions', subscriptionsEvent(session.subscriptions))
  yield
}
