/** The products of the simulated venue: a few with real names and prices, the rest made up from the seed. Pure. */

import { forkRandom } from '../core/random.ts'

export interface Product {
  readonly id: string
  readonly base: string
  readonly quote: string
  /** Decimals of a price; one tick is the last of them. */
  readonly priceDigits: number
  /** Price in ticks when the simulation starts. */
  readonly startTicks: number
  /** Levels a side when the simulation starts. */
  readonly bids: number
  readonly offers: number
}

/** Decimals of every size: the venue's smallest base increment. */
export const sizeDigits = 8

/** [base, price in ticks, decimals of the price, bids, offers] */
const known: readonly (readonly [string, number, number, number, number])[] = [
  ['BTC', 6_241_602, 2, 22_677, 21_104],
  ['ETH', 266_540, 2, 8_485, 8_512],
  ['SOL', 15_423, 2, 1_400, 1_350],
  ['XRP', 21_871, 4, 900, 880],
  ['DOGE', 17_341, 5, 700, 690],
  ['ADA', 6_512, 4, 500, 480],
  ['AVAX', 2_318, 2, 320, 300],
  ['LINK', 15_790, 3, 310, 330],
  ['LTC', 8_721, 2, 300, 310],
  ['SHIB', 1_234, 8, 300, 290],
]

/** The first `count` products of the venue. */
export function makeProducts(count: number, seed: number, depth: 'realistic' | number): Product[] {
  return Array.from({ length: count }, (_, i) => makeProduct(productId(i), seed, depth))
}

function productId(index: number): string {
  const row = known[index]
  return row === undefined ? `SIM${String(index - known.length + 1).padStart(3, '0')}-USD` : `${row[0]}-USD`
}

/** A product by its id: the known ones as they are, any other with a price drawn from its name. */
export function makeProduct(id: string, seed: number, depth: 'realistic' | number): Product {
  const dash = id.lastIndexOf('-')
  const base = dash < 0 ? id : id.slice(0, dash)
  const quote = dash < 0 ? 'USD' : id.slice(dash + 1)
  const random = forkRandom(seed, `product ${id}`)
  const [, startTicks, priceDigits, bids, offers] = known.find(([name]) => name === base) ?? [
    base,
    2_000 + Math.trunc(random() * 90_000),
    2 + Math.trunc(random() * 4),
    280 + Math.trunc(random() * 40),
    280 + Math.trunc(random() * 40),
  ]
  // A bid at or below zero is impossible: no deeper than the price has ticks to give.
  const deepest = Math.trunc(startTicks * 0.3)
  const levels = (count: number): number => Math.min(deepest, depth === 'realistic' ? count : depth)
  return { id, base, quote, priceDigits, startTicks, bids: levels(bids), offers: levels(offers) }
}

/** The venue rewrites `X-USDC` to `X-USD`: its data come under the latter name. */
export function canonicalId(id: string): string {
  return id.endsWith('-USDC') ? id.slice(0, -1) : id
}
