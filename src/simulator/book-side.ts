/** One side of an order book: levels by price in ticks, the best one at the end, so that work near the top moves few elements. */

export class BookSide {
  readonly side: 'bid' | 'offer'
  /** Ascending; a bid's key is its price, an offer's the negated one: the greatest key is the best level on both sides. */
  readonly #keys: number[] = []
  readonly #sizes: number[] = []
  readonly #sign: 1 | -1

  constructor(side: 'bid' | 'offer') {
    this.side = side
    this.#sign = side === 'bid' ? 1 : -1
  }

  get count(): number {
    return this.#keys.length
  }

  /** Price in ticks of the level `depth` places behind the best one. */
  priceAt(depth: number): number {
    return this.#sign * (this.#keys[this.#keys.length - 1 - depth] ?? Number.NaN)
  }

  sizeAt(depth: number): number {
    return this.#sizes[this.#sizes.length - 1 - depth] ?? 0
  }

  get best(): number {
    return this.priceAt(0)
  }

  /** The price one tick nearer to the other side (`+1`) or farther from it (`-1`). */
  shifted(price: number, ticks: number): number {
    return price + this.#sign * ticks
  }

  /** 0 when there is no such level. */
  sizeOf(price: number): number {
    const index = this.#find(this.#sign * price)
    return this.#keys[index] === this.#sign * price ? (this.#sizes[index] ?? 0) : 0
  }

  /** Size 0 removes the level. */
  set(price: number, size: number): void {
    const key = this.#sign * price
    const index = this.#find(key)
    if (this.#keys[index] !== key) {
      if (size > 0) this.#insert(index, key, size)
    } else if (size > 0) this.#sizes[index] = size
    else this.#remove(index)
  }

  /** Index of the first key not below `key`. */
  #find(key: number): number {
    let low = 0
    let high = this.#keys.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#keys[middle] ?? 0) < key) low = middle + 1
      else high = middle
    }
    return low
  }

  #insert(index: number, key: number, size: number): void {
    const keys = this.#keys
    const sizes = this.#sizes
    keys.push(key)
    sizes.push(size)
    for (let i = keys.length - 1; i > index; i--) {
      keys[i] = keys[i - 1] ?? 0
      sizes[i] = sizes[i - 1] ?? 0
    }
    keys[index] = key
    sizes[index] = size
  }

  #remove(index: number): void {
    const keys = this.#keys
    const sizes = this.#sizes
    for (let i = index; i < keys.length - 1; i++) {
      keys[i] = keys[i + 1] ?? 0
      sizes[i] = sizes[i + 1] ?? 0
    }
    keys.pop()
    sizes.pop()
  }
}
