/**
 * Keys seen to be at the target in this run, so that receipts need not ask for each of their parts again. Sixteen bytes a key at most;
 * when it is full, the rest is asked of the store. Two keys share a fingerprint of 64 bits once in millions of runs.
 */

import { createHash } from 'node:crypto'

const fullAt = 0.6

export class SeenKeys {
  readonly #slotsMax: number
  #slots: BigUint64Array
  #count = 0

  /** @param keysMax beyond this, keys are forgotten at once */
  constructor(keysMax: number) {
    this.#slotsMax = 2 ** Math.ceil(Math.log2(keysMax / fullAt))
    this.#slots = new BigUint64Array(Math.min(1024, this.#slotsMax))
  }

  add(key: string): void {
    if (this.#count >= this.#slots.length * fullAt && !this.#grow()) return
    if (this.#put(fingerprint(key))) this.#count++
  }

  /** false: not seen, or forgotten. */
  has(key: string): boolean {
    const wanted = fingerprint(key)
    const mask = this.#slots.length - 1
    for (let at = Number(wanted & BigInt(mask)); this.#slots[at] !== 0n; at = (at + 1) & mask)
      if (this.#slots[at] === wanted) return true
    return false
  }

  #grow(): boolean {
    if (this.#slots.length >= this.#slotsMax) return false
    const before = this.#slots
    this.#slots = new BigUint64Array(before.length * 2)
    for (const one of before) if (one !== 0n) this.#put(one)
    return true
  }

  #put(one: bigint): boolean {
    const mask = this.#slots.length - 1
    let at = Number(one & BigInt(mask))
    while (this.#slots[at] !== 0n) {
      if (this.#slots[at] === one) return false
      at = (at + 1) & mask
    }
    this.#slots[at] = one
    return true
  }
}

/** Never 0, which marks an empty slot. */
function fingerprint(key: string): bigint {
  const one = createHash('sha1').update(key).digest().readBigUInt64LE(0)
  return one === 0n ? 1n : one
}
