/** Walks the first level of a JSON object by bytes, exactly: what stands inside strings or deeper is never mistaken for a key. */

const quote = 0x22
const backslash = 0x5c
const comma = 0x2c
const colon = 0x3a
const braceOpen = 0x7b
const braceClose = 0x7d
const bracketOpen = 0x5b
const bracketClose = 0x5d

/** Told of each key at the first level; returns true when it has seen enough. Positions are of the bytes between the quotes or around the value. */
export type KeyVisitor = (
  bytes: Buffer,
  keyFrom: number,
  keyUntil: number,
  valueFrom: number,
  valueUntil: number,
) => boolean

/**
 * Visits keys until the visitor has enough, the object ends or it is not JSON. A nested value is visited only if the walk has to pass
 * it, with both positions at its first byte and past its last; about 1 ns a byte.
 */
export function walkEnvelope(bytes: Buffer, visit: KeyVisitor): void {
  let at = skipSpace(bytes, 0)
  if (bytes[at] !== braceOpen) return
  at = skipSpace(bytes, at + 1)
  while (bytes[at] === quote) {
    const keyFrom = at + 1
    const keyUntil = stringEnd(bytes, keyFrom)
    at = skipSpace(bytes, keyUntil + 1)
    if (keyUntil < 0 || bytes[at] !== colon) return
    const valueFrom = skipSpace(bytes, at + 1)
    const valueUntil = valueEnd(bytes, valueFrom)
    if (valueUntil < 0 || visit(bytes, keyFrom, keyUntil, valueFrom, valueUntil)) return
    at = skipSpace(bytes, valueUntil)
    if (bytes[at] !== comma) return
    at = skipSpace(bytes, at + 1)
  }
}

function skipSpace(bytes: Buffer, at: number): number {
  while (bytes[at] === 0x20 || bytes[at] === 0x0a || bytes[at] === 0x0d || bytes[at] === 0x09) at++
  return at
}

/** Index of the closing quote; -1: there is none. */
function stringEnd(bytes: Buffer, at: number): number {
  for (; at < bytes.length; at++) {
    if (bytes[at] === quote) return at
    if (bytes[at] === backslash) at++
  }
  return -1
}

/** Index past a value's last byte; -1: it does not end. */
function valueEnd(bytes: Buffer, at: number): number {
  const first = bytes[at]
  if (first === quote) {
    const end = stringEnd(bytes, at + 1)
    return end < 0 ? -1 : end + 1
  }
  if (first === braceOpen || first === bracketOpen) return nestedEnd(bytes, at)
  const from = at
  while (at < bytes.length && bytes[at] !== comma && bytes[at] !== braceClose && bytes[at]! > 0x20) at++
  return at === from || at === bytes.length ? -1 : at
}

function nestedEnd(bytes: Buffer, at: number): number {
  let depth = 0
  for (; at < bytes.length; at++) {
    const byte = bytes[at]
    if (byte === quote) {
      at = stringEnd(bytes, at + 1)
      if (at < 0) return -1
    } else if (byte === braceOpen || byte === bracketOpen) depth++
    else if ((byte === braceClose || byte === bracketClose) && --depth === 0) return at + 1
  }
  return -1
}
