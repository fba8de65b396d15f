/** The text of the venue's frames, byte for byte in its shape. Pure; everything here is ASCII. */

import type { ProductMarket, Trade, Changes, Instant } from './market.ts'
import { priceText, sizeText, type Product } from './products.ts'
import { decimalText, InstantText } from './text.ts'

export type Channel =
  | 'l2_data'
  | 'market_trades'
  | 'ticker'
  | 'ticker_batch'
  | 'candles'
  | 'status'
  | 'heartbeats'
  | 'subscriptions'

/** A frame up to its events, which frames of several connections share; `frameEnd` follows them. */
export function frameHead(channel: string, timestamp: string, sequence: number): string {
  return `{"channel":"${channel}","timestamp":"${timestamp}","sequence_num":${sequence},"events":[`
}

export const frameEnd = ']}'

/** The only frame without a channel and a sequence number. */
export function errorText(message: string): string {
  return `{"type":"error","message":${JSON.stringify(message)}}`
}

const engineText = new InstantText()

export function snapshotEvent(market: ProductMarket, time: Instant): string {
  const rows: string[] = []
  const stamp = engineText.of(time)
  for (const side of [market.bids, market.offers])
    for (let i = 0; i < side.count; i++)
      rows.push(levelRow(side.side, stamp, side.priceAt(i), side.sizeAt(i), market.product))
  return `{"type":"snapshot","product_id":"${market.product.id}","updates":[${rows.join(',')}]}`
}

/** Sizes are those of the book now; a level that is gone prints `"0"`. */
export function updateEvent(market: ProductMarket, changes: Changes, time: Instant): string {
  const stamp = engineText.of(time)
  const product = market.product
  let rows = ''
  for (const price of changes.bids)
    rows += `${rows === '' ? '' : ','}${levelRow('bid', stamp, price, market.bids.sizeOf(price), product)}`
  for (const price of changes.offers)
    rows += `${rows === '' ? '' : ','}${levelRow('offer', stamp, price, market.offers.sizeOf(price), product)}`
  return `{"type":"update","product_id":"${product.id}","updates":[${rows}]}`
}

function levelRow(side: string, stamp: string, price: number, size: number, product: Product): string {
  return `{"side":"${side}","event_time":"${stamp}","price_level":"${priceText(product, price)}","new_quantity":"${sizeText(product, size)}"}`
}

/** @param rows from tradeRows; several products' rows may be joined */
export function tradesEvent(type: 'snapshot' | 'update', rows: string): string {
  return `{"type":"${type}","trades":[${rows}]}`
}

/** @param trades newest first */
export function tradeRows(product: Product, trades: readonly Trade[]): string {
  let rows = ''
  for (const { id, price, size, time, makerSide } of trades)
    rows += `${rows === '' ? '' : ','}{"product_id":"${product.id}","trade_id":"${id}","price":"${priceText(product, price)}","size":"${sizeText(product, size)}","time":"${engineText.of(time)}","side":"${makerSide}"}`
  return rows
}

export function tickerEvent(type: 'snapshot' | 'update', rows: string): string {
  return `{"type":"${type}","tickers":[${rows}]}`
}

/** `ticker_batch` has no best bid and offer. */
export function tickerRow(market: ProductMarket, withBest: boolean): string {
  const { product, bids, offers, low, high } = market
  const price = (ticks: number): string => priceText(product, ticks)
  const change = (market.lastTrade.price / product.startTicks - 1) * 100
  const best = withBest
    ? `,"best_bid":"${price(bids.best)}","best_ask":"${price(offers.best)}","best_bid_quantity":"${sizeText(product, bids.sizeAt(0))}","best_ask_quantity":"${sizeText(product, offers.sizeAt(0))}"`
    : ''
  return `{"type":"ticker","product_id":"${product.id}","price":"${price(market.lastTrade.price)}","volume_24_h":"${sizeText(product, market.volume)}","low_24_h":"${price(low)}","high_24_h":"${price(high)}","low_52_w":"${price(Math.trunc(product.startTicks * 0.6))}","high_52_w":"${price(product.startTicks * 2)}","price_percent_chg_24_h":"${signedText(change)}"${best}}`
}

/** Fourteen decimals and a sign, trimmed; never an exponent. */
function signedText(value: number): string {
  const scaled = Math.round(Math.abs(value) * 1e12)
  return `${value < 0 && scaled > 0 ? '-' : ''}${decimalText(scaled, 12)}`
}

export interface Candle {
  /** Epoch seconds, a multiple of 300. */
  readonly start: number
  /** Ticks. */
  readonly open: number
  readonly high: number
  readonly low: number
  readonly close: number
  /** In 1e-8 of the base. */
  readonly volume: number
}

/** @param candles newest first */
export function candlesEvent(
  type: 'snapshot' | 'update',
  product: Product,
  candles: readonly Candle[],
): string {
  const price = (ticks: number): string => priceText(product, ticks)
  const rows = candles.map(
    (each) =>
      `{"start":"${each.start}","high":"${price(each.high)}","low":"${price(each.low)}","open":"${price(each.open)}","close":"${price(each.close)}","volume":"${sizeText(product, each.volume)}","product_id":"${product.id}"}`,
  )
  return `{"type":"${type}","candles":[${rows.join(',')}]}`
}

export function statusEvent(products: readonly Product[]): string {
  const rows = products.map((product) => {
    const { id, type, base, quote } = product
    return `{"product_type":"${type}","id":"${id}","base_currency":"${base}","quote_currency":"${quote}","base_increment":"${sizeText(product, 1)}","quote_increment":"${priceText(product, 1)}","display_name":"${base}/${quote}","status":"online","status_message":"","min_market_funds":"1"}`
  })
  return `{"type":"snapshot","products":[${rows.join(',')}]}`
}

/** @param uptimeSeconds the backend's, with decimals: the counter is its whole part */
export function heartbeatEvent(now: Instant, uptimeSeconds: number): string {
  const date = new Date(now.second * 1000).toISOString()
  const fraction = String(Math.trunc(now.nanos / 1000)).padStart(6, '0')
  return `{"current_time":"${date.slice(0, 10)} ${date.slice(11, 19)}.${fraction} +0000 UTC m=+${uptimeSeconds.toFixed(9)}","heartbeat_counter":${Math.trunc(uptimeSeconds)}}`
}

/** The whole set of the connection, keys and products sorted. */
export function subscriptionsEvent(set: ReadonlyMap<string, ReadonlySet<string>>): string {
  const entries = [...set].filter(([, products]) => products.size > 0).sort(([a], [b]) => (a < b ? -1 : 1))
  const keys = entries.map(([channel, products]) => `"${channel}":${JSON.stringify([...products].sort())}`)
  return `{"subscriptions":{${keys.join(',')}}}`
}
