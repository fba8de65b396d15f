/** The parts of a line, found by bytes: its envelope, its checksum, where its frame or event stands. Nothing is parsed. Pure. */

import { crc32 } from 'node:zlib'
import { startsWith } from '../core/starts-with.ts'
import { crcSuffixBytes } from './line.ts'

/** A good line. The object is used again for the next one: copy what is kept. Positions are indices into `bytes`. */
export interface ScannedLine {
  bytes: Buffer
  from: number
  /** End without the newline. */
  until: number
  /** Of its first byte in the segment. */
  offset: number
  kind: 'frame' | 'event' | 'unknown'
  /** How a frame stands in the line. */
  form: 'msg' | 'text' | 'base64'
  n: number
  recvFrom: number
  recvUntil: number
  /** Equal ends: the line is of no connection. */
  connFrom: number
  connUntil: number
  valueFrom: number
  valueUntil: number
}

const quote = 0x22
const minus = 0x2d
const tokenN = Buffer.from('{"n":')
const tokenRecv = Buffer.from(',"recv_ns":"')
const tokenConn = Buffer.from('","conn":"')
const tokenLen = Buffer.from(',"len":')
const tokenMsg = Buffer.from(',"msg":')
const tokenText = Buffer.from(',"text":')
const tokenBase64 = Buffer.from(',"base64":')
const tokenEvent = Buffer.from(',"event":')
const tokenCrc = Buffer.from(',"crc":"')
const tokenWhy = Buffer.from(',"why":"')
const mostAboveZero = Buffer.from('9223372036854775807')
const mostBelowZero = Buffer.from('9223372036854775808')

/** One that nothing was found in yet. */
export function blankLine(): ScannedLine {
  return {
    bytes: Buffer.alloc(0),
    from: 0,
    until: 0,
    offset: 0,
    kind: 'frame',
    form: 'msg',
    n: 0,
    recvFrom: 0,
    recvUntil: 0,
    connFrom: 0,
    connUntil: 0,
    valueFrom: 0,
    valueUntil: 0,
  }
}

/** @param line whose place is set; gets its parts. Null when it is whole, else what is wrong with it. */
export function readEnvelope(line: ScannedLine): 'shape' | 'crc' | 'cut' | null {
  const { bytes, from, until } = line
  const end = until - crcSuffixBytes
  if (!startsWith(bytes, from, tokenN)) return 'shape'
  if (
    end <= from ||
    !startsWith(bytes, end, tokenCrc) ||
    bytes[until - 1] !== 0x7d ||
    bytes[until - 2] !== quote
  )
    return 'shape'
  if (crc32(bytes.subarray(from, end)) !== readHex(bytes, end + tokenCrc.length)) return 'crc'
  let at = digitsUntil(bytes, from + tokenN.length, end)
  line.n = readDecimal(bytes, from + tokenN.length, at)
  if (!startsWith(bytes, at, tokenRecv)) return 'shape'
  line.recvFrom = at + tokenRecv.length
  const recvDigits = bytes[line.recvFrom] === minus ? line.recvFrom + 1 : line.recvFrom
  at = digitsUntil(bytes, recvDigits, end)
  line.recvUntil = at
  if (!fitsInt64(bytes, recvDigits, at, recvDigits > line.recvFrom ? mostBelowZero : mostAboveZero))
    return 'shape'
  line.connFrom = line.connUntil = at
  if (startsWith(bytes, at, tokenConn)) {
    line.connFrom = at + tokenConn.length
    at = line.connFrom
    while (at < end && bytes[at] !== quote) at++
    line.connUntil = at
  }
  if (bytes[at] !== quote) return 'shape'
  return readValue(line, at + 1, end)
}

function readValue(line: ScannedLine, at: number, end: number): 'cut' | null {
  const { bytes } = line
  if (startsWith(bytes, at, tokenEvent)) {
    line.kind = 'event'
    line.valueFrom = at + tokenEvent.length
    line.valueUntil = end
    return null
  }
  if (!startsWith(bytes, at, tokenLen)) return unknownKind(line, at, end)
  const digits = at + tokenLen.length
  at = digitsUntil(bytes, digits, end)
  const sizeBytes = readDecimal(bytes, digits, at)
  line.kind = 'frame'
  const token = startsWith(bytes, at, tokenMsg)
    ? tokenMsg
    : startsWith(bytes, at, tokenText)
      ? tokenText
      : tokenBase64
  if (token === tokenBase64 && !startsWith(bytes, at, tokenBase64)) return unknownKind(line, at, end)
  line.form = token === tokenMsg ? 'msg' : token === tokenText ? 'text' : 'base64'
  line.valueFrom = at + token.length
  line.valueUntil = line.valueFrom + sizeBytes
  if (line.form === 'msg') return line.valueUntil === end ? null : 'cut'
  return line.valueUntil < end && startsWith(bytes, line.valueUntil, tokenWhy) ? null : 'cut'
}

/** Whole and checked, of a kind a newer version writes: kept. */
function unknownKind(line: ScannedLine, at: number, end: number): null {
  line.kind = 'unknown'
  line.valueFrom = at
  line.valueUntil = end
  return null
}

function digitsUntil(bytes: Buffer, at: number, end: number): number {
  while (at < end && bytes[at]! >= 0x30 && bytes[at]! <= 0x39) at++
  return at
}

/** Some digits, and of no larger number than `most`, which 64 bits hold. */
function fitsInt64(bytes: Buffer, from: number, until: number, most: Buffer): boolean {
  const digits = until - from
  if (digits !== most.length || bytes[from] !== most[0]) return digits > 0 && digits <= most.length
  return most.compare(bytes, from, until) >= 0
}

function readDecimal(bytes: Buffer, from: number, until: number): number {
  let value = 0
  for (let i = from; i < until; i++) value = value * 10 + (bytes[i]! - 0x30)
  return from < until && Number.isSafeInteger(value) ? value : -1
}

/** Eight lower-case hex digits; -1 for anything else. */
function readHex(bytes: Buffer, at: number): number {
  let value = 0
  for (let i = 0; i < 8; i++) {
    const digit = bytes[at + i]!
    const nibble =
      digit >= 0x30 && digit <= 0x39 ? digit - 0x30 : digit >= 0x61 && digit <= 0x66 ? digit - 0x57 : -1
    if (nibble < 0) return -1
    value = value * 16 + nibble
  }
  return value
}
