/**
 * A slice of a segment on its way to rows: frames of a table as columns in memory, everything else as lines in a scratch file
 * for the table `other`.
 */

import { isUtf8 } from 'node:buffer'
import { decodeFrame, type FrameFacts } from '../dataset/decode.ts'
import { FrameReader } from '../dataset/frame-reader.ts'
import { isJson } from '../dataset/json-text.ts'
import type { NumberType } from '../dataset/names.ts'
import { RowColumns, Texts } from '../dataset/row-columns.ts'
import { shapeOf, type RowTable } from '../dataset/shape.ts'
import type { ScannedLine } from '../segment/scanned-line.ts'
import { tryEncodeProductId } from '../storage/keys.ts'
import { guessTable } from './guess-table.ts'
import { LineMark, jsonString } from './line-mark.ts'
import { SliceFile } from './slice-file.ts'
import type { OtherFile } from './write-other.ts'

export interface RejectedLine {
  readonly n: number
  readonly offset: number
  readonly sizeBytes: number
  readonly kind: ScannedLine['kind']
  readonly reason: string
  readonly detail: string
}

interface TableRows {
  readonly rows: RowColumns
  readonly reader: FrameReader
}

interface OtherRow {
  readonly kind: string
  readonly body: string
  readonly verbatim: string | null
  readonly facts: FrameFacts
}

/** What a slice's lines have become. */
export interface SliceContent {
  /** Of each table that has some. */
  readonly tables: readonly RowColumns[]
  /** Rows of `other` as JSON, one a line; null when there are none. */
  readonly other: OtherFile | null
}

/** One slice after another: what it holds is used again. */
export class Slice {
  #path = ''
  readonly #keepsTexts: boolean
  readonly #reject: (line: RejectedLine) => void
  #products = new Texts()
  readonly #tables = new Map<RowTable, TableRows>()
  readonly #mark = new LineMark()
  #other: SliceFile | null = null

  constructor(numberType: NumberType, reject: (line: RejectedLine) => void) {
    this.#keepsTexts = numberType === 'double'
    this.#reject = reject
  }

  /** The content of the slice before is gone from here on. @param path of a file for rows of `other`, made when there are any */
  begin(path: string): void {
    this.#path = path
    this.#other = null
    const tables = [...this.#tables.values()]
    if (this.#products.areFew && tables.every(({ rows }) => rows.hasFewTexts))
      for (const { rows } of tables) rows.clear()
    else {
      this.#tables.clear()
      this.#products = new Texts()
    }
  }

  /** Memory of what it holds, about. */
  get sizeBytes(): number {
    let sum = this.#products.size
    for (const { rows } of this.#tables.values()) sum += rows.sizeBytes
    return sum
  }

  add(line: ScannedLine): void {
    if (!this.#mark.set(line))
      return this.#reject({
        ...placeOf(line),
        reason: 'shape',
        detail: 'its time or connection cannot be read',
      })
    if (line.kind !== 'frame') return this.#addOwn(line)
    if (line.form !== 'msg') return this.#addVerbatim(line)
    const table = guessTable(line)
    const isRead =
      table !== undefined &&
      this.#rowsOf(table).reader.read(line.bytes, line.valueFrom, line.valueUntil, this.#mark)
    if (!isRead) this.#addExact(line)
  }

  /** No more lines. */
  finish(): SliceContent {
    const file = this.#other
    this.close()
    const tables = [...this.#tables.values()].map((one) => one.rows)
    return {
      tables: tables.filter(({ rows }) => rows > 0),
      other: file === null ? null : { path: file.path, longestLineBytes: file.longestLineBytes },
    }
  }

  /** Its file is no longer written. */
  close(): void {
    this.#other?.close()
    this.#other = null
  }

  #rowsOf(table: RowTable): TableRows {
    let found = this.#tables.get(table)
    if (found === undefined) {
      const rows = new RowColumns(shapeOf(table), this.#products)
      found = { rows, reader: new FrameReader(rows) }
      this.#tables.set(table, found)
    }
    return found
  }

  #addExact(line: ScannedLine): void {
    const { bytes, valueFrom, valueUntil } = line
    if (!isUtf8(bytes.subarray(valueFrom, valueUntil)))
      return this.#reject({ ...placeOf(line), reason: 'utf8', detail: 'the frame is not valid UTF-8' })
    const text = bytes.toString('utf8', valueFrom, valueUntil)
    const decoded = decodeFrame(text, hasFolder)
    if (decoded.kind === 'reject') this.#reject({ ...placeOf(line), reason: 'json', detail: decoded.detail })
    else if (decoded.kind === 'other')
      this.#addOther({ kind: 'frame', body: text, verbatim: null, facts: decoded.facts })
    else {
      const { rows } = this.#rowsOf(decoded.shape.table)
      rows.addDecoded(this.#mark, decoded.facts, decoded.rows, this.#keepsTexts)
    }
  }

  #addOther(row: OtherRow): void {
    this.#other ??= new SliceFile(this.#path)
    const { n, conn } = this.#mark
    const { kind, body, verbatim, facts } = row
    this.#other.addText(
      `{"n":${n},"recv_ns":${this.#mark.recvText()},"exchange_ns":${facts.exchangeNs},"sequence_num":${facts.sequenceNum},` +
        JSON.stringify({ conn, kind, channel: facts.channel, body, verbatim }).slice(1),
    )
  }

  /** What the recorder says itself, and kinds of line that a newer one writes. */
  #addOwn(line: ScannedLine): void {
    if (!isUtf8(line.bytes.subarray(line.from, line.until)))
      return this.#reject({ ...placeOf(line), reason: 'utf8', detail: 'the line is not valid UTF-8' })
    const isEvent = line.kind === 'event'
    const body = isEvent
      ? line.bytes.toString('utf8', line.valueFrom, line.valueUntil)
      : line.bytes.toString('utf8', line.from, line.until)
    if (!isJson(body))
      return this.#reject({ ...placeOf(line), reason: 'json', detail: 'the line is not one JSON value' })
    this.#addOther({ kind: isEvent ? 'event' : 'unknown', body, verbatim: null, facts: noFacts })
  }

  /** A frame that could not stand in its line as it came: its text, or its bytes in base64. */
  #addVerbatim(line: ScannedLine): void {
    const tail = line.bytes.toString('latin1', line.valueUntil, line.until)
    const why = /^,"why":"(line_break|not_json|not_utf8|binary)","crc":/.exec(tail)?.[1]
    const body = jsonString(line.bytes.subarray(line.valueFrom, line.valueUntil))
    if (why === undefined || body === undefined)
      return this.#reject({ ...placeOf(line), reason: 'shape', detail: 'its verbatim frame cannot be read' })
    this.#addOther({ kind: 'frame', body, verbatim: why, facts: noFacts })
  }
}

const noFacts: FrameFacts = { channel: null, exchangeNs: null, sequenceNum: null, clientId: null }

function hasFolder(productId: string): boolean {
  return tryEncodeProductId(productId) !== undefined
}

function placeOf(line: ScannedLine): Omit<RejectedLine, 'reason' | 'detail'> {
  return { n: line.n, offset: line.offset, sizeBytes: line.until - line.from, kind: line.kind }
}
