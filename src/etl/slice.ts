/**
 * A slice of a segment on its way to rows: its lines sorted into scratch files by table, loaded into DuckDB while the next are
 * still being read, and what the fast way could not show to be whole decoded the exact way.
 */

import { isUtf8 } from 'node:buffer'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { assert } from '../core/assert.ts'
import { decodeFrame, type DecodedRow, type FrameFacts } from '../dataset/decode.ts'
import { isJson } from '../dataset/json-text.ts'
import type { NumberType } from '../dataset/names.ts'
import { createOtherSql, loadOtherSql } from '../dataset/other-sql.ts'
import { createRowsSql, loadDecodedSql, loadLinesSql, wholeFramesSql } from '../dataset/rows-sql.ts'
import { shapes, type RowTable, type TableShape } from '../dataset/shape.ts'
import type { ScannedLine } from '../segment/scan.ts'
import { tryEncodeProductId } from '../storage/keys.ts'
import type { Engine } from './engine.ts'
import { countQuotes, guessTable } from './prescan.ts'
import { SliceFile, forEachLine } from './slice-file.ts'

/** Small enough that DuckDB has work early, large enough that a load is not all overhead. */
const chunkBytes = 16 * 1024 * 1024
/** DuckDB reads in buffers of twice the longest object: small ones let all threads read one chunk. */
const objectBytesMin = 1024 * 1024

export interface RejectedLine {
  readonly n: number
  readonly offset: number
  readonly sizeBytes: number
  readonly kind: ScannedLine['kind']
  readonly reason: string
  readonly detail: string
}

interface LineMark {
  readonly n: number
  readonly recvNs: string
  /** JSON text: a string or null. */
  readonly conn: string
}

export class Slice {
  readonly #engine: Engine
  readonly #dir: string
  readonly #numberType: NumberType
  readonly #reject: (line: RejectedLine) => void
  readonly #open = new Map<string, SliceFile>()
  readonly #loaded = new Map<RowTable, SliceFile[]>()
  /** Made, or being made. */
  readonly #tables = new Map<string, Promise<void>>()
  #waiting: (() => Promise<void>)[] = []
  readonly #loading = new Set<Promise<void>>()
  #files = 0
  /** Frames of the fast way that turned out to need the exact way, for each table. */
  readonly #partial = new Set<RowTable>()
  readonly #places = new Places()
  sizeBytes = 0

  constructor(engine: Engine, dir: string, numberType: NumberType, reject: (line: RejectedLine) => void) {
    this.#engine = engine
    this.#dir = dir
    this.#numberType = numberType
    this.#reject = reject
  }

