/** What receipts say of each part that a question can ask, as a table for DuckDB's own rules. */

import type { DuckDBConnection } from '@duckdb/node-api'
import type { Receipt, TableName } from '../../table/receipt.ts'
import { sqlText } from '../views.ts'
import { partsWhereSql } from './parsed-sql.ts'
import type { Node } from './sql-tree.ts'

/** A part's place: its receipt, as whoever loads it numbers them, and its number in there. */
const factColumns =
  'receipt INTEGER, part INTEGER, table_name VARCHAR, number_type VARCHAR, has_product BOOLEAN, product_id VARCHAR, "date" VARCHAR, min_ns BIGINT, max_ns BIGINT'

/** Times to the microsecond are widened by one: theirs are cut, not rounded. */
const partSql = `CREATE TEMP VIEW part AS SELECT *, make_timestamptz(min_ns // 1000 - 1) AS min_time,
    make_timestamptz(max_ns // 1000 + 1) AS max_time FROM `

export class FactTable {
  readonly #connection: DuckDBConnection

  private constructor(connection: DuckDBConnection) {
    this.#connection = connection
  }

  static async make(connection: DuckDBConnection): Promise<FactTable> {
    await connection.run(`CREATE TEMP TABLE part_fact (${factColumns})`)
    await connection.run(`${partSql} part_fact`)
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

  /** Adds facts that were saved; they are read where they lie. @param left receipts that count no more, by their numbers */
  async load(path: string, left: readonly number[]): Promise<void> {
    const saved = `SELECT * FROM read_parquet(${sqlText(path)}, hive_partitioning = false)${left.length === 0 ? '' : ` WHERE receipt NOT IN (${left.join(', ')})`}`
    await this.#connection.run('DROP VIEW part')
    await this.#connection.run(`${partSql} (FROM part_fact UNION ALL ${saved})`)
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

  async drop(): Promise<void> {
    await this.#connection.run('DROP VIEW part; DROP TABLE part_fact')
  }
}
