/** Rows of a table as columns of 32-bit words, in the order they were added. Pure. */

import { assert } from '../core/assert.ts'
import { floorDivide, parseRfc3339Ns } from '../core/time.ts'
import { readDecimal } from './decimal-bytes.ts'
import type { DecodedRow, FrameFacts } from './decode.ts'
import { writeWords } from './int64.ts'
import type { Field, FieldKind, TableShape } from './shape.ts'

const capacityFirst = 1024
/** Large steps: each copies all there is, and what is not written yet costs nothing. */
const growth = 4
/** An entry of a map, and what is thrown away in making it until the collector comes (measured). */
const textOverheadBytes = 300

/** Words of each value, the lower first, as DuckDB holds 32-, 64- and 128-bit integers. */
type Width = 1 | 2 | 4

/**
 * They hold anything: what was never written takes no time and no memory of the machine. `new Uint32Array` writes zeros where the
 * memory was used before, a fortieth of a conversion.
 */
export function unsetWords(count: number): Uint32Array<ArrayBuffer> {
  return new Uint32Array(Buffer.allocUnsafeSlow(count * 4).buffer)
}

export class WordColumn {
  readonly width: Width
  words: Uint32Array
  /** 1 where the column has no value; null as long as it has all. */
  nulls: Uint8Array | null = null

  constructor(width: Width) {
    this.width = width
    this.words = unsetWords(capacityFirst * width)
  }

  /** @param count of values there is to be room for */
  grow(count: number): void {
    const words = unsetWords(count * this.width)
    words.set(this.words)
    this.words = words
    if (this.nulls === null) return
    const nulls = new Uint8Array(count)
    nulls.set(this.nulls)
    this.nulls = nulls
  }

  setNull(at: number): void {
    this.nulls ??= new Uint8Array(this.words.length / this.width)
    this.nulls[at] = 1
    // Nobody looks at it; should one do so, it is a code that means something.
    for (let i = at * this.width; i < (at + 1) * this.width; i++) this.words[i] = 0
  }

  /** @param value null for none; others of as many bits as the column's values have */
  set(at: number, value: bigint | null): void {
    if (value === null) return this.setNull(at)
    writeWords(this.words, at * this.width, this.width, value)
  }

  /** Takes back what stands from there on. */
  cut(from: number, until: number): void {
    this.nulls?.fill(0, from, until)
  }
}

/** Dictionaries up to here are kept as such: a segment has some hundred products, a few connections and words. */
const repeatedMax = 4096
const repeatedCharsMax = 65_536

/** Texts that repeat, by a number each. */
export class Texts {
  readonly values: string[] = []
  /** Characters of all of them. */
  size = 0
  readonly #codes = new Map<string, number>()

  constructor(values: readonly string[] = []) {
    for (const text of values) this.codeOf(text)
  }

  codeOf(text: string): number {
    let code = this.#codes.get(text)
    if (code === undefined) {
      code = this.values.length
      // A piece of a longer text would keep all of that in memory.
      const own = flat(text)
      this.values.push(own)
      this.#codes.set(own, code)
      this.size += own.length
    }
    return code
  }

  /** Whether they are few and short, as texts that repeat are. */
  get areFew(): boolean {
    return this.values.length <= repeatedMax && this.size <= repeatedCharsMax
  }
}

const widths: Readonly<Record<Exclude<FieldKind, 'fixed' | 'product'>, Width>> = {
  decimal: 4,
  time: 2,
  id: 2,
  word: 1,
}

export interface ValueColumn {
  readonly field: Field
  readonly column: WordColumn
  /** What the codes of a column of words mean: the field's own values first. */
  readonly words: Texts
  /** Texts that print otherwise than their value, by row; kept where the table shows texts. */
  readonly texts: Map<number, string>
}

/** What a frame's line says of it. */
export interface FrameMark {
  readonly n: number
  /** Nanoseconds since 1970, as two words. */
  readonly recvNs: Uint32Array
  readonly conn: string | null
}

