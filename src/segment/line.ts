/** Lines as bytes: a frame's envelope written around its untouched bytes. The hot path of the recorder. No I/O. */

import { isUtf8 } from 'node:buffer'
import { crc32 } from 'node:zlib'
import { frameBytesMax, type LogEvent, type VerbatimReason } from './format.ts'

/** `,"crc":"xxxxxxxx"}` before the newline. */
export const crcSuffixBytes = 18
/** With it. */
export const suffixBytes = crcSuffixBytes + 1
/** More than any envelope without its connection name: 20-digit n, recv_ns and len, keys, reason, suffix and newline. */
const envelopeBytesMax = 160

const verbatimTextBytesMax = Math.ceil(frameBytesMax * 1.4)

const openN = Buffer.from('{"n":')
const openRecv = Buffer.from(',"recv_ns":"')
const openMsg = Buffer.from(',"msg":')
// Arrays of numbers: so few bytes are written one by one.
const openCrc = [...Buffer.from(',"crc":"')]
const hexDigits = [...Buffer.from('0123456789abcdef')]
const quote = 0x22
const braceOpen = 0x7b
const braceClose = 0x7d
const lineFeed = 0x0a
const carriageReturn = 0x0d

/** The bytes between receive time and length that every line of one connection shares: `","conn":"abc-1","len":`. */
export function connectionBytes(connection: string): Buffer {
  return Buffer.from(`","conn":${JSON.stringify(connection)},"len":`)
}

/** An upper bound of a frame's line, as it comes. A verbatim one may need more. */
export function lineBytesMax(connection: Buffer, frameSizeBytes: number): number {
  return envelopeBytesMax + connection.length + frameSizeBytes
}

/**
 * Why a frame cannot stand in its line as it came; null for one line of UTF-8 that begins and ends as a JSON object
 * (its inside is checked where frames are decoded, not on the way in). 0.13 µs for 630 bytes.
 */
export function verbatimReason(frame: Buffer, isBinary: boolean): VerbatimReason | null {
  if (isBinary) return 'binary'
  if (!isUtf8(frame)) return 'not_utf8'
  if (frame.indexOf(lineFeed) >= 0 || frame.indexOf(carriageReturn) >= 0) return 'line_break'
  if (frame[0] === braceOpen && frame[frame.length - 1] === braceClose) return null
  return isJson(frame) ? null : 'not_json'
}

function isJson(frame: Buffer): boolean {
  try {
    JSON.parse(frame.toString('utf8'))
    return true
  } catch {
    return false // a venue may send any text; it is kept as text
  }
}

/** `{"n":,"recv_ns":"` and `,"crc":"xxxxxxxx"}` with its newline: what every line has beside its digits and its rest. */
const bareLineBytes = openN.length + openRecv.length + suffixBytes

/** Exact bytes of a line with these many digits of counter and time, around a `rest` of this size. */
export function lineBytesOf(nDigits: number, recvDigits: number, restBytes: number): number {
  return bareLineBytes + nDigits + recvDigits + restBytes
}

/** Exact bytes between the receive time and the CRC of a frame that stands in its line as it came. */
export function frameRestBytes(connection: Buffer, frameSizeBytes: number): number {
  return connection.length + digitsOf(frameSizeBytes) + openMsg.length + frameSizeBytes
}

/** Decimal digits of a whole number from 0. */
export function digitsOf(value: number): number {
  let digits = 1
  for (let limit = 10; value >= limit; limit *= 10) digits++
  return digits
}

/**
 * Writes lines into a buffer that the caller has found large enough. The head of the last frame is kept whole: the next one differs
 * in a few digits, and one call copies it (45 ns against 260 for its pieces).
 */
export class LineEncoder {
  readonly #n = new Uint8Array(20)
  #nFrom = 20
  #recvNs = 0n
  #recvText = '0'
  #head: Uint8Array = new Uint8Array(0)
  #headConnection: Uint8Array | null = null
  #headRecvText = ''
  #headNFrom = 0
  #headSizeDigits = 0

  constructor(firstN: number) {
    const digits = String(firstN)
    this.#nFrom = 20 - digits.length
    this.#n.set(Buffer.from(digits), this.#nFrom)
  }

  /** Writes the next line around `frame` and returns where it ends. */
  frame(target: Buffer, at: number, recvNs: bigint, connection: Uint8Array, frame: Buffer): number {
    const start = this.frameHead(target, at, recvNs, connection, frame.length)
    target.set(frame, start)
    return endLine(target, at, start + frame.length)
  }

  /** The next line for anything else; returns its bytes. For the few lines that are not plain frames. */
  other(recvNs: bigint, rest: string): Buffer {
    const line = Buffer.allocUnsafe(envelopeBytesMax + Buffer.byteLength(rest))
    const start = this.head(line, 0, recvNs)
    const until = start + line.write(rest, start)
    return line.subarray(0, endLine(line, 0, until))
  }

