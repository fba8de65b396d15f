/**
 * Rows from memory into tables of the engine. Vectors are filled as a whole, without a value of
 * JavaScript for each: 0.5 µs a row of 15 columns.
 */

import type { DuckDBDataChunk, DuckDBType } from '@duckdb/node-api'
import { setImmediate } from 'node:timers/promises'
import type { NumberType } from '../dataset/names.ts'
import type { RowTable } from '../dataset/shape.ts'
import type { RowColumns, Texts, ValueColumn, WordColumn } from '../dataset/row-columns.ts'
import { duckdb, duckdbBindings } from '../storage/duckdb.ts'
import { sqlText } from './convert-parts.ts'
import type { Engine } from './engine.ts'
import { vectorRows, windowsOf, type StageWindow } from './stage-windows.ts'

/** Chunks after which others have a turn: some 10 ms. */
const chunksAtOnce = 16
const widestBytes = 16

/** A column of the engine's table. */
type Staged = StagedWords | StagedTexts | StagedCodes

/** With a value for each row, or for each frame. */
interface StagedWords {
  readonly kind: 'row' | 'frame'
  readonly name: string
  readonly type: DuckDBType
  readonly column: WordColumn
  /** Of each value in DuckDB's vector. */
  readonly itemBytes: number
}

/** Where few rows have a text. */
interface StagedTexts {
  readonly kind: 'texts'
  readonly name: string
  readonly type: DuckDBType
  readonly texts: ReadonlyMap<number, string>
}

/** Where nearly each row, or frame, has a text of its own. */
interface StagedCodes {
  readonly kind: 'codes'
  readonly by: 'row' | 'frame'
  readonly name: string
  readonly type: DuckDBType
  readonly column: WordColumn
  readonly values: readonly string[]
}

/** How rows of a table are staged in the engine. */
export class RowStage {
  /** Columns of the file that are the same in all rows, as SQL: they are not staged. */
  readonly constants: Readonly<Record<string, string>>
  readonly table: RowTable
  readonly #staged: readonly Staged[]
  readonly #chunks: Chunks

  constructor(rows: RowColumns, numberType: NumberType) {
    this.table = rows.shape.table
    const all = columnsOf(rows, numberType)
    this.#staged = all.filter((one) => one.kind !== 'constant')
    this.constants = Object.fromEntries(
      all.flatMap((one) => (one.kind === 'constant' ? [[one.name, one.sql] as const] : [])),
    )
    this.#chunks = new Chunks(this.#staged, rows.frame.words)
  }