  /** Tables that have rows so far. */
  get tables(): readonly string[] {
    return [...this.#tables.keys()]
  }

  isPartial(table: RowTable): boolean {
    return this.#partial.has(table)
  }

  add(line: ScannedLine): void {
    this.sizeBytes += line.until - line.from
    if (line.kind !== 'frame') return this.#addOwn(line)
    if (line.form !== 'msg') return this.#addVerbatim(line)
    const quotes = countQuotes(line.bytes, line.valueFrom, line.valueUntil)
    if (quotes < 0)
      return this.#reject({ ...placeOf(line), reason: 'utf8', detail: 'the frame is not valid UTF-8' })
    const table = guessTable(line)
    if (table === undefined) {
      const text = line.bytes.toString('utf8', line.valueFrom, line.valueUntil)
      return this.#addExact(text, markOf(line), placeOf(line))
    }
    this.#places.add(line)
    const file = this.#file(table)
    file.addLine(quotes, line.bytes, line.from + 1, line.valueUntil)
    if (file.sizeBytes >= chunkBytes) this.#finish(table, file)
  }

  /** Lets DuckDB fall behind by one chunk beside those it is loading. */
  async keepPace(): Promise<void> {
    while (this.#waiting.length > 1) await Promise.race(this.#loading)
    this.#startLoads()
  }

  /** All rows are in DuckDB on return. */
  async finish(): Promise<void> {
    this.#finishAll()
    await this.#drain()
    for (const { table } of shapes) await this.#decodeRest(table)
    this.#finishAll()
    await this.#drain()
  }

  #file(name: string): SliceFile {
    let file = this.#open.get(name)
    if (file === undefined) {
      file = new SliceFile(join(this.#dir, `${name}.${++this.#files}.ndjson`))
      this.#open.set(name, file)
    }
    return file
  }

  #finishAll(): void {
    for (const [name, file] of this.#open) this.#finish(name, file)
  }

  #finish(name: string, file: SliceFile): void {
    file.close()
    this.#open.delete(name)
    this.#waiting.push(() => this.#load(name, file))
    this.#startLoads()
  }

  /** One chunk a connection: a single load hardly uses a second thread. */
  #startLoads(): void {
    while (this.#loading.size < this.#engine.connections) {
      const next = this.#waiting.shift()
      if (next === undefined) return
      const loading = next().then(() => {
        this.#loading.delete(loading)
        this.#startLoads()
      })
      this.#loading.add(loading)
      // A failure is met by whoever awaits next; it must not be reported as unhandled before.
      loading.catch(() => undefined)
    }
  }

  async #drain(): Promise<void> {
    while (this.#loading.size > 0) await Promise.race(this.#loading)
  }

  async #load(name: string, file: SliceFile): Promise<void> {
    const objectBytesMax = Math.max(objectBytesMin, file.longestLineBytes + 1024)
    const [table, kind] = name.split('.') as [string, string | undefined]
    // Before anything is awaited: in the order of the segment, whichever is loaded first.
    if (table !== 'other' && kind === undefined)
      this.#loaded.set(table as RowTable, [...(this.#loaded.get(table as RowTable) ?? []), file])
    let made = this.#tables.get(table)
    if (made === undefined) {
      made = this.#engine.run(
        table === 'other' ? createOtherSql : createRowsSql(table as RowTable, this.#numberType),
      )
      this.#tables.set(table, made)
    }
    await made
    if (table === 'other') await this.#engine.run(loadOtherSql(file.path, objectBytesMax))
    else if (kind === 'decoded')
      await this.#engine.run(loadDecodedSql(table as RowTable, this.#numberType, file.path, objectBytesMax))
    else {
      return this.#engine.run(loadLinesSql(table as RowTable, this.#numberType, file.path, objectBytesMax))
    }
    rmSync(file.path)
  }

  async #decodeRest(table: RowTable): Promise<void> {
    const files = this.#loaded.get(table) ?? []
    const lines = files.reduce((sum, file) => sum + file.lines, 0)
    if (lines === 0) return
    await this.#engine.run(wholeFramesSql(table))
    const [counts] = await this.#engine.rows(`SELECT count(*) FROM ${table}_whole`)
    if (Number(counts![0]) !== lines) {
      this.#partial.add(table)
      const whole = new Set(
        (await this.#engine.rows(`SELECT n FROM ${table}_whole`)).map((row) => Number(row[0])),
      )
      let exact = 0
      for (const file of files) {
        forEachLine(file.path, file.longestLineBytes, (line) => {
          if (this.#decodeLine(line, whole)) exact++
        })
        await this.keepPace()
      }
      assert(whole.size + exact === lines, `each frame of ${table} is decoded once`)
    }
    for (const file of files) rmSync(file.path)
  }

  #decodeLine(line: Buffer, whole: ReadonlySet<number>): boolean {
    // The line's own fields are ASCII without escapes and end where the frame begins.
    const head =
      /^\{"quotes":\d+,"n":(\d+),"recv_ns":"(-?\d+)","conn":("(?:[^"\\]|\\.)*"),"len":\d+,"msg":/.exec(
        line.toString('latin1', 0, 4096),
      )
    assert(head !== null, 'a scratch line begins with its own fields')
    const [open, n = '', recvNs = '', conn = ''] = head
    if (whole.has(Number(n))) return false
    const text = line.toString('utf8', open.length, line.length - 1)
    this.#addExact(text, { n: Number(n), recvNs, conn }, this.#places.of(Number(n)))
    return true
  }

  #addExact(text: string, mark: LineMark, place: Place): void {
    const decoded = decodeFrame(text, hasFolder)
    if (decoded.kind === 'reject') this.#reject({ ...place, reason: 'json', detail: decoded.detail })
    else if (decoded.kind === 'other')
      this.#addOther({ kind: 'frame', body: text, verbatim: null, facts: decoded.facts }, mark)
    else {
      for (const row of decoded.rows) this.#addRow(decoded.shape, decoded.facts, row, mark)
    }
  }

  #addRow(shape: TableShape, facts: FrameFacts, row: DecodedRow, mark: LineMark): void {
    const name = `${shape.table}.decoded`
    const file = this.#file(name)
    // Texts in columns have no escapes, so they stand in JSON as they are.
    let line = `${openLine(mark, facts)},"client_id":${quoted(facts.clientId)},"channel":${quoted(facts.channel)}`
    line += `,"product_id":"${row.productId}","is_snapshot":${row.isSnapshot},"event_index":${row.eventIndex},"row_index":${row.rowIndex}`
    for (const column in row.values) line += `,"${column}":${quoted(row.values[column]!)}`
    if (this.#numberType === 'double')
      for (const column in row.texts) line += `,"${column}_text":${quoted(row.texts[column]!)}`
    file.addText(`${line},"extra":${JSON.stringify(row.extra)}}`)
    if (file.sizeBytes >= chunkBytes) this.#finish(name, file)
  }

  #addOther(
    row: {
      readonly kind: string
      readonly body: string
      readonly verbatim: string | null
      readonly facts: FrameFacts
    },
    mark: LineMark,
  ): void {
    const { kind, body, verbatim, facts } = row
    const file = this.#file('other')
    file.addText(
      `${openLine(mark, facts)},${JSON.stringify({ kind, channel: facts.channel, body, verbatim }).slice(1)}`,
    )
    if (file.sizeBytes >= chunkBytes) this.#finish('other', file)
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
    this.#addOther(
      { kind: isEvent ? 'event' : 'unknown', body, verbatim: null, facts: noFacts },
      markOf(line),
    )
  }

  /** A frame that could not stand in its line as it came: its text, or its bytes in base64. */
  #addVerbatim(line: ScannedLine): void {
    const tail = line.bytes.toString('latin1', line.valueUntil, line.until)
    const why = /^,"why":"(line_break|not_json|not_utf8|binary)","crc":/.exec(tail)?.[1]
    const body = jsonString(line.bytes.subarray(line.valueFrom, line.valueUntil))
    if (why === undefined || body === undefined)
      return this.#reject({ ...placeOf(line), reason: 'shape', detail: 'its verbatim frame cannot be read' })
    this.#addOther({ kind: 'frame', body, verbatim: why, facts: noFacts }, markOf(line))
  }
}

