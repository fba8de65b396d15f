/**
 * One product's market: a book that is never crossed, trades that eat its top, ids without holes. Pure and seeded:
 * the same seed and the same calls give the same prices, sizes and trades.
 */

import { assert } from '../core/assert.ts'
import type { Random } from '../core/clock.ts'
import { forkRandom } from '../core/random.ts'
import { BookSide } from './book-side.ts'
import type { Product } from './products.ts'

/** An instant as two plain numbers: the hot path does without bigint. */
export interface Instant {
  /** Epoch seconds. */
  readonly second: number
  /** 0 to 999,999,999. */
  readonly nanos: number
}

export interface Trade {
  readonly id: number
  /** Ticks. */
  readonly price: number
  /** In units of the product's last decimal of a size. */
  readonly size: number
  readonly time: Instant
  /** The side of the resting order. */
  readonly makerSide: 'BUY' | 'SELL'
}

/** Prices whose level changed, each once: bids from the best down, offers from the best up. */
export interface Changes {
  readonly bids: readonly number[]
  readonly offers: readonly number[]
}

/** Trades kept for those who come late: a slow consumer may lag this far behind. */
export const tradesKept = 4096

/** Levels a side never falls below, so that there is always a best price. */
const levelsMin = 5

export class ProductMarket {
  readonly product: Product
  readonly bids = new BookSide('bid')
  readonly offers = new BookSide('offer')
  readonly #random: Random
  readonly #trades: Trade[] = []
  #changedBids: number[] = []
  #changedOffers: number[] = []
  #lastTradeId: number
  #volume: number
  #low: number
  #high: number