  /**
   * Makes the table `name` of neighbouring groups of rows. Its column `part` counts them from 0; rows with -1 are none of it.
   *
   * @param ends where each group ends
   */
  async append(
    engine: Engine,
    name: string,
    { from, ends }: { readonly from: number; readonly ends: readonly number[] },
    signal: AbortSignal,
  ): Promise<void> {
    const columns = this.#staged.map((one) => `"${one.name}" ${one.type.toString()}`)
    await engine.run(`CREATE TABLE ${name} (${columns.join(', ')}, part INTEGER)`)
    await engine.append(name, async (append) => {
      for (const [i, window] of windowsOf(from, ends).entries()) {
        append(this.#chunks.chunk(window, ends))
        if (i % chunksAtOnce !== chunksAtOnce - 1) continue
        await setImmediate()
        signal.throwIfAborted()
      }
    })
  }
}

interface Constant {
  readonly kind: 'constant'
  readonly name: string
  readonly sql: string
}

/** The columns of the file beside those that follow from others. */
function columnsOf(rows: RowColumns, numberType: NumberType): (Staged | Constant)[] {
  const { BIGINT, BOOLEAN, INTEGER, TIMESTAMPTZ } = duckdb
  const { ofFrame, shape } = rows
  const words = (kind: 'row' | 'frame', name: string, type: DuckDBType, column: WordColumn): Staged => {
    return { kind, name, type, column, itemBytes: type === BOOLEAN ? 1 : column.width * 4 }
  }
  const values = rows.values.flatMap((one) => [
    stagedValue(one),
    ...(numberType === 'double' && one.field.kind === 'decimal'
      ? [sparse(`${one.field.column}_text`, one.texts)]
      : []),
  ])
  return [
    coded('frame', 'channel', rows.channels, ofFrame.channel),
    ...values,
    words('row', shape.snapshotColumn, BOOLEAN, rows.isSnapshot),
    words('frame', 'exchange_time', TIMESTAMPTZ, ofFrame.exchangeTime),
    words('frame', 'exchange_ns', BIGINT, ofFrame.exchangeNs),
    words('frame', 'recv_ns', BIGINT, ofFrame.recvNs),
    words('frame', 'n', BIGINT, ofFrame.n),
    coded('frame', 'conn', rows.conns, ofFrame.conn),
    words('frame', 'sequence_num', BIGINT, ofFrame.sequence),
    coded('frame', 'client_id', rows.clientIds, ofFrame.clientId),
    words('row', 'event_index', INTEGER, rows.eventIndex),
    words('row', 'row_index', INTEGER, rows.rowIndex),
    extraOf(rows),
  ]
}

function stagedValue({ field, column, words }: ValueColumn): Staged | Constant {
  const { BIGINT, DECIMAL, TIMESTAMPTZ } = duckdb
  if (field.kind === 'word') return coded('row', field.column, words, column)
  const type = field.kind === 'decimal' ? DECIMAL(38, 18) : field.kind === 'time' ? TIMESTAMPTZ : BIGINT
  return { kind: 'row', name: field.column, type, column, itemBytes: column.width * 4 }
}

/** Most rows of most segments have none. */
function extraOf({ extra, extras, rows, hasExtras }: RowColumns): Staged | Constant {
  if (!hasExtras) return { kind: 'constant', name: 'extra', sql: 'NULL::VARCHAR' }
  extra.nulls = new Uint8Array(extra.words.length)
  for (let at = 0; at < rows; at++) if (extra.words[at] === 0) extra.nulls[at] = 1
  return coded('row', 'extra', extras, extra)
}

function sparse(name: string, texts: ReadonlyMap<number, string>): Staged | Constant {
  if (texts.size === 0) return { kind: 'constant', name, sql: 'NULL::VARCHAR' }
  return { kind: 'texts', name, type: duckdb.VARCHAR, texts }
}

/** Texts that repeat, as DuckDB keeps an ENUM: a number of the fewest bytes that tell them apart. The SQL of each block names all of them. */
function coded(
  kind: 'row' | 'frame',
  name: string,
  { values, areFew }: Texts,
  column: WordColumn,
): Staged | Constant {
  if (values.length === 0) return { kind: 'constant', name, sql: 'NULL::VARCHAR' }
  if (!areFew) return { kind: 'codes', by: kind, name, type: duckdb.VARCHAR, column, values }
  if (values.length === 1 && column.nulls === null)
    return { kind: 'constant', name, sql: sqlText(values[0]!) }
  const itemBytes = values.length < 256 ? 1 : 2
  return { kind, name, type: duckdb.ENUM(values), column, itemBytes }
}

/** Fills one chunk after another. */
class Chunks {
  readonly #staged: readonly Staged[]
  readonly #frameOf: Uint32Array
  readonly #types: readonly ReturnType<DuckDBType['toLogicalType']>['logical_type'][]
  readonly #memory = new VectorMemory()
  readonly #valid = new Uint8Array(vectorRows / 8)

  constructor(staged: readonly Staged[], frameOf: Uint32Array) {
    this.#staged = staged
    this.#frameOf = frameOf
    this.#types = [...staged.map((one) => one.type), duckdb.INTEGER].map(
      (one) => one.toLogicalType().logical_type,
    )
  }

  chunk(window: StageWindow, ends: readonly number[]): DuckDBDataChunk {
    const { from, until } = window
    const chunk = duckdbBindings.create_data_chunk(this.#types)
    duckdbBindings.data_chunk_set_size(chunk, until - from)
    for (const [i, staged] of this.#staged.entries()) {
      const vector = duckdbBindings.data_chunk_get_vector(chunk, i)
      if (staged.kind === 'texts') this.#setTexts(vector, staged.texts, from, until)
      else if (staged.kind === 'codes') this.#setCodes(vector, staged, from, until)
      else if (staged.kind === 'row') this.#setValues(vector, staged, from, until)
      else this.#setOfFrames(vector, staged, this.#frameOf.subarray(from, until))
    }
    this.#memory.fillParts(window, ends)
    this.#copy(duckdbBindings.data_chunk_get_vector(chunk, this.#staged.length), (until - from) * 4)
    return new duckdb.DuckDBDataChunk(chunk)
  }

  /** Values that stand as DuckDB holds them are copied as they stand. */
  #setValues(vector: Vector, { column, itemBytes }: StagedWords, from: number, until: number): void {
    const { words, width, nulls } = column
    if (itemBytes === width * 4)
      duckdbBindings.copy_data_to_vector(
        vector,
        0,
        words.buffer as ArrayBuffer,
        words.byteOffset + from * itemBytes,
        (until - from) * itemBytes,
      )
    else {
      this.#memory.narrow(words, from, until, itemBytes)
      this.#copy(vector, (until - from) * itemBytes)
    }
    if (nulls === null) return
    this.#valid.fill(0xff)
    for (let i = from; i < until; i++) if (nulls[i] === 1) this.#setNull(i - from)
    this.#copyValidity(vector)
  }

