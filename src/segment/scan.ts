/**
 * Reads segments by bytes: finds the lines, checks each one's CRC, counter and cut, and keeps the digest. Frames are never parsed.
 * Feed it chunks of any size; it calls back for each line. 1.9 µs of CPU a line of 730 bytes, half of it CRC and
 * SHA-256 (two busy cores).
 */

import { createHash } from 'node:crypto'
import { startsWith } from '../core/starts-with.ts'
import { parseHeader, parseSeal } from './ends.ts'
import { frameBytesMax, type Seal, type SegmentHeader } from './format.ts'
import { blankLine, readEnvelope, type ScannedLine } from './scanned-line.ts'

/** A base64 frame takes a third more than its bytes; the rest is envelope. */
export const lineSizeBytesMax = Math.ceil(frameBytesMax * 1.4) + 65_536

/**
 * Why bytes between two newlines are not a line. `torn`: the file ends inside it. `shape`: not the envelope of a line. `crc`: its bytes
 * changed. `cut`: its length does not lead to its end. `counter`: whole, but not the next one. `too_long`: longer than any line
 * a recorder writes, not held. `after_seal`: follows the last line a segment can have.
 */
export type BadReason = 'torn' | 'shape' | 'crc' | 'cut' | 'counter' | 'too_long' | 'after_seal'

export interface ScanSink {
  line?(line: ScannedLine): void
  /** @param bytes what stands there; null when it was too long to hold */
  bad?(reason: BadReason, offset: number, sizeBytes: number, bytes: Buffer | null): void
}

export interface ScanResult {
  /** null: the first line is not a segment's header; nothing else was looked at. */
  readonly header: SegmentHeader | null
  readonly headerProblem: string | null
  readonly seal: Seal | null
  /** What differs between the seal and the bytes; null when it agrees or there is none. */
  readonly sealProblem: string | null
  readonly sizeBytes: number
  /** Of all bytes. */
  readonly fileSha256: string
  /** Of all bytes before the seal line (of all, where there is none). */
  readonly contentSha256: string
  /** How many these are. */
  readonly contentBytes: number
  /** Good lines. */
  readonly lines: number
  readonly badLines: number
  readonly firstN: number | null
  readonly lastN: number | null
  readonly firstRecvNs: string | null
  readonly lastRecvNs: string | null
  /** Where the last good line ends, its newline included. */
  readonly goodUntil: number
  readonly longestLineBytes: number
}

const newline = 0x0a
const tokenSeal = Buffer.from('{"seal":')

export class SegmentScanner {
  readonly #sink: ScanSink
  readonly #file = createHash('sha256')
  /** From where on the bytes of this chunk are not in the digest yet: it takes them in long pieces. */
  #hashFrom = 0
  #carry: Buffer[] = []
  #carryBytes = 0
  #skipping = 0
  #offset = 0
  #header: SegmentHeader | null = null
  #headerProblem: string | null = null
  #seal: Seal | null = null
  #contentSha256: string | null = null
  #contentBytes = 0
  #lines = 0
  #badLines = 0
  #expectedN = 0
  /** Bad bytes came since the last good line: they may have been several lines, or none. */
  #resync = false
  #firstN: number | null = null
  #lastN: number | null = null
  #firstRecvNs: string | null = null
  #lastRecvNs: string | null = null
  /** Where the last good line's receive time stands, as long as its bytes are here: text is made of it once a chunk. */
  #lastRecvBytes: Buffer | null = null
  #lastRecvFrom = 0
  #lastRecvUntil = 0
  #goodUntil = 0
  #longest = 0
  readonly #line = blankLine()

  constructor(sink: ScanSink) {
    this.#sink = sink
  }

  /** The header, once the first line has been seen. */
  get header(): SegmentHeader | null {
    return this.#header
  }

  /** @param chunk read now and not kept, except for the bytes of a line that goes on in the next chunk, which are copied */
  push(chunk: Buffer): void {
    let from = 0
    this.#hashFrom = 0
    for (let at = chunk.indexOf(newline); at >= 0; at = chunk.indexOf(newline, from)) {
      this.#take(chunk, from, at)
      from = at + 1
    }
    this.#hash(chunk, from)
    if (from < chunk.length) this.#keep(chunk, from)
    this.#keepLastRecv()
  }

  end(): ScanResult {
    if (this.#carryBytes > 0 || this.#skipping > 0) this.#torn()
    const content = this.#contentSha256 ?? this.#file.copy().digest('hex')
    return {
      header: this.#header,
      headerProblem: this.#header === null ? (this.#headerProblem ?? 'the file is empty') : null,
      seal: this.#seal,
      sealProblem: this.#sealProblem(content),
      sizeBytes: this.#offset,
      fileSha256: this.#file.digest('hex'),
      contentSha256: content,
      contentBytes: this.#seal === null ? this.#offset : this.#contentBytes,
      lines: this.#lines,
      badLines: this.#badLines,
      firstN: this.#firstN,
      lastN: this.#lastN,
      firstRecvNs: this.#firstRecvNs,
      lastRecvNs: this.#lastRecvNs,
      goodUntil: this.#goodUntil,
      longestLineBytes: this.#longest,
    }
  }

  #keepLastRecv(): void {
    if (this.#lastRecvBytes === null) return
    this.#lastRecvNs = this.#lastRecvBytes.toString('latin1', this.#lastRecvFrom, this.#lastRecvUntil)
    this.#lastRecvBytes = null
  }

  #hash(chunk: Buffer, until: number): void {
    if (until > this.#hashFrom) this.#file.update(chunk.subarray(this.#hashFrom, until))
    this.#hashFrom = until
  }

  #keep(chunk: Buffer, from: number): void {
    const rest = chunk.subarray(from)
    if (this.#skipping > 0 || this.#carryBytes + rest.length > lineSizeBytesMax) {
      this.#skipLong(rest)
      return
    }
    this.#carry.push(Buffer.from(rest))
    this.#carryBytes += rest.length
  }

