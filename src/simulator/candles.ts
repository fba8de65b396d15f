/** Five-minute candles of a market, made from its trades; the ones before the simulation started are drawn from its price. */

import type { Candle } from './frames.ts'
import type { Instant, ProductMarket } from './market.ts'

const bucketSeconds = 300
const bucketsKept = 100

export class CandleSeries {
  readonly #market: ProductMarket
  #past: Candle[] = []
  #current: Candle | null = null
  #nextTradeId: number

  constructor(market: ProductMarket) {
    this.#market = market
    this.#nextTradeId = market.lastTradeId
  }

  /** The bucket that `now` lies in. */
  current(now: Instant): Candle {
    const start = now.second - (now.second % bucketSeconds)
    const price = this.#market.lastTrade.price
    if (this.#current !== null && this.#current.start !== start) this.#past.push(this.#current)
    if (this.#past.length > bucketsKept) this.#past.shift()
    if (this.#current?.start !== start)
      this.#current = { start, open: price, high: price, low: price, close: price, volume: 0 }
    let { high, low, volume } = this.#current
    for (const trade of this.#market.tradesFrom(this.#nextTradeId)) {
      high = Math.max(high, trade.price)
      low = Math.min(low, trade.price)
      volume += trade.size
    }
    this.#nextTradeId = this.#market.lastTradeId + 1
    this.#current = { ...this.#current, high, low, volume, close: price }
    return this.#current
  }

  /** Newest first. */
  history(now: Instant): Candle[] {
    const current = this.current(now)
    if (this.#past.length === 0) this.#past = this.#invented(current.start)
    return [current, ...this.#past.toReversed()]
  }

  /** Ten quiet buckets before the first one, oldest first. */
  #invented(before: number): Candle[] {
    const { startTicks: price, sizeUnitsMax } = this.#market.product
    return Array.from({ length: 10 }, (_, i) => ({
      start: before - (10 - i) * bucketSeconds,
      open: price,
      high: price + 12 - i,
      low: price - 3 - i,
      close: price,
      volume: Math.ceil(sizeUnitsMax / 15) * (i + 1),
    }))
  }
}