/** Where the frames of the fast way lie in the segment, by counter. */
class Places {
  readonly #n: number[] = []
  readonly #offset: number[] = []
  readonly #sizeBytes: number[] = []

  add(line: ScannedLine): void {
    this.#n.push(line.n)
    this.#offset.push(line.offset)
    this.#sizeBytes.push(line.until - line.from)
  }

  of(n: number): Place {
    let low = 0
    for (let high = this.#n.length - 1; low < high;) {
      const middle = (low + high) >> 1
      if (this.#n[middle]! < n) low = middle + 1
      else high = middle
    }
    assert(this.#n[low] === n, `line ${n} went the fast way`)
    return { n, offset: this.#offset[low]!, sizeBytes: this.#sizeBytes[low]!, kind: 'frame' }
  }
}

const noFacts: FrameFacts = { channel: null, exchangeNs: null, sequenceNum: null, clientId: null }

function hasFolder(productId: string): boolean {
  return tryEncodeProductId(productId) !== undefined
}

type Place = Omit<RejectedLine, 'reason' | 'detail'>

function placeOf(line: ScannedLine): Place {
  return { n: line.n, offset: line.offset, sizeBytes: line.until - line.from, kind: line.kind }
}

function markOf(line: ScannedLine): LineMark {
  const hasConn = line.connUntil > line.connFrom
  return {
    n: line.n,
    recvNs: line.bytes.toString('latin1', line.recvFrom, line.recvUntil),
    conn: hasConn ? line.bytes.toString('utf8', line.connFrom - 1, line.connUntil + 1) : 'null',
  }
}

function quoted(text: string | null): string {
  return text === null ? 'null' : `"${text}"`
}

function openLine(mark: LineMark, facts: FrameFacts): string {
  return `{"n":${mark.n},"recv_ns":${mark.recvNs},"conn":${mark.conn},"exchange_ns":${facts.exchangeNs},"sequence_num":${facts.sequenceNum}`
}

/** The characters of a JSON string that UTF-8 can hold. */
function jsonString(bytes: Buffer): string | undefined {
  if (!isUtf8(bytes)) return undefined
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'))
    return typeof value === 'string' && Buffer.from(value).toString('utf8') === value ? value : undefined
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}