  /** A line too long to hold: its bytes go through the digest and are forgotten. */
  #skipLong(rest: Buffer): void {
    for (const held of this.#carry) this.#file.update(held)
    this.#file.update(rest)
    this.#skipping += this.#carryBytes + rest.length
    this.#carry = []
    this.#carryBytes = 0
  }

  #take(chunk: Buffer, from: number, until: number): void {
    if (this.#skipping > 0) {
      this.#bad('too_long', this.#skipping + until - from, null)
      this.#offset += this.#skipping + until - from + 1
      this.#skipping = 0
      return
    }
    if (this.#carryBytes === 0) {
      this.#accept(chunk, from, until)
      return
    }
    const whole = Buffer.concat([...this.#carry, chunk.subarray(from, until + 1)])
    this.#carry = []
    this.#carryBytes = 0
    // The carried line is digested as one piece of its own, and the chunk from after its end.
    this.#hashFrom = 0
    this.#accept(whole, 0, whole.length - 1)
    this.#hash(whole, whole.length)
    this.#hashFrom = until + 1
  }

  #accept(bytes: Buffer, from: number, until: number): void {
    const sizeBytes = until - from
    if (this.#seal === null && startsWith(bytes, from, tokenSeal)) {
      this.#hash(bytes, from)
      this.#takeSeal(bytes, from, until)
    } else if (this.#offset === 0) this.#takeHeader(bytes, from, until)
    else if (this.#seal !== null) this.#bad('after_seal', sizeBytes, bytes.subarray(from, until))
    else if (this.#header !== null) this.#takeLine(bytes, from, until)
    this.#offset += sizeBytes + 1
    if (sizeBytes > this.#longest) this.#longest = sizeBytes
  }

  #takeHeader(bytes: Buffer, from: number, until: number): void {
    const header = parseHeader(bytes.toString('utf8', from, Math.min(until, from + 65_536)))
    if (typeof header === 'string') {
      this.#headerProblem = header
      return
    }
    this.#header = header
    this.#expectedN = header.n
    this.#goodUntil = until - from + 1
  }

  #takeSeal(bytes: Buffer, from: number, until: number): void {
    const seal = parseSeal(bytes.toString('utf8', from, until))
    if (seal === null) {
      this.#bad('shape', until - from, bytes.subarray(from, until))
      return
    }
    this.#seal = seal
    this.#contentSha256 = this.#file.copy().digest('hex')
    this.#contentBytes = this.#offset
  }

  #takeLine(bytes: Buffer, from: number, until: number): void {
    const line = this.#line
    line.bytes = bytes
    line.from = from
    line.until = until
    line.offset = this.#offset
    const problem = readEnvelope(line) ?? this.#counterProblem(line.n)
    if (problem !== null) {
      this.#bad(problem, until - from, bytes.subarray(from, until))
      // A whole line that skips others stands aside once; counting goes on after it.
      if (problem === 'counter' && line.n > this.#expectedN) this.#expectedN = line.n + 1
      return
    }
    this.#expectedN = line.n + 1
    this.#resync = false
    this.#lines++
    this.#firstN ??= line.n
    this.#lastN = line.n
    this.#firstRecvNs ??= bytes.toString('latin1', line.recvFrom, line.recvUntil)
    this.#lastRecvBytes = bytes
    this.#lastRecvFrom = line.recvFrom
    this.#lastRecvUntil = line.recvUntil
    this.#goodUntil = this.#offset + until - from + 1
    this.#sink.line?.(line)
  }

  /** After bad bytes any later counter goes; a repeated one never. */
  #counterProblem(n: number): 'counter' | null {
    return n === this.#expectedN || (this.#resync && n > this.#expectedN) ? null : 'counter'
  }

  #bad(reason: BadReason, sizeBytes: number, bytes: Buffer | null): void {
    this.#badLines++
    if (reason !== 'counter') this.#resync = true
    this.#sink.bad?.(reason, this.#offset, sizeBytes, bytes)
  }

  #torn(): void {
    const bytes = this.#skipping > 0 ? null : Buffer.concat(this.#carry)
    const sizeBytes = this.#skipping > 0 ? this.#skipping : this.#carryBytes
    if (bytes !== null) this.#file.update(bytes)
    if (this.#offset === 0) this.#headerProblem = 'its first line has no end'
    this.#bad('torn', sizeBytes, bytes)
    this.#offset += sizeBytes
    this.#carry = []
    this.#carryBytes = 0
    this.#skipping = 0
  }

  #sealProblem(contentSha256: string): string | null {
    const seal = this.#seal
    if (seal === null) return null
    if (seal.bytes !== this.#contentBytes)
      return `the seal says ${seal.bytes} bytes, there are ${this.#contentBytes}`
    if (seal.sha256 !== contentSha256)
      return `the seal says sha256 ${seal.sha256.slice(0, 12)}…, the bytes have ${contentSha256.slice(0, 12)}…`
    return null
  }
}