  #setOfFrames(vector: Vector, { column, itemBytes }: StagedWords, frames: Uint32Array): void {
    const { nulls } = column
    this.#memory.gather(column, frames, itemBytes)
    this.#copy(vector, frames.length * itemBytes)
    if (nulls === null) return
    this.#valid.fill(0xff)
    for (let i = 0; i < frames.length; i++) if (nulls[frames[i]!] === 1) this.#setNull(i)
    this.#copyValidity(vector)
  }

  #setTexts(vector: Vector, texts: ReadonlyMap<number, string>, from: number, until: number): void {
    this.#valid.fill(0)
    for (let i = from; i < until; i++) {
      const text = texts.get(i)
      if (text === undefined) continue
      duckdbBindings.vector_assign_string_element(vector, i - from, text)
      this.#valid[(i - from) >> 3]! |= 1 << ((i - from) & 7)
    }
    this.#copyValidity(vector)
  }

  #setCodes(vector: Vector, { column, values, by }: StagedCodes, from: number, until: number): void {
    this.#valid.fill(0xff)
    for (let i = from; i < until; i++) {
      const at = by === 'row' ? i : this.#frameOf[i]!
      if (column.nulls?.[at] === 1) this.#setNull(i - from)
      else duckdbBindings.vector_assign_string_element(vector, i - from, values[column.words[at]!]!)
    }
    this.#copyValidity(vector)
  }

  #copy(vector: Vector, sizeBytes: number): void {
    duckdbBindings.copy_data_to_vector(vector, 0, this.#memory.bytes, 0, sizeBytes)
  }

  #setNull(at: number): void {
    this.#valid[at >> 3]! &= ~(1 << (at & 7))
  }

  #copyValidity(vector: Vector): void {
    duckdbBindings.vector_ensure_validity_writable(vector)
    duckdbBindings.copy_data_to_vector_validity(vector, 0, this.#valid.buffer, 0, this.#valid.length)
  }
}

type Vector = ReturnType<typeof duckdbBindings.data_chunk_get_vector>

/** Memory of one vector. */
class VectorMemory {
  readonly bytes = new ArrayBuffer(vectorRows * widestBytes)
  readonly #u8 = new Uint8Array(this.bytes)
  readonly #u16 = new Uint16Array(this.bytes)
  readonly #u32 = new Uint32Array(this.bytes)

  /** The index of each row's group; -1 for rows that come again. */
  fillParts({ from, until, countedUntil }: StageWindow, ends: readonly number[]): void {
    let at = from
    for (let part = ends.findIndex((end) => end > from); at < countedUntil; part++) {
      const end = Math.min(ends[part]!, countedUntil)
      this.#u32.fill(part, at - from, end - from)
      at = end
    }
    this.#u32.fill(-1, countedUntil - from, until - from)
  }

  /** Puts words side by side in fewer bytes each. */
  narrow(words: Uint32Array, from: number, until: number, itemBytes: number): void {
    const target = itemBytes === 1 ? this.#u8 : this.#u16
    for (let i = from; i < until; i++) target[i - from] = words[i]!
  }

  /** Puts the values at these places side by side. */
  gather({ words, width }: WordColumn, places: Uint32Array, itemBytes: number): void {
    if (width === 2) gatherPairs(words, places, this.#u32)
    else gatherWords(words, places, itemBytes === 1 ? this.#u8 : itemBytes === 2 ? this.#u16 : this.#u32)
  }
}

function gatherPairs(words: Uint32Array, places: Uint32Array, target: Uint32Array): void {
  for (let i = 0, to = 0; i < places.length; i++, to += 2) {
    const from = places[i]! * 2
    target[to] = words[from]!
    target[to + 1] = words[from + 1]!
  }
}

function gatherWords(
  words: Uint32Array,
  places: Uint32Array,
  target: Uint8Array | Uint16Array | Uint32Array,
): void {
  for (let i = 0; i < places.length; i++) target[i] = words[places[i]!]!
}
