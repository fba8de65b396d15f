/** What receipts say of each part that a question can ask, as a table for DuckDB's own rules. */

import type { DuckDBConnection } from '@duckdb/node-api'
import type { Receipt, TableName } from '../../table/receipt.ts'
import { sqlText } from '../views.ts'
import { partsWhereSql } from './parsed-sql.ts'
import type { Node } from './sql-tree.ts'

/** A part's place: its receipt, as whoever loads it numbers them, and its number in there. */
export const factColumns =
  'receipt INTEGER, part INTEGER, table_name VARCHAR, number_type VARCHAR, has_product BOOLEAN, product_id VARCHAR, "date" VARCHAR, min_ns BIGINT, max_ns BIGINT'

/** Times to the microsecond are widened by one: theirs are cut, not rounded. */
const factsSql = [
  `CREATE TEMP TABLE part_fact (${factColumns})`,
  `CREATE TEMP VIEW part AS SELECT *, make_timestamptz(min_ns // 1000 - 1) AS min_time,
    make_timestamptz(max_ns // 1000 + 1) AS max_time FROM part_fact`,
]

export class FactTable {
  readonly #connection: DuckDBConnection

  private constructor(connection: DuckDBConnection) {
    this.#connection = connection
  }

  static async make(connection: DuckDBConnection): Promise<FactTable> {
    for (const sql of factsSql) await connection.run(sql)
    return new FactTable(connection)
  }

  /** @param from the number of the first receipt */
  async append(receipts: readonly Receipt[], from: number): Promise<void> {
    const appender = await this.#connection.createAppender('part_fact', 'main', 'temp')
    receipts.forEach(({ parts, number_type: numberType }, receipt) =>
      parts.forEach((part, i) => {
        appender.appendInteger(from + receipt)
        appender.appendInteger(i)
        appender.appendVarchar(part.table)
        appender.appendVarchar(numberType)
        appender.appendBoolean(part.product_id !== null)
        // As the views show them, whose products are names of folders: one called NULL is null to DuckDB.
        if (part.product_id === 'NULL') appender.appendNull()
        else appender.appendVarchar(part.product_id ?? '_none')
        appender.appendVarchar(part.date)
        appender.appendBigInt(BigInt(part.min_time_ns))
        appender.appendBigInt(BigInt(part.max_time_ns))
        appender.endRow()
      }),
    )
    appender.closeSync()
  }

  /** Facts that were saved. @param left receipts that count no more, by their numbers */
  async load(path: string, left: readonly number[]): Promise<void> {
    await this.#connection.run(
      `INSERT INTO part_fact SELECT * FROM read_parquet(${sqlText(path)})${left.length === 0 ? '' : ` WHERE receipt NOT IN (${left.join(', ')})`}`,
    )
  }

  async save(path: string): Promise<void> {
    await this.#connection.run(
      `COPY part_fact TO ${sqlText(path)} (FORMAT parquet, COMPRESSION zstd, WRITE_BLOOM_FILTER false)`,
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

  /** Which number types the parts of each table have, as `table number_type`. */
  async types(): Promise<string[]> {
    const reader = await this.#connection.runAndReadAll(
      `SELECT DISTINCT table_name || ' ' || number_type FROM part_fact`,
    )
    return reader.getRows().map(([type]) => String(type))
  }

  async count(): Promise<number> {
    const reader = await this.#connection.runAndReadAll('SELECT count(*) FROM part_fact')
    return Number(reader.getRows()[0]![0])
  }

  async drop(): Promise<void> {
    await this.#connection.run('DROP VIEW part; DROP TABLE part_fact')
  }
}
