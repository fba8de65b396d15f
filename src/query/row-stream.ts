/** Rows of a job's parts in the order of their lines: frames are made of them again. */

import type { DuckDBConnection } from '@duckdb/node-api'
import type { RowText } from '../dataset/rebuild.ts'
import { tableColumns } from '../dataset/tables.ts'
import type { Receipt, TableName } from '../table/receipt.ts'
import { sqlText } from './views.ts'

/** Files of parts, by the key their receipt names. */
export type PartPaths = ReadonlyMap<string, string>

/** Rows of one table in the order of their counter, a chunk in memory at a time. */
export class RowStream {
  readonly table: TableName
  readonly #rows: AsyncIterator<RowText> | null
  #next: RowText | null = null
  #isStarted = false

  constructor(table: TableName, rows: AsyncIterator<RowText> | null) {
    this.table = table
    this.#rows = rows
  }

  /** The counter of its next rows; null at the end. */
  async nextN(): Promise<number | null> {
    if (!this.#isStarted) await this.#advance()
    return this.#next === null ? null : Number(this.#next['n'])
  }

  /** Rows of counter `n`; those of smaller ones are passed over. */
  async take(n: number): Promise<RowText[]> {
    if (!this.#isStarted) await this.#advance()
    const taken: RowText[] = []
    for (; this.#next !== null && Number(this.#next['n']) <= n; await this.#advance())
      if (Number(this.#next['n']) === n) taken.push(this.#next)
    return taken
  }

  async #advance(): Promise<void> {
    this.#isStarted = true
    const step = await this.#rows?.next()
    this.#next = step === undefined || step.done === true ? null : step.value
  }
}

/** @param condition of the rows wanted, in SQL */
export function rowsOfTable(
  receipt: Receipt,
  paths: PartPaths,
  table: TableName,
  recorder: string,
  connection: DuckDBConnection,
  condition = 'true',
): RowStream {
  const parts = receipt.parts.filter((part) => part.table === table)
  if (parts.length === 0) return new RowStream(table, null)
  const files = parts.map((part) => sqlText(paths.get(part.key)!))
  const columns = tableColumns(table, receipt.number_type)
  const list = columns.map((column) => `${asText(column.name, column.type)} AS "${column.name}"`)
  const sql = `SELECT product_id, ${list.join(', ')}
    FROM read_parquet([${files.join(', ')}], hive_partitioning = true, hive_types = {'product_id': VARCHAR, 'date': VARCHAR}) AS part
    WHERE part.recorder = ${sqlText(recorder)} AND ${condition} ORDER BY part.n`
  return new RowStream(
    table,
    rowsOfQuery(connection, sql, ['product_id', ...columns.map((column) => column.name)]),
  )
}

/** As the rebuilder takes them: instants in microseconds, everything else as DuckDB prints it. */
function asText(name: string, type: string): string {
  return type.startsWith('TIMESTAMP') ? `epoch_us("${name}")::VARCHAR` : `"${name}"::VARCHAR`
}

async function* rowsOfQuery(
  connection: DuckDBConnection,
  sql: string,
  names: readonly string[],
): AsyncGenerator<RowText> {
  const result = await connection.stream(sql)
  for (
    let chunk = await result.fetchChunk();
    chunk !== null && chunk.rowCount > 0;
    chunk = await result.fetchChunk()
  )
    for (const row of chunk.getRows())
      yield Object.fromEntries(names.map((name, i) => [name, row[i] as string | null]))
}