/** What is the same in all rows of a frame, a value for each frame. */
class FrameColumns {
  readonly n = new WordColumn(2)
  readonly recvNs = new WordColumn(2)
  readonly exchangeNs = new WordColumn(2)
  /** The same in microseconds, cut downwards. */
  readonly exchangeTime = new WordColumn(2)
  readonly sequence = new WordColumn(2)
  /** Days since 1970 of the exchange's time, of the receive time where there is none. */
  readonly day = new WordColumn(1)
  readonly conn = new WordColumn(1)
  readonly clientId = new WordColumn(1)
  readonly channel = new WordColumn(1)

  get all(): readonly WordColumn[] {
    return Object.values(this) as WordColumn[]
  }
}

export class RowColumns {
  readonly shape: TableShape
  readonly products: Texts
  readonly conns = new Texts()
  readonly clientIds = new Texts()
  readonly channels = new Texts()
  readonly ofFrame = new FrameColumns()
  /** Index of each row's frame. */
  readonly frame = new WordColumn(1)
  readonly product = new WordColumn(1)
  readonly isSnapshot = new WordColumn(1)
  readonly eventIndex = new WordColumn(1)
  readonly rowIndex = new WordColumn(1)
  readonly values: readonly ValueColumn[]
  /** Codes of `extras`, 0 where a row has none; not among `ofRow`, since most segments have none at all. */
  readonly extra = new WordColumn(1)
  readonly extras = new Texts([''])
  frames = 0
  rows = 0
  /** Characters of texts of single rows, and what it takes to keep each. */
  #textBytes = 0
  /** All columns with a value for each row. */
  readonly ofRow: readonly WordColumn[]
  #framesMax = capacityFirst
  #rowsMax = capacityFirst

  constructor(shape: TableShape, products: Texts) {
    this.shape = shape
    this.products = products
    this.values = shape.fields.flatMap((field) =>
      field.kind === 'fixed' || field.kind === 'product'
        ? []
        : [
            {
              field,
              column: new WordColumn(widths[field.kind]),
              words: new Texts(field.values),
              texts: new Map<number, string>(),
            },
          ],
    )
    const { frame, product, isSnapshot, eventIndex, rowIndex } = this
    this.ofRow = [frame, product, isSnapshot, eventIndex, rowIndex, ...this.values.map((one) => one.column)]
  }

  /** Memory of the rows, about. */
  get sizeBytes(): number {
    const words = (columns: readonly WordColumn[]): number => columns.reduce((sum, one) => sum + one.width, 0)
    const { conns, clientIds, channels, extras, values } = this
    const dictionaries = [conns, clientIds, channels, extras, ...values.map((one) => one.words)]
    return (
      this.rows * (words(this.ofRow) + this.extra.width) * 4 +
      this.frames * words(this.ofFrame.all) * 4 +
      this.#textBytes +
      extras.values.length * textOverheadBytes +
      dictionaries.reduce((sum, one) => sum + one.size, 0)
    )
  }

  /** Whether its dictionaries are worth keeping for the next rows. */
  get hasFewTexts(): boolean {
    const { conns, clientIds, extras, values } = this
    return [conns, clientIds, extras, ...values.map((one) => one.words)].every((one) => one.areFew)
  }

  get hasExtras(): boolean {
    return this.extras.values.length > 1
  }

