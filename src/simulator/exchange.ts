/** All markets and who listens to them: builds each frame's events once and gives them to every session that can take one. */

import type { Clock } from '../core/clock.ts'
import { CandleSeries } from './candles.ts'
import {
  candlesEvent,
  snapshotEvent,
  statusEvent,
  tickerEvent,
  tickerRow,
  tradeRows,
  tradesEvent,
  updateEvent,
} from './frames.ts'
import { ProductMarket, type Instant } from './market.ts'
import { makeProduct, priceText, type Product } from './products.ts'
import type { Session } from './session.ts'
import { InstantText, instantOf, shiftInstant, toMicros } from './text.ts'

/** Sessions of one product by channel. */
export interface Listing {
  readonly market: ProductMarket
  readonly candles: CandleSeries
  /** How long the engine's time is behind the send time, in nanoseconds; 25 to 70 ms, fixed so that it never runs back. */
  readonly lagNanos: number
  readonly book: Set<Session>
  readonly trades: Set<Session>
  readonly ticker: Set<Session>
  readonly tickerBatch: Set<Session>
  readonly candleSessions: Set<Session>
  /** A trade has happened since the last frame of the channel. */
  isTickerDue: boolean
  isTickerBatchDue: boolean
  isCandleDue: boolean
}

export class Exchange {
  readonly listings: Listing[] = []
  readonly sessions = new Set<Session>()
  readonly #byId = new Map<string, Listing>()
  readonly #clock: Clock
  readonly #seed: number
  readonly #depth: 'realistic' | number
  readonly #stampText = new InstantText()
  #now: Instant
  #stampNanos = 0
  readonly #unannounced: Product[] = []
  readonly #delisted = new Map<string, Product>()
  /** Counts up whenever a subscription changes, so that lists made from them can be made anew. */
  version = 0

  constructor(products: readonly Product[], clock: Clock, seed: number, depth: 'realistic' | number) {
    this.#clock = clock
    this.#seed = seed
    this.#depth = depth
    this.#now = instantOf(clock.nowNs())
    for (const product of products) this.#add(product)
  }

  get products(): Product[] {
    return this.listings.map((listing) => listing.market.product)
  }