  /** The next line up to its frame, which is to stand where this ends. */
  frameHead(
    target: Uint8Array,
    at: number,
    recvNs: bigint,
    connection: Uint8Array,
    frameSizeBytes: number,
  ): number {
    const sizeDigits = digitsOf(frameSizeBytes)
    const recvText = this.#textOfTime(recvNs)
    const isSameShape =
      connection === this.#headConnection &&
      this.#nFrom === this.#headNFrom &&
      sizeDigits === this.#headSizeDigits &&
      recvText.length === this.#headRecvText.length
    if (!isSameShape) this.#beginHead(connection, sizeDigits, recvText)
    const head = this.#head
    const nFrom = this.#nFrom
    for (let i = nFrom; i < 20; i++) head[openN.length + i - nFrom] = this.#n[i]!
    if (recvText !== this.#headRecvText) this.#setHeadTime(recvText)
    writeDigits(head, head.length - openMsg.length - sizeDigits, sizeDigits, frameSizeBytes)
    target.set(head, at)
    this.#step()
    return at + head.length
  }

  /** All of a head but its digits. */
  #beginHead(connection: Uint8Array, sizeDigits: number, recvText: string): void {
    this.#headConnection = connection
    this.#headNFrom = this.#nFrom
    this.#headSizeDigits = sizeDigits
    this.#head = Buffer.concat([
      openN,
      this.#n.subarray(this.#nFrom),
      openRecv,
      Buffer.from(recvText),
      connection,
      new Uint8Array(sizeDigits),
      openMsg,
    ])
    this.#headRecvText = recvText
  }

  #setHeadTime(recvText: string): void {
    const from = openN.length + 20 - this.#nFrom + openRecv.length
    for (let i = 0; i < recvText.length; i++) this.#head[from + i] = recvText.charCodeAt(i)
    this.#headRecvText = recvText
  }

  /** The next line up to the end of its receive time: `{"n":…,"recv_ns":"…` */
  head(target: Uint8Array, at: number, recvNs: bigint): number {
    const recv = Buffer.from(this.#textOfTime(recvNs))
    for (const piece of [openN, this.#n.subarray(this.#nFrom), openRecv, recv]) {
      target.set(piece, at)
      at += piece.length
    }
    this.#step()
    return at
  }

  #textOfTime(recvNs: bigint): string {
    if (recvNs !== this.#recvNs) {
      this.#recvNs = recvNs
      this.#recvText = String(recvNs)
    }
    return this.#recvText
  }

  #step(): void {
    let i = 19
    while (this.#n[i] === 0x39) this.#n[i--] = 0x30
    this.#n[i] = i < this.#nFrom ? 0x31 : this.#n[i]! + 1
    if (i < this.#nFrom) this.#nFrom = i
  }
}

/** Ends a line from `from` whose rest goes until `until`; returns where the next one begins. */
function endLine(target: Uint8Array, from: number, until: number): number {
  const at = writeCrc(target, from, until)
  target[at] = lineFeed
  return at + 1
}

/** The end of a line from `from` whose rest goes until `until`, but for its newline; returns where that is to stand. */
export function writeCrc(target: Uint8Array, from: number, until: number): number {
  // Not `subarray`, whose view costs three times as much.
  let crc = crc32(new Uint8Array(target.buffer, target.byteOffset + from, until - from))
  for (let i = 0; i < openCrc.length; i++) target[until + i] = openCrc[i]!
  const at = until + openCrc.length
  for (let i = 7; i >= 0; i--) {
    target[at + i] = hexDigits[crc & 15]!
    crc >>>= 4
  }
  target[at + 8] = quote
  target[at + 9] = braceClose
  return at + 10
}

function writeDigits(target: Uint8Array, at: number, digits: number, value: number): void {
  for (let i = at + digits - 1; i >= at; i--) {
    const tenth = Math.floor(value / 10)
    target[i] = 0x30 + value - tenth * 10
    value = tenth
  }
}

/** The rest of a line, after the receive time, for a frame that cannot stand as it came. */
export function verbatimRest(connection: string, frame: Buffer, reason: VerbatimReason): string {
  const text =
    reason === 'line_break' || reason === 'not_json' ? JSON.stringify(frame.toString('utf8')) : null
  // A huge frame of control characters would grow sixfold as text, past the longest line that readers hold.
  const asText = text !== null && Buffer.byteLength(text) <= verbatimTextBytesMax
  const value = asText ? text : JSON.stringify(frame.toString('base64'))
  const name = asText ? 'text' : 'base64'
  return `","conn":${JSON.stringify(connection)},"len":${Buffer.byteLength(value)},"${name}":${value},"why":"${reason}"`
}

/** The rest of a line, after the receive time, for something the recorder says itself. */
export function eventRest(connection: string | null, event: LogEvent): string {
  const conn = connection === null ? '' : `,"conn":${JSON.stringify(connection)}`
  return `"${conn},"event":${JSON.stringify(event)}`
}