  /** @param now trades before it make up the history a new subscriber gets */
  constructor(product: Product, seed: number, now: Instant) {
    this.product = product
    this.#random = forkRandom(seed, `market ${product.id}`)
    this.#lastTradeId = 1_000_000 + Math.trunc(this.#random() * 900_000_000)
    this.#volume = Math.trunc(this.#random() * 1300 * product.sizeUnitsMax)
    this.#low = Math.trunc(product.startTicks * 0.98)
    this.#high = Math.ceil(product.startTicks * 1.02)
    const spread = 1 + Math.trunc(this.#random() * 3)
    this.#fill(this.bids, product.startTicks, product.bids)
    this.#fill(this.offers, product.startTicks + spread, product.offers)
    this.#makeHistory(now)
  }

  get lastTradeId(): number {
    return this.#lastTradeId
  }

  get lastTrade(): Trade {
    const trade = this.#trades[this.#trades.length - 1]
    assert(trade !== undefined, 'a market has a history of trades')
    return trade
  }

  /** Of the last day, in the units of a size. */
  get volume(): number {
    return this.#volume
  }

  get low(): number {
    return this.#low
  }

  get high(): number {
    return this.#high
  }

  /** The oldest trade id `tradesFrom` can still give. */
  get oldestTradeId(): number {
    return this.#lastTradeId - this.#trades.length + 1
  }

  /** Trades with ids from `id` on, newest first. */
  tradesFrom(id: number): Trade[] {
    const count = Math.min(this.#trades.length, this.#lastTradeId - id + 1)
    return count <= 0 ? [] : this.#trades.slice(-count).toReversed()
  }

  /** Moves the book by about `changes` levels. */
  step(changes: number): void {
    for (let i = 0; i < changes; i++) this.#changeLevel(this.#random() < 0.5 ? this.bids : this.offers)
  }

  /** One taker order: one to three fills with the same time, each at a level's price and no larger than it. */
  trade(time: Instant): void {
    const taken = this.#random() < this.#buyChance() ? this.offers : this.bids
    const fills = 1 + Math.trunc(this.#random() * this.#random() * 3)
    for (let i = 0; i < fills && taken.count > levelsMin; i++) {
      const price = taken.best
      const available = taken.sizeAt(0)
      const size = i < fills - 1 ? available : Math.max(1, Math.trunc(available * this.#random()))
      this.#set(taken, price, available - size)
      this.#record({ price, size, time, makerSide: taken.side === 'bid' ? 'BUY' : 'SELL' })
    }
  }

  get hasChanges(): boolean {
    return this.#changedBids.length + this.#changedOffers.length > 0
  }

  /** What changed since the last call; the sizes are those of the book now. */
  takeChanges(): Changes {
    const bids = sortedOnce(this.#changedBids, -1)
    const offers = sortedOnce(this.#changedOffers, 1)
    this.#changedBids = []
    this.#changedOffers = []
    return { bids, offers }
  }

  #fill(side: BookSide, best: number, count: number): void {
    const random = this.#random
    // Levels thin out with distance; the whole side spans less than half of the price.
    const growth = Math.min(0.02, (this.product.startTicks * 0.6) / (count * count + 1))
    const prices: number[] = []
    for (let i = 0, price = best; i < count; i++) {
      prices.push(price)
      price = side.shifted(price, -1 - Math.trunc(random() * i * growth))
    }
    for (let i = count - 1; i >= 0; i--) side.set(prices[i] ?? 0, this.#size())
  }

  #makeHistory(now: Instant): void {
    for (let age = 100; age > 0; age--) {
      const isBuy = this.#random() < 0.5
      const price = isBuy ? this.bids.best : this.offers.best
      const time = { second: now.second - age, nanos: Math.trunc(this.#random() * 1_000_000) * 1000 }
      const size = Math.max(1, Math.trunc(this.#size() / 4))
      this.#record({ price, size, time, makerSide: isBuy ? 'BUY' : 'SELL' })
    }
  }

  #changeLevel(side: BookSide): void {
    const random = this.#random
    const target = side.side === 'bid' ? this.product.bids : this.product.offers
    if (this.offers.best - this.bids.best > 3 && random() < 0.4)
      return this.#set(side, side.shifted(side.best, 1), this.#size())
    const depth = Math.min(side.count - 1, Math.trunc(-Math.log(1 - random()) * 9))
    const price = side.priceAt(depth)
    if (random() < 0.55) return this.#set(side, price, this.#size())
    if (side.count > target && side.count > levelsMin) return this.#set(side, price, 0)
    const behind = side.shifted(price, -1)
    if (behind > 0) this.#set(side, behind, this.#size())
  }

  #set(side: BookSide, price: number, size: number): void {
    side.set(price, size)
    const changed = side.side === 'bid' ? this.#changedBids : this.#changedOffers
    changed.push(price)
  }

  #record(trade: Omit<Trade, 'id'>): void {
    this.#lastTradeId++
    this.#trades.push({ id: this.#lastTradeId, ...trade })
    if (this.#trades.length >= 2 * tradesKept) this.#trades.splice(0, tradesKept)
    this.#volume += trade.size
    this.#low = Math.min(this.#low, trade.price)
    this.#high = Math.max(this.#high, trade.price)
  }

  /** Pulls the price back to where it started, so that a long run does not walk off to zero. */
  #buyChance(): number {
    const drift = this.bids.best / this.product.startTicks - 1
    return 0.5 - Math.max(-0.3, Math.min(0.3, drift * 10))
  }

  /** Mostly small, sometimes large, now and then a round number: the lengths of text vary as they do live. */
  #size(): number {
    const { sizeUnitsMax } = this.product
    const draw = this.#random()
    const size = Math.trunc(draw * draw * draw * sizeUnitsMax) + 1
    return draw < 0.9 ? size : Math.ceil((size * 30) / sizeUnitsMax) * (sizeUnitsMax / 30)
  }
}

/** In place, each price once. By insertion: a frame has a handful of changes. */
function sortedOnce(prices: number[], direction: 1 | -1): number[] {
  let count = 0
  for (const price of prices) {
    let at = count
    while (at > 0 && ((prices[at - 1] ?? 0) - price) * direction > 0) at--
    if (at > 0 && prices[at - 1] === price) continue
    for (let i = count; i > at; i--) prices[i] = prices[i - 1] ?? 0
    prices[at] = price
    count++
  }
  prices.length = count
  return prices
}
