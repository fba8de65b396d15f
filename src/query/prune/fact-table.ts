/** What receipts say of each part that a question can ask, as a table for DuckDB's own rules. */

import type { DuckDBAppender, DuckDBConnection } from '@duckdb/node-api'
import { duckdb, duckdbBindings } from '../../storage/duckdb.ts'
import type { NumberType, Receipt, ReceiptPart, TableName } from '../../table/receipt.ts'
import { sqlText } from '../views.ts'
import { partsWhereSql } from './parsed-sql.ts'
import type { Node } from './sql-tree.ts'

/** A part's place: its receipt, as whoever loads it numbers them, and its number in there. */
const factColumns = 'receipt INTEGER, part INTEGER, "group" INTEGER, min_ns BIGINT, max_ns BIGINT'
/** What many parts have in common: texts are brought in once for all of them. */
const groupColumns =
  '"group" INTEGER, table_name VARCHAR, number_type VARCHAR, has_product BOOLEAN, product_id VARCHAR, "date" VARCHAR'
const factsSql =
  'SELECT receipt, part, table_name, number_type, has_product, product_id, "date", min_ns, max_ns FROM part_fact JOIN part_group USING ("group")'

/** Times to the microsecond are widened by one: theirs are cut, not rounded. */
const partSql = `CREATE TEMP VIEW part AS SELECT *, make_timestamptz(min_ns // 1000 - 1) AS min_time,
    make_timestamptz(max_ns // 1000 + 1) AS max_time FROM `

export class FactTable {
  readonly #connection: DuckDBConnection
  readonly #groups = new PartGroups()

  private constructor(connection: DuckDBConnection) {
    this.#connection = connection
  }

  static async make(connection: DuckDBConnection): Promise<FactTable> {
    await connection.run(`CREATE TEMP TABLE part_fact (${factColumns})`)
    await connection.run(`CREATE TEMP TABLE part_group (${groupColumns})`)
    await connection.run(`${partSql} (${factsSql})`)
    return new FactTable(connection)
  }

  /** Some 0.7 µs a part. @param from the number of the first receipt */
  async append(receipts: readonly Receipt[], from: number): Promise<void> {
    const groups = await this.#connection.createAppender('part_group', 'main', 'temp')
    const facts = new FactChunks(await this.#connection.createAppender('part_fact', 'main', 'temp'))
    receipts.forEach(({ parts, number_type: type }, receipt) =>
      parts.forEach((part, i) =>
        facts.add(from + receipt, i, this.#groups.numberOf(part, type, groups), part),
      ),
    )
    facts.close()
    groups.closeSync()
  }

  /** Adds facts that were saved; they are read where they lie. @param left receipts that count no more, by their numbers */
  async load(path: string, left: readonly number[]): Promise<void> {
    const saved = `SELECT * FROM read_parquet(${sqlText(path)}, hive_partitioning = false)${left.length === 0 ? '' : ` WHERE receipt NOT IN (${left.join(', ')})`}`
    await this.#connection.run('DROP VIEW part')
    await this.#connection.run(`${partSql} (${factsSql} UNION ALL ${saved})`)
  }

  async save(path: string): Promise<void> {
    await this.#connection.run(
      `COPY (${factsSql}) TO ${sqlText(path)} (FORMAT parquet, COMPRESSION zstd, WRITE_BLOOM_FILTER false)`,
    )
  }

  /** Parts of a table of which one row may fulfil all conditions. */
  async placesWhere(table: TableName, where: readonly Node[]): Promise<[receipt: number, part: number][]> {
    const reader = await this.#connection.runAndReadAll(await partsWhereSql(this.#connection, where))
    return reader
      .getRows()
      .filter(([, , name]) => name === table)
      .map(([receipt, part]) => [Number(receipt), Number(part)])
  }

  async drop(): Promise<void> {
    await this.#connection.run('DROP VIEW part; DROP TABLE part_fact; DROP TABLE part_group')
  }
}

/** Numbers from 0 for what parts have in common. */
class PartGroups {
  readonly #numbers = new Map<NumberType, Map<TableName, Map<string, Map<string | null, number>>>>()
  #count = 0

  /** @param appender gets those that are new */
  numberOf(part: ReceiptPart, numberType: NumberType, appender: DuckDBAppender): number {
    const products = within(within(within(this.#numbers, numberType), part.table), part.date)
    const known = products.get(part.product_id)
    if (known !== undefined) return known
    products.set(part.product_id, this.#count)
    appender.appendInteger(this.#count)
    appender.appendVarchar(part.table)
    appender.appendVarchar(numberType)
    appender.appendBoolean(part.product_id !== null)
    // As the views show them, whose products are names of folders: one called NULL is null to DuckDB.
    if (part.product_id === 'NULL') appender.appendNull()
    else appender.appendVarchar(part.product_id ?? '_none')
    appender.appendVarchar(part.date)
    appender.endRow()
    return this.#count++
  }
}

function within<K, L, V>(maps: Map<K, Map<L, V>>, key: K): Map<L, V> {
  const known = maps.get(key)
  if (known !== undefined) return known
  const made = new Map<L, V>()
  maps.set(key, made)
  return made
}

/** As many as DuckDB's vectors hold. */
const chunkRows = 2048

/** Rows of `part_fact`, brought in a vector at a time: a value at a time takes three times as long. */
class FactChunks {
  readonly #appender: DuckDBAppender
  readonly #receipts = new Int32Array(chunkRows)
  readonly #parts = new Int32Array(chunkRows)
  readonly #groups = new Int32Array(chunkRows)
  readonly #minNs = new BigInt64Array(chunkRows)
  readonly #maxNs = new BigInt64Array(chunkRows)
  #rows = 0

  constructor(appender: DuckDBAppender) {
    this.#appender = appender
  }

  add(
    receipt: number,
    part: number,
    group: number,
    { min_time_ns: minNs, max_time_ns: maxNs }: ReceiptPart,
  ): void {
    this.#receipts[this.#rows] = receipt
    this.#parts[this.#rows] = part
    this.#groups[this.#rows] = group
    this.#minNs[this.#rows] = BigInt(minNs)
    this.#maxNs[this.#rows] = BigInt(maxNs)
    if (++this.#rows === chunkRows) this.#flush()
  }

  close(): void {
    this.#flush()
    this.#appender.closeSync()
  }

  #flush(): void {
    const { BIGINT, INTEGER } = duckdb
    const chunk = duckdb.DuckDBDataChunk.create([INTEGER, INTEGER, INTEGER, BIGINT, BIGINT], this.#rows)
    const columns = [this.#receipts, this.#parts, this.#groups, this.#minNs, this.#maxNs]
    for (const [i, { buffer, BYTES_PER_ELEMENT }] of columns.entries()) {
      const vector = duckdbBindings.data_chunk_get_vector(chunk.chunk, i)
      duckdbBindings.copy_data_to_vector(vector, 0, buffer, 0, this.#rows * BYTES_PER_ELEMENT)
    }
    this.#appender.appendDataChunk(chunk)
    this.#rows = 0
  }
}
