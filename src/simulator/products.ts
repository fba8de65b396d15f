/** The products of the simulated venue: a few with real names and prices, the rest made up from the seed. Pure. */

import { forkRandom } from '../core/random.ts'
import { decimalText } from './text.ts'

export interface Product {
  readonly id: string
  readonly base: string
  readonly quote: string
  readonly type: 'SPOT' | 'FUTURE'
  /** Decimals of a price. */
  readonly priceDigits: number
  /** One tick in units of the last decimal. */
  readonly tickUnits: number
  /** Decimals of a size: 8 for coins, 0 for contracts. */
  readonly sizeDigits: number
  /** The largest ordinary order, in units of the last decimal of a size. */
  readonly sizeUnitsMax: number
  /** Price in ticks when the simulation starts. */
  readonly startTicks: number
  /** Levels a side when the simulation starts. */
  readonly bids: number
  readonly offers: number
}

/** A future among the first products: sizes are whole contracts, prices move by 5, the list shows no status. */
const futureId = 'BIP-20DEC30-CDE'

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
  if (row !== undefined) return `${row[0]}-USD`
  return index === known.length ? futureId : `SIM${String(index - known.length).padStart(3, '0')}-USD`
}

/** A product by its id: the known ones as they are, any other with a price drawn from its name. */
export function makeProduct(id: string, seed: number, depth: 'realistic' | number): Product {
  if (id === futureId) return makeFuture(depth)
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
  const levels = levelsOf(startTicks, depth)
  return {
    id,
    base,
    quote,
    type: 'SPOT',
    priceDigits,
    tickUnits: 1,
    sizeDigits: 8,
    sizeUnitsMax: 300_000_000,
    startTicks,
    bids: levels(bids),
    offers: levels(offers),
  }
}

function makeFuture(depth: 'realistic' | number): Product {
  const startTicks = 12_480
  const levels = levelsOf(startTicks, depth)
  return {
    id: futureId,
    base: 'BIP',
    quote: 'USD',
    type: 'FUTURE',
    priceDigits: 0,
    tickUnits: 5,
    sizeDigits: 0,
    sizeUnitsMax: 300,
    startTicks,
    bids: levels(400),
    offers: levels(410),
  }
}

/** A bid at or below zero is impossible: no deeper than the price has ticks to give. */
function levelsOf(startTicks: number, depth: 'realistic' | number): (count: number) => number {
  const deepest = Math.trunc(startTicks * 0.3)
  return (count) => Math.min(deepest, depth === 'realistic' ? count : depth)
}

export function priceText(product: Product, ticks: number): string {
  return decimalText(ticks * product.tickUnits, product.priceDigits)
}

export function sizeText(product: Product, units: number): string {
  return decimalText(units, product.sizeDigits)
}

/** The venue rewrites `X-USDC` to `X-USD`: its data come under the latter name. */
export function canonicalId(id: string): string {
  return id.endsWith('-USDC') ? id.slice(0, -1) : id
}
