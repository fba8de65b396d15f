/** Product ids in a frame's bytes to their numbers: 20 ns, where a text to look up costs 200. Pure but for what it has seen. */

import { startsWith } from '../core/starts-with.ts'
import type { Texts } from './row-columns.ts'

const quote = 0x22
/** Ids that are their own folder's name; others are looked at one by one. */
const plainProduct = /^[A-Z0-9](?:[A-Z0-9._-]{0,98}[A-Z0-9_-])?$/
const sizeBytesMax = 100
/** More products than a venue lists; those that meet in a slot take turns in it. */
const slots = 4096

interface Known {
  readonly bytes: Buffer
  readonly code: number
}

export class ProductReader {
  /** Where the last one ended, after its closing quotation mark. */
  until = 0
  readonly #products: Texts
  readonly #known: (Known | undefined)[] = Array.from({ length: slots })

  constructor(products: Texts) {
    this.#products = products
  }

  /**
   * @param from after the opening quotation mark
   * @returns the product's number; -1 when it is not one that is its own folder's name
   */
  read(bytes: Buffer, from: number): number {
    let hash = 0
    let at = from
    for (let byte = bytes[at]!; byte !== quote && at - from <= sizeBytesMax; byte = bytes[++at]!)
      hash = Math.imul(hash, 31) + byte
    const slot = (hash ^ (hash >>> 12)) & (slots - 1)
    const known = this.#known[slot]
    this.until = at + 1
    if (known !== undefined && known.bytes.length === at - from && startsWith(bytes, from, known.bytes))
      return known.code
    const text = bytes.toString('latin1', from, at)
    if (!plainProduct.test(text)) return -1
    const code = this.#products.codeOf(text)
    this.#known[slot] = { bytes: Buffer.from(text), code }
    return code
  }
}
