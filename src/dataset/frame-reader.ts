/**
 * The fast way from a frame's bytes to rows: frames that stand as the venue prints them. Keys in any order, no spaces, no escapes, every value
 * of a known one as its column prints it, the others kept as they stand: of such a frame nothing is lost but the order of its keys.
 * Anything else is left to decode.ts. Pure.
 */

import { readDecimal } from './decimal-bytes.ts'
import { joinExtra } from './decode.ts'
import { InstantReader } from './instant-bytes.ts'
import { readCount, writeBillions } from './int64.ts'
import { plainMemberEnd, plainStringEnd } from './plain-member.ts'
import { ProductReader } from './product-reader.ts'
import type { FrameMark, RowColumns, WordColumn } from './row-columns.ts'
import type { FieldKind, TableShape } from './shape.ts'
import { Token } from './token.ts'

const quote = 0x22
const comma = 0x2c
const openObject = 0x7b
const closeObject = 0x7d
const closeList = 0x5d

/** The keys of one kind of object, as they stand before their values. */
class Keys {
  readonly tokens: readonly Token[]
  readonly #names: ReadonlySet<string>
  readonly #needed: number

  /** @param optional which of them may be absent, by index */
  constructor(tokens: readonly string[], optional: readonly number[] = []) {
    this.tokens = tokens.map((one) => new Token(one))
    this.#names = new Set(tokens.map((one) => one.slice(1, one.indexOf('"', 1))))
    this.#needed = tokens.reduce((bits, _, i) => (optional.includes(i) ? bits : bits | (1 << i)), 0)
  }

  /** @param seen a bit for each that was there */
  areThere(seen: number): boolean {
    return (seen & this.#needed) === this.#needed
  }

  /** @param name of a key that stands in no way of these */
  isForeign(name: string): boolean {
    return !this.#names.has(name)
  }
}

const frameKeys = new Keys(
  ['"channel":"', '"client_id":"', '"timestamp":"', '"sequence_num":', '"events":['],
  [1],
)
const eventTypes = [new Token('update"'), new Token('snapshot"')]

function eventKeysOf({ list, productIn }: TableShape): Keys {
  const rows = `"${list}":[`
  return new Keys(productIn === 'event' ? ['"type":"', '"product_id":"', rows] : ['"type":"', rows])
}

interface RowField {
  readonly kind: FieldKind
  /** Each with its closing quotation mark. */
  readonly words: readonly Token[]
  /** Null for those without a column. */
  readonly column: WordColumn | null
}

export class FrameReader {
  readonly #rows: RowColumns
  readonly #channels: readonly Token[]
  readonly #channelCodes: readonly number[]
  /** Of the empty one, which the venue sends; -1 until it has. */
  #noClientId = -1
  readonly #eventKeys: Keys
  readonly #rowKeys: Keys
  readonly #fields: readonly RowField[]
  readonly #productInEvent: boolean
  /** Most frames have a time of their own, and their rows another. */
  readonly #frameTime = new InstantReader()
  readonly #rowTime = new InstantReader()
  readonly #products: ProductReader
  #bytes: Buffer = Buffer.alloc(0)
  #view = new DataView(this.#bytes.buffer)
  /** What is read next. */
  #at = 0
  #until = 0
  #hasClientId = false
  /** Members without a column of the row that was read last, of the first row of the event, of the first event and its first row. */
  #rowRest = ''
  #firstRowRest = ''
  #firstRests: readonly [event: string, row: string] = noRests

