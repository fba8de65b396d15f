/** Equality of two JSON texts as values: spaces, the order of keys and the escapes of strings aside, numbers digit by digit. Pure. */

import { listElements, objectMembers } from '../../dataset/json-text.ts'

/** @param a @param b known to be JSON */
export function isEqualJson(a: string, b: string): boolean {
  return a === b || canonical(a) === canonical(b)
}

/** Doubled keys all stay, in their order. */
function canonical(text: string): string {
  const members = objectMembers(text)
  if (members !== undefined) {
    const parts = members.map(({ key, text: value }) => ({
      key: plainString(`"${key}"`),
      value: canonical(value),
    }))
    parts.sort((x, y) => (x.key < y.key ? -1 : x.key > y.key ? 1 : 0))
    return `{${parts.map(({ key, value }) => `${key}:${value}`).join(',')}}`
  }
  const elements = listElements(text)
  if (elements !== undefined) return `[${elements.map(canonical).join(',')}]`
  const scalar = text.trim()
  return scalar.startsWith('"') ? plainString(scalar) : scalar
}

function plainString(text: string): string {
  return JSON.stringify(JSON.parse(text))
}
