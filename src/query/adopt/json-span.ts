/** Where a value lies inside a line of JSON, by bytes: what is copied from a line is copied as it stands, never printed again. Pure. */

/** Bytes [from, until) of a line. */
export interface Span {
  readonly from: number
  readonly until: number
}

const quote = 0x22
const backslash = 0x5c
const openBrace = 0x7b
const closeBrace = 0x7d
const openBracket = 0x5b
const closeBracket = 0x5d
const comma = 0x2c
const colon = 0x3a

/**
 * The value under a path of object keys, or undefined when there is none. Of a repeated key the last value counts, as in JSON.parse.
 *
 * @param line one JSON object, already known to be valid JSON; anything else gives undefined or a span of no meaning
 */
export function findValue(line: Buffer, path: readonly string[]): Span | undefined {
  let span: Span = trimmed(line)
  for (const name of path) {
    const inner = findMember(line, span, name)
    if (inner === undefined) return undefined
    span = inner
  }
  return span
}

function trimmed(line: Buffer): Span {
  let until = line.length
  while (until > 0 && isSpace(line[until - 1]!)) until--
  return { from: skipSpace(line, 0), until }
}

function findMember(line: Buffer, object: Span, name: string): Span | undefined {
  if (line[object.from] !== openBrace) return undefined
  let found: Span | undefined
  let at = skipSpace(line, object.from + 1)
  while (at < object.until && line[at] === quote) {
    const keyEnd = endOfString(line, at)
    const from = skipSpace(line, skipSpace(line, keyEnd) + 1)
    const until = endOfValue(line, from)
    if (JSON.parse(line.toString('utf8', at, keyEnd)) === name) found = { from, until }
    at = skipSpace(line, until)
    if (line[at] !== comma) break
    at = skipSpace(line, at + 1)
  }
  return found
}

/** @param from the first byte of a value @returns the byte after it */
function endOfValue(line: Buffer, from: number): number {
  const first = line[from]
  if (first === quote) return endOfString(line, from)
  if (first === openBrace || first === openBracket) return endOfNested(line, from)
  let at = from
  while (at < line.length && !isEnd(line[at]!)) at++
  return at
}

function endOfNested(line: Buffer, from: number): number {
  let depth = 0
  for (let at = from; at < line.length; at++) {
    const byte = line[at]
    if (byte === quote) at = endOfString(line, at) - 1
    else if (byte === openBrace || byte === openBracket) depth++
    else if ((byte === closeBrace || byte === closeBracket) && --depth === 0) return at + 1
  }
  return line.length
}

function endOfString(line: Buffer, from: number): number {
  for (let at = from + 1; at < line.length; at++) {
    if (line[at] === backslash) at++
    else if (line[at] === quote) return at + 1
  }
  return line.length
}

function skipSpace(line: Buffer, from: number): number {
  let at = from
  while (at < line.length && isSpace(line[at]!)) at++
  return at
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x09 || byte === 0x0a || byte === 0x0d
}

function isEnd(byte: number): boolean {
  return byte === comma || byte === closeBrace || byte === closeBracket || byte === colon || isSpace(byte)
}
