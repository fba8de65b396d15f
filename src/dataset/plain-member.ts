/**
 * Members of an object that no column knows, passed over as they stand: JSON (RFC 8259) in ASCII without spaces and escapes, which needs no
 * decoding to be kept. Pure.
 */

const quote = 0x22
const backslash = 0x5c
const comma = 0x2c
const colon = 0x3a
const openObject = 0x7b
const closeObject = 0x7d
const openList = 0x5b
const closeList = 0x5d
const minus = 0x2d
const plus = 0x2b
const dot = 0x2e
const zero = 0x30
/** Deeper ones are left to the exact way. */
const depthMax = 16

/**
 * @param at of a string's quotation mark
 * @returns after the closing one; -1 when it is none, or not plain
 */
export function plainStringEnd(bytes: Buffer, at: number, until: number): number {
  if (at >= until || bytes[at] !== quote) return -1
  for (let end = at + 1; end < until; end++) {
    const byte = bytes[end]!
    if (byte === quote) return end + 1
    if (byte === backslash || byte < 0x20 || byte > 0x7e) return -1
  }
  return -1
}

/** @returns where the value ends; -1 when it is none, or not plain */
export function plainValueEnd(bytes: Buffer, at: number, until: number, depth = 0): number {
  if (at >= until || depth > depthMax) return -1
  switch (bytes[at]!) {
    case quote:
      return plainStringEnd(bytes, at, until)
    case openObject:
      return membersEnd(bytes, at + 1, until, depth + 1)
    case openList:
      return elementsEnd(bytes, at + 1, until, depth + 1)
    default:
      return wordEnd(bytes, at, until) ?? numberEnd(bytes, at, until)
  }
}

/** @returns where the value of a member ends; -1 when the member is none, or not plain */
export function plainMemberEnd(bytes: Buffer, at: number, until: number, depth = 0): number {
  const keyEnd = plainStringEnd(bytes, at, until)
  return keyEnd < 0 || bytes[keyEnd] !== colon ? -1 : plainValueEnd(bytes, keyEnd + 1, until, depth)
}

function membersEnd(bytes: Buffer, from: number, until: number, depth: number): number {
  if (bytes[from] === closeObject) return from + 1
  for (let at = from; ; at++) {
    at = plainMemberEnd(bytes, at, until, depth)
    if (at < 0 || at >= until) return -1
    if (bytes[at] === closeObject) return at + 1
    if (bytes[at] !== comma) return -1
  }
}

function elementsEnd(bytes: Buffer, from: number, until: number, depth: number): number {
  if (bytes[from] === closeList) return from + 1
  for (let at = from; ; at++) {
    at = plainValueEnd(bytes, at, until, depth)
    if (at < 0 || at >= until) return -1
    if (bytes[at] === closeList) return at + 1
    if (bytes[at] !== comma) return -1
  }
}

const words = ['true', 'false', 'null'].map((word) => Buffer.from(word))

/** @returns undefined when none of JSON's words stands there */
function wordEnd(bytes: Buffer, at: number, until: number): number | undefined {
  const word = words.find((one) => one[0] === bytes[at])
  if (word === undefined) return undefined
  const end = at + word.length
  return end <= until && word.equals(bytes.subarray(at, end)) ? end : -1
}

function numberEnd(bytes: Buffer, from: number, until: number): number {
  let at = bytes[from] === minus ? from + 1 : from
  const whole = digitsEnd(bytes, at, until)
  if (whole === at || (bytes[at] === zero && whole > at + 1)) return -1
  at = whole
  if (at < until && bytes[at] === dot) {
    const end = digitsEnd(bytes, at + 1, until)
    if (end === at + 1) return -1
    at = end
  }
  if (at < until && (bytes[at]! | 0x20) === 0x65) {
    const from10 = bytes[at + 1] === plus || bytes[at + 1] === minus ? at + 2 : at + 1
    const end = digitsEnd(bytes, from10, until)
    return end === from10 ? -1 : end
  }
  return at
}

function digitsEnd(bytes: Buffer, from: number, until: number): number {
  let at = from
  while (at < until && bytes[at]! >= zero && bytes[at]! <= 0x39) at++
  return at
}