  /** Traded no more. */
  get delisted(): Product[] {
    return [...this.#delisted.values()]
  }

  listing(id: string): Listing | undefined {
    return this.#byId.get(id)
  }

  /** Lists a new product; the status channel tells of it. False: it is listed already. */
  list(id: string): boolean {
    if (this.#byId.has(id)) return false
    this.#delisted.delete(id)
    this.#unannounced.push(this.#add(makeProduct(id, this.#seed, this.#depth)).market.product)
    return true
  }

  /** Trades a product no more: who is subscribed gets nothing further of it. False: it was not listed. */
  delist(id: string): boolean {
    const listing = this.#byId.get(id)
    if (listing === undefined) return false
    this.#byId.delete(id)
    this.listings.splice(this.listings.indexOf(listing), 1)
    this.#delisted.set(id, listing.market.product)
    this.version++
    return true
  }

  /** Tells the status channel what was listed since the last call. */
  publishStatus(nowMs: number): void {
    if (this.#unannounced.length === 0) return
    const events = statusEvent(this.#unannounced.splice(0))
    for (const session of this.sessions)
      if (session.subscribed('status').size > 0 && session.canTake(nowMs)) session.emit('status', events)
  }

  /** Reads the clock; all stamps until the next call follow from it. */
  setTime(): void {
    const now = instantOf(this.#clock.nowNs())
    this.#now = now
    this.#stampNanos = 0
  }

  /** The send time of the next frame: a little later with each frame of a tick. */
  stamp(): string {
    this.#stampNanos = Math.min(this.#stampNanos + 211, 900_000_000)
    return this.#stampText.of(shiftInstant(this.#now, this.#stampNanos))
  }

  get now(): Instant {
    return this.#now
  }

  engineTime(listing: Listing): Instant {
    return toMicros(shiftInstant(this.#now, -listing.lagNanos))
  }

  bestOffer(productId: string): string {
    const market = this.#byId.get(productId)?.market
    return market === undefined ? '1' : priceText(market.product, market.offers.best)
  }

  /** Lets a taker order hit the book. */
  trade(listing: Listing): void {
    listing.market.trade(this.engineTime(listing))
    listing.isTickerDue = true
    listing.isTickerBatchDue = true
    listing.isCandleDue = true
  }

  /**
   * One frame of what changed in the book, for each session that can take it; the others get it later.
   *
   * @param copies how often it is sent, each time with a number of its own: sizes are absolute, so repeating changes nothing
   * @returns frames made for one session
   */
  publishBook(listing: Listing, nowMs: number, copies: number): number {
    const { market } = listing
    if (!market.hasChanges) return 0
    const changes = market.takeChanges()
    const time = this.engineTime(listing)
    let shared: string | undefined
    for (const session of listing.book) {
      const lag = session.lag(market.product.id)
      if (!session.canTake(nowMs)) {
        lag.keep(changes)
        continue
      }
      const own = lag.join(changes)
      const event =
        own === changes ? (shared ??= updateEvent(market, own, time)) : updateEvent(market, own, time)
      for (let i = 0; i < copies; i++) session.emit('l2_data', event)
    }
    return listing.book.size === 0 ? 0 : copies
  }

  publishTrades(listing: Listing, nowMs: number): number {
    const { market } = listing
    let shared: string | undefined
    let sharedFrom = 0
    for (const session of listing.trades) {
      const lag = session.lag(market.product.id)
      if (lag.nextTradeId > market.lastTradeId) continue
      if (lag.nextTradeId < market.oldestTradeId) session.end('slow_consumer', 1008)
      if (!session.canTake(nowMs)) continue
      const from = lag.nextTradeId
      lag.nextTradeId = market.lastTradeId + 1
      if (session.hasFault('mixed_trades') && this.#publishMixed(session, listing, from)) continue
      if (shared === undefined || sharedFrom !== from) {
        shared = tradesEvent('update', tradeRows(market.product, market.tradesFrom(from)))
        sharedFrom = from
      }
      session.emit('market_trades', shared)
    }
    return shared === undefined ? 0 : 1
  }

  publishTicker(listing: Listing, nowMs: number): number {
    if (!listing.isTickerDue) return 0
    listing.isTickerDue = false
    return emitAll(listing.ticker, 'ticker', nowMs, () =>
      tickerEvent('update', tickerRow(listing.market, true)),
    )
  }

  publishTickerBatch(listing: Listing, nowMs: number): number {
    if (!listing.isTickerBatchDue) return 0
    listing.isTickerBatchDue = false
    return emitAll(listing.tickerBatch, 'ticker_batch', nowMs, () =>
      tickerEvent('update', tickerRow(listing.market, false)),
    )
  }

  publishCandles(listing: Listing, nowMs: number): number {
    if (!listing.isCandleDue) return 0
    listing.isCandleDue = false
    return emitAll(listing.candleSessions, 'candles', nowMs, () =>
      candlesEvent('update', listing.market.product, [listing.candles.current(this.#now)]),
    )
  }

  /** The first frame of a new subscriber. */
  sendSnapshot(channel: string, listing: Listing, session: Session): void {
    const { market } = listing
    if (channel === 'level2') {
      session.lag(market.product.id).forgetBook()
      session.emit('l2_data', snapshotEvent(market, this.engineTime(listing)))
    } else if (channel === 'market_trades') {
      const from = Math.max(market.oldestTradeId, market.lastTradeId - 99)
      session.lag(market.product.id).nextTradeId = market.lastTradeId + 1
      session.emit(
        'market_trades',
        tradesEvent('snapshot', tradeRows(market.product, market.tradesFrom(from))),
      )
    } else if (channel === 'candles')
      session.emit('candles', candlesEvent('snapshot', market.product, listing.candles.history(this.#now)))
    else session.emit(channel, tickerEvent('snapshot', tickerRow(market, channel === 'ticker')))
  }

  /** The sessions of a product and channel; undefined for channels without products. */
  static listeners(listing: Listing, channel: string): Set<Session> | undefined {
    if (channel === 'level2') return listing.book
    if (channel === 'market_trades') return listing.trades
    if (channel === 'ticker') return listing.ticker
    if (channel === 'ticker_batch') return listing.tickerBatch
    return channel === 'candles' ? listing.candleSessions : undefined
  }

  remove(session: Session): void {
    this.sessions.delete(session)
    for (const listing of this.listings)
      for (const channel of ['level2', 'market_trades', 'ticker', 'ticker_batch', 'candles'])
        Exchange.listeners(listing, channel)?.delete(session)
    this.version++
  }

  /** Trades of two products in one frame. False: the session has no second product. */
  #publishMixed(session: Session, listing: Listing, from: number): boolean {
    const other = this.listings.find((each) => each !== listing && each.trades.has(session))
    if (other === undefined) return false
    const lag = session.lag(other.market.product.id)
    if (lag.nextTradeId > other.market.lastTradeId) this.trade(other)
    const rows = [
      tradeRows(listing.market.product, listing.market.tradesFrom(from)),
      tradeRows(other.market.product, other.market.tradesFrom(lag.nextTradeId)),
    ]
    lag.nextTradeId = other.market.lastTradeId + 1
    session.takeFault('mixed_trades')
    session.emit('market_trades', tradesEvent('update', rows.filter((row) => row !== '').join(',')))
    return true
  }

  #add(product: Product): Listing {
    const market = new ProductMarket(product, this.#seed, this.#now)
    const listing: Listing = {
      market,
      candles: new CandleSeries(market),
      lagNanos: 25_000_000 + ((this.listings.length * 7_919_000) % 45_000_000),
      book: new Set(),
      trades: new Set(),
      ticker: new Set(),
      tickerBatch: new Set(),
      candleSessions: new Set(),
      isTickerDue: false,
      isTickerBatchDue: false,
      isCandleDue: false,
    }
    this.listings.push(listing)
    this.#byId.set(product.id, listing)
    return listing
  }
}

function emitAll(
  sessions: ReadonlySet<Session>,
  channel: string,
  nowMs: number,
  events: () => string,
): number {
  if (sessions.size === 0) return 0
  const text = events()
  for (const session of sessions) if (session.canTake(nowMs)) session.emit(channel, text)
  return 1
}
