/**
 * A JSON reader that keeps what ordinary ones lose: each value's own text, and keys as they come, doubled ones too.
 * Objects and lists are opened one level at a time; what is not opened stays text.
 */

export interface Member {
  /** As it stands between the quotes, escapes and all. */
  readonly key: string
  /** The value's own text. */
  readonly text: string
}

const quote = 0x22
const backslash = 0x5c
const comma = 0x2c
const colon = 0x3a

/** @returns null when the text is not one JSON value (RFC 8259) */
export function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch (error) {
    if (error instanceof SyntaxError) return false
    throw error
  }
}

/** Members of an object in their order. @param text known to be JSON @returns undefined when it is no object */
export function objectMembers(text: string): Member[] | undefined {
  let at = skipSpace(text, 0)
  if (text[at] !== '{') return undefined
  const members: Member[] = []
  at = skipSpace(text, at + 1)
  while (text.charCodeAt(at) === quote) {
    const keyEnd = stringEnd(text, at)
    const key = text.slice(at + 1, keyEnd - 1)
    const from = skipSpace(text, skipSpace(text, keyEnd) + 1)
    const until = valueEnd(text, from)
    members.push({ key, text: text.slice(from, until) })
    at = skipSpace(text, until)
    if (text.charCodeAt(at) === comma) at = skipSpace(text, at + 1)
  }
  return members
}

/** Elements of a list, each as its own text. @param text known to be JSON @returns undefined when it is no list */
export function listElements(text: string): string[] | undefined {
  let at = skipSpace(text, 0)
  if (text[at] !== '[') return undefined
  const elements: string[] = []
  at = skipSpace(text, at + 1)
  while (text[at] !== ']') {
    const until = valueEnd(text, at)
    elements.push(text.slice(at, until))
    at = skipSpace(text, until)
    if (text.charCodeAt(at) === comma) at = skipSpace(text, at + 1)
  }
  return elements
}

/** The characters of a string that has no escapes. @returns undefined for other values and for strings with escapes */
export function plainString(text: string): string | undefined {
  return text.charCodeAt(0) === quote && !text.includes('\\') ? text.slice(1, -1) : undefined
}

/** True when two JSON texts say the same: key order is free, numbers are compared as text, strings by their characters. */
export function sameJson(a: string, b: string): boolean {
  return normalJson(a) === normalJson(b)
}

function normalJson(text: string): string {
  const value = text.trim()
  const members = objectMembers(value)
  if (members !== undefined) {
    const parts = members.map((one) => [normalString(`"${one.key}"`), normalJson(one.text)] as const)
    // A stable sort: members of the same key stay in their order, which decides what they mean.
    return `{${parts
      .sort((x, y) => (x[0] < y[0] ? -1 : x[0] > y[0] ? 1 : 0))
      .map(([key, one]) => `${key}:${one}`)
      .join()}}`
  }
  const elements = listElements(value)
  if (elements !== undefined) return `[${elements.map(normalJson).join()}]`
  return value.startsWith('"') ? normalString(value) : value
}

function normalString(text: string): string {
  return JSON.stringify(JSON.parse(text))
}

function skipSpace(text: string, at: number): number {
  for (;;) {
    const code = text.charCodeAt(at)
    if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return at
    at++
  }
}

/** @param at of the opening quote @returns after the closing one */
function stringEnd(text: string, at: number): number {
  for (let end = text.indexOf('"', at + 1); ; end = text.indexOf('"', end + 1)) {
    let before = end - 1
    while (text.charCodeAt(before) === backslash) before--
    if ((end - before) % 2 === 1) return end + 1
  }
}

function valueEnd(text: string, at: number): number {
  const first = text.charCodeAt(at)
  if (first === quote) return stringEnd(text, at)
  if (first !== 0x7b && first !== 0x5b) {
    let end = at
    while (end < text.length && !isDelimiter(text.charCodeAt(end))) end++
    return end
  }
  let depth = 0
  for (;;) {
    const code = text.charCodeAt(at)
    if (code === quote) {
      at = stringEnd(text, at)
      continue
    }
    if (code === 0x7b || code === 0x5b) depth++
    else if ((code === 0x7d || code === 0x5d) && --depth === 0) return at + 1
    at++
  }
}

function isDelimiter(code: number): boolean {
  return code === comma || code === colon || code === 0x7d || code === 0x5d || code <= 0x20
}