  constructor(rows: RowColumns) {
    const { shape } = rows
    this.#rows = rows
    this.#products = new ProductReader(rows.products)
    this.#channels = shape.channels.map((one) => new Token(`${one}"`))
    this.#channelCodes = shape.channels.map((one) => rows.channels.codeOf(one))
    this.#productInEvent = shape.productIn === 'event'
    this.#eventKeys = eventKeysOf(shape)
    this.#rowKeys = new Keys(
      shape.fields.map((one) => `"${one.name}":"`),
      shape.fields.flatMap((one, i) => (one.kind === 'fixed' || one.kind === 'product' ? [] : [i])),
    )
    this.#fields = shape.fields.map((one) => ({
      kind: one.kind,
      words: one.values.map((word) => new Token(`${word}"`)),
      column: rows.values.find(({ field }) => field === one)?.column ?? null,
    }))
  }

  /** @returns whether the frame's rows were added, all of them; otherwise none was */
  read(bytes: Buffer, from: number, until: number, mark: FrameMark): boolean {
    const rows = this.#rows
    const before = rows.rows
    const frame = rows.nextFrame()
    if (bytes !== this.#bytes) {
      this.#bytes = bytes
      this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    }
    this.#at = from
    this.#until = until
    if (!this.#readFrame(frame) || this.#at !== until) {
      rows.cutTo(before)
      return false
    }
    if (!this.#hasClientId) rows.ofFrame.clientId.setNull(frame)
    rows.markFrame(frame, mark)
    rows.frames++
    return true
  }

  #readFrame(frame: number): boolean {
    if (!this.#is(openObject)) return false
    const first = this.#rows.rows
    let rest = ''
    let seen = 0
    for (let next = 0; ;) {
      const key = this.#key(frameKeys, next, seen)
      if (key < 0) {
        const member = this.#foreign(frameKeys)
        if (member === '') return false
        rest = joined(rest, member)
      } else {
        if (!this.#readOfFrame(key, frame)) return false
        seen |= 1 << key
        next = key + 1
      }
      if (!this.#is(comma)) break
    }
    this.#hasClientId = (seen & 2) !== 0
    if (!this.#is(closeObject) || !frameKeys.areThere(seen)) return false
    this.#setExtra(first, rest, ...this.#firstRests)
    return true
  }

  #readOfFrame(key: number, frame: number): boolean {
    const { ofFrame, clientIds } = this.#rows
    switch (key) {
      case 0: {
        const channel = this.#word(this.#channels)
        if (channel >= 0) ofFrame.channel.words[frame] = this.#channelCodes[channel]!
        return channel >= 0
      }
      case 1:
        if (this.#noClientId < 0) this.#noClientId = clientIds.codeOf('')
        ofFrame.clientId.words[frame] = this.#noClientId
        return this.#is(quote)
      case 2: {
        const time = this.#frameTime
        if (!this.#moveTo(time.read(this.#bytes, this.#view, this.#at, this.#until))) return false
        writeBillions(ofFrame.exchangeNs.words, frame * 2, time.seconds, time.nanos)
        writeMicros(ofFrame.exchangeTime.words, frame * 2, time)
        ofFrame.day.words[frame] = time.day
        return true
      }
      case 3:
        return this.#moveTo(readCount(this.#bytes, this.#at, ofFrame.sequence.words, frame * 2))
      default:
        return this.#readEvents(frame)
    }
  }

  #readEvents(frame: number): boolean {
    for (let eventIndex = 0; ; eventIndex++) {
      if (!this.#readEvent(frame, eventIndex)) return false
      if (!this.#is(comma)) return this.#is(closeList)
    }
  }

  #readEvent(frame: number, eventIndex: number): boolean {
    if (!this.#is(openObject)) return false
    const rows = this.#rows
    const first = rows.rows
    let type = 0
    let product = 0
    let rest = ''
    let seen = 0
    for (let next = 0; ;) {
      const key = this.#key(this.#eventKeys, next, seen)
      if (key < 0) {
        const member = this.#foreign(this.#eventKeys)
        if (member === '') return false
        rest = joined(rest, member)
      } else {
        if (key === 0) type = this.#word(eventTypes)
        else if (key === 1 && this.#productInEvent) product = this.#readProduct()
        else if (!this.#readRows(frame)) return false
        if (type < 0 || product < 0) return false
        seen |= 1 << key
        next = key + 1
      }
      if (!this.#is(comma)) break
    }
    if (!this.#is(closeObject) || !this.#eventKeys.areThere(seen)) return false
    if (eventIndex === 0) this.#firstRests = [rest, this.#firstRowRest]
    else this.#setExtra(first, '', rest, this.#firstRowRest)
    for (let at = first; at < rows.rows; at++) {
      rows.isSnapshot.words[at] = type
      rows.eventIndex.words[at] = eventIndex
      if (this.#productInEvent) rows.product.words[at] = product
    }
    return true
  }

  #readRows(frame: number): boolean {
    const rows = this.#rows
    for (let rowIndex = 0; ; rowIndex++) {
      const at = rows.nextRow()
      rows.frame.words[at] = frame
      rows.rowIndex.words[at] = rowIndex
      // Counted before it is whole: what it left out is taken back with it.
      rows.rows++
      if (!this.#readRow(at)) return false
      if (rowIndex === 0) this.#firstRowRest = this.#rowRest
      else this.#setExtra(at, '', '', this.#rowRest)
      if (!this.#is(comma)) return this.#is(closeList)
    }
  }

  #readRow(at: number): boolean {
    if (!this.#is(openObject)) return false
    const fields = this.#fields
    let rest = ''
    let seen = 0
    for (let next = 0; ;) {
      const key = this.#key(this.#rowKeys, next, seen)
      if (key < 0) {
        const member = this.#foreign(this.#rowKeys)
        if (member === '') return false
        rest = joined(rest, member)
      } else {
        if (!this.#readValue(fields[key]!, at)) return false
        seen |= 1 << key
        next = key + 1
      }
      if (!this.#is(comma)) break
    }
    if (!this.#is(closeObject) || !this.#rowKeys.areThere(seen)) return false
    if (seen !== (1 << fields.length) - 1) this.#setAbsent(at, seen)
    this.#rowRest = rest
    return true
  }

  #setAbsent(at: number, seen: number): void {
    for (const [key, { column }] of this.#fields.entries()) if ((seen & (1 << key)) === 0) column?.setNull(at)
  }

  #readValue({ kind, words, column }: RowField, at: number): boolean {
    switch (kind) {
      case 'decimal':
        return this.#moveTo(readDecimal(this.#bytes, this.#at, column!.words, at * 4))
      case 'time':
        return this.#readMicros(column!, at)
      case 'id':
        return this.#moveTo(readCount(this.#bytes, this.#at, column!.words, at * 2)) && this.#is(quote)
      case 'product': {
        const product = this.#readProduct()
        this.#rows.product.words[at] = product
        return product >= 0
      }
      case 'word':
      case 'fixed': {
        const word = this.#word(words)
        if (column !== null) column.words[at] = word
        return word >= 0
      }
    }
  }

  #readMicros(column: WordColumn, at: number): boolean {
    const time = this.#rowTime
    if (!this.#moveTo(time.read(this.#bytes, this.#view, this.#at, this.#until)) || time.nanos % 1000 !== 0)
      return false
    writeMicros(column.words, at * 2, time)
    return true
  }

  /** @returns its number; -1 when it is not one that is its own folder's name */
  #readProduct(): number {
    const product = this.#products.read(this.#bytes, this.#at)
    this.#at = this.#products.until
    return product
  }

  /** @returns which of them stands there; -1 for none */
  #word(words: readonly Token[]): number {
    for (let i = 0; i < words.length; i++) if (this.#take(words[i]!)) return i
    return -1
  }

  /** The key that stands there, first tried where it stood in all frames so far; -1 when it is unknown or was there before. */
  #key({ tokens }: Keys, next: number, seen: number): number {
    const isNew = next < tokens.length && (seen & (1 << next)) === 0
    if (isNew && this.#take(tokens[next]!)) return next
    for (let i = 0; i < tokens.length; i++) if ((seen & (1 << i)) === 0 && this.#take(tokens[i]!)) return i
    return -1
  }

  /** @param frame members without a column, and so on; empty: none */
  #setExtra(at: number, frame: string, event: string, row: string): void {
    if (frame === '' && event === '' && row === '') return
    this.#rows.setExtra(at, joinExtra(objectOf(frame), objectOf(event), objectOf(row))!)
  }

  /** The member that stands there as text, if it is one that no column knows; empty when it is not, or not plain. */
  #foreign(keys: Keys): string {
    const from = this.#at
    const keyEnd = plainStringEnd(this.#bytes, from, this.#until)
    if (keyEnd < 0 || !keys.isForeign(this.#bytes.toString('latin1', from + 1, keyEnd - 1))) return ''
    const end = plainMemberEnd(this.#bytes, from, this.#until)
    return this.#moveTo(end) ? this.#bytes.toString('latin1', from, end) : ''
  }

  #take(token: Token): boolean {
    if (!token.standsAt(this.#view, this.#at, this.#until)) return false
    this.#at += token.sizeBytes
    return true
  }

  #is(byte: number): boolean {
    if (this.#bytes[this.#at] !== byte) return false
    this.#at++
    return true
  }

  #moveTo(at: number): boolean {
    this.#at = at
    return at >= 0
  }
}

const noRests = ['', ''] as const

function joined(members: string, member: string): string {
  return members === '' ? member : `${members},${member}`
}

function objectOf(members: string): string | null {
  return members === '' ? null : `{${members}}`
}

/** What lies between microseconds is cut off. */
function writeMicros(words: Uint32Array, at: number, { seconds, nanos }: InstantReader): void {
  const micros = seconds * 1e6 + Math.floor(nanos / 1000)
  words[at] = micros
  words[at + 1] = Math.floor(micros / 2 ** 32)
}