  /** Makes room for one more row. @returns its index; it counts when `rows` is set past it */
  nextRow(): number {
    if (this.rows === this.#rowsMax) {
      this.#rowsMax *= growth
      for (const column of [...this.ofRow, this.extra]) column.grow(this.#rowsMax)
    }
    this.extra.words[this.rows] = 0
    return this.rows
  }

  /** Makes room for one more frame. @returns its index; it counts when `frames` is set past it */
  nextFrame(): number {
    if (this.frames === this.#framesMax) {
      this.#framesMax *= growth
      for (const column of this.ofFrame.all) column.grow(this.#framesMax)
    }
    return this.frames
  }

  /** Forgets all rows and keeps their memory, and the texts that repeat. */
  clear(): void {
    for (const column of [...this.ofRow, this.extra, ...this.ofFrame.all]) column.nulls = null
    for (const { texts } of this.values) texts.clear()
    this.#textBytes = 0
    this.frames = 0
    this.rows = 0
  }

  /** Forgets the rows from there on. */
  cutTo(rows: number): void {
    for (const column of this.ofRow) column.cut(rows, this.rows)
    this.rows = rows
  }

  /** Adds the rows that decode.ts made of a frame. */
  addDecoded(mark: FrameMark, facts: FrameFacts, rows: readonly DecodedRow[], keepsTexts: boolean): void {
    const frame = this.nextFrame()
    this.markFrame(frame, mark)
    const { ofFrame } = this
    ofFrame.exchangeNs.set(frame, facts.exchangeNs)
    ofFrame.exchangeTime.set(frame, facts.exchangeNs === null ? null : floorDivide(facts.exchangeNs, 1000n))
    ofFrame.sequence.set(frame, facts.sequenceNum)
    ofFrame.day.words[frame] = dayOf(facts.exchangeNs ?? int64Of(mark.recvNs))
    setCode(ofFrame.clientId, frame, this.clientIds, facts.clientId)
    setCode(ofFrame.channel, frame, this.channels, facts.channel)
    for (const row of rows) this.#addRow(frame, row, keepsTexts)
    this.frames++
  }

  markFrame(frame: number, { n, recvNs, conn }: FrameMark): void {
    const { ofFrame } = this
    ofFrame.n.words[frame * 2] = n
    ofFrame.n.words[frame * 2 + 1] = Math.floor(n / 2 ** 32)
    ofFrame.recvNs.words[frame * 2] = recvNs[0]!
    ofFrame.recvNs.words[frame * 2 + 1] = recvNs[1]!
    setCode(ofFrame.conn, frame, this.conns, conn)
  }

  #addRow(frame: number, row: DecodedRow, keepsTexts: boolean): void {
    const at = this.nextRow()
    this.frame.words[at] = frame
    this.product.words[at] = this.products.codeOf(row.productId)
    this.isSnapshot.words[at] = row.isSnapshot ? 1 : 0
    this.eventIndex.words[at] = row.eventIndex
    this.rowIndex.words[at] = row.rowIndex
    for (const value of this.values) {
      const { field, texts } = value
      setText(value, at, row.values[field.column] ?? null)
      const text = row.texts[field.column] ?? null
      if (keepsTexts && text !== null && text !== row.values[field.column]) this.#keep(texts, at, text)
    }
    if (row.extra !== null) this.setExtra(at, row.extra)
    this.rows++
  }

  /** @param text of the members that no column has */
  setExtra(at: number, text: string): void {
    this.extra.words[at] = this.extras.codeOf(text)
  }

  #keep(texts: Map<number, string>, at: number, text: string): void {
    texts.set(at, flat(text))
    this.#textBytes += text.length + textOverheadBytes
  }
}

/** The same text in memory of its own. */
function flat(text: string): string {
  return Buffer.from(text).toString()
}

function int64Of(words: Uint32Array): bigint {
  return BigInt.asIntN(64, (BigInt(words[1]!) << 32n) | BigInt(words[0]!))
}

const dayNs = 86_400_000_000_000n

function dayOf(ns: bigint): number {
  return Number(floorDivide(ns, dayNs))
}

function setCode(column: WordColumn, at: number, texts: Texts, text: string | null): void {
  if (text === null) column.setNull(at)
  else column.words[at] = texts.codeOf(text)
}

/** @param text as decode.ts prints the value; null for none */
function setText({ column, field, words }: ValueColumn, at: number, text: string | null): void {
  if (text === null) return column.setNull(at)
  switch (field.kind) {
    case 'decimal': {
      const until = readDecimal(Buffer.from(`${text}"`), 0, column.words, at * column.width)
      assert(until === text.length + 1, `${text} is a plain decimal`)
      return
    }
    case 'time':
      return column.set(at, microsOf(text))
    case 'id':
      return column.set(at, BigInt(text))
    case 'word':
      column.words[at] = words.codeOf(text)
      return
    case 'fixed':
    case 'product':
      assert(false, `${field.name} has no column of values`)
  }
}

/** Rows of one frame share their time. */
let lastTime: { readonly text: string; readonly micros: bigint } = { text: '', micros: 0n }

/** @param text of whole microseconds */
function microsOf(text: string): bigint {
  if (text !== lastTime.text) {
    const ns = parseRfc3339Ns(text)
    assert(ns !== undefined, `${text} is an instant`)
    lastTime = { text, micros: ns / 1000n }
  }
  return lastTime.micros
}
