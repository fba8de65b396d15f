/** Which products go on which connection. Pure, and stable: a product stays where it is while others come and go. */

import type { Venue } from '../venue/venue.ts'

/** One connection's share. */
export interface Shard {
  /** From 0. */
  readonly index: number
  /** Empty when all of them are gone: its connection waits for others. */
  readonly products: readonly string[]
}

/**
 * Places products on connections of at most `limit` each, heavy books apart from each other as far as there are connections.
 *
 * @param limit products on one connection
 * @param before the shards of now, whose products stay where they are as long as they are still wanted
 */
export function planShards(
  venue: Venue,
  products: readonly string[],
  limit: number,
  before: readonly Shard[] = [],
): Shard[] {
  const wanted = new Set(products)
  const shards = before.map((shard) => ({
    index: shard.index,
    products: shard.products.filter((one) => wanted.has(one)),
  }))
  const placed = new Set(shards.flatMap((shard) => shard.products))
  const missing = [...wanted].filter((one) => !placed.has(one))
  const needed = Math.ceil(wanted.size / limit)
  let index = Math.max(-1, ...shards.map((shard) => shard.index))
  while (shards.length < needed) shards.push({ index: ++index, products: [] })
  const isHeavy = (product: string): boolean => venue.heavyProducts.includes(product)
  for (const product of [...missing.filter(isHeavy), ...missing.filter((one) => !isHeavy(one))]) {
    const room = shards.filter((shard) => shard.products.length < limit)
    const load = (shard: { products: string[] }): number =>
      shard.products.length + (isHeavy(product) ? limit * shard.products.filter(isHeavy).length : 0)
    const least = room.reduce((best, shard) => (load(shard) < load(best) ? shard : best), room[0]!)
    least.products.push(product)
  }
  return shards
}
