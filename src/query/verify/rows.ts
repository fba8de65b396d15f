/** The accounting of one job: its lines are, each once, in the rows of one table or among the rejects. Opens DuckDB. */

import type { DuckDBConnection, DuckDBInstance } from '@duckdb/node-api'
import { duckdb } from '../../storage/duckdb.ts'
import type { Receipt, ReceiptPart, TableName } from '../../table/receipt.ts'
import { tableNames } from '../../table/receipt.ts'
import { error, type Finding } from './finding.ts'
import type { PartPaths } from './parts.ts'
import type { RejectedLines } from './rejects.ts'
import { sqlText } from '../views.ts'

const askForHelp = 'keep the vault as it is and report this: conversion should never do it'

/** One connection for all jobs. `close` frees it. */
export class RowChecker {
  readonly #instance: DuckDBInstance
  readonly #connection: DuckDBConnection
  #paths: PartPaths = new Map()

  constructor(instance: DuckDBInstance, connection: DuckDBConnection) {
    this.#instance = instance
    this.#connection = connection
  }

  static async open(memoryLimitMb: number, scratchDir: string): Promise<RowChecker> {
    const instance = await duckdb.DuckDBInstance.create(':memory:')
    const connection = await instance.connect()
    await connection.run(`SET memory_limit = '${memoryLimitMb}MB'`)
    await connection.run(`SET temp_directory = ${sqlText(scratchDir)}`)
    return new RowChecker(instance, connection)
  }

  [Symbol.dispose](): void {
    this.#connection.closeSync()
    this.#instance.closeSync()
  }

  /** @param paths of its parts, which are known to be whole */
  async check(receipt: Receipt, paths: PartPaths, rejects: RejectedLines): Promise<Finding[]> {
    this.#paths = paths
    const tables = tableNames.filter((table) => receipt.parts.some((part) => part.table === table))
    const findings: Finding[] = []
    for (const table of tables) findings.push(...(await this.#checkTable(receipt, table)))
    return [...findings, ...(await this.#checkLines(receipt, tables, rejects))]
  }

  async #rows(sql: string): Promise<bigint[][]> {
    const reader = await this.#connection.runAndReadAll(sql)
    return reader.getRows() as bigint[][]
  }

  /** Rows and times of each part, and that no row is there twice. */
  async #checkTable(receipt: Receipt, table: TableName): Promise<Finding[]> {
    const parts = receipt.parts.filter((part) => part.table === table)
    const findings: Finding[] = []
    const stated = await this.#connection.runAndReadAll(
      `SELECT file_index, count(*), min(t), max(t) FROM (
         SELECT list_position(${this.#list(parts)}, filename) - 1 AS file_index, coalesce(exchange_ns, recv_ns) AS t
         FROM read_parquet(${this.#list(parts)}, filename = true, hive_partitioning = false))
       GROUP BY file_index`,
    )
    const found = new Map(stated.getRows().map((row) => [Number(row[0]), row.slice(1).map(String).join(' ')]))
    parts.forEach((part, i) => {
      const expected = `${part.rows} ${part.min_time_ns} ${part.max_time_ns}`
      if (found.get(i) === expected) return
      const message = `rows, first and last time are ${found.get(i) ?? 'none'}, its receipt says ${expected}`
      findings.push(error('part_rows', part.key, message, askForHelp))
    })
    const key = table === 'other' ? 'recorder, n' : 'recorder, n, event_index, row_index'
    const [doubled] = await this.#rows(
      `SELECT count(*) FROM (SELECT 1 FROM ${this.#scan(parts)} GROUP BY ${key} HAVING count(*) > 1)`,
    )
    if (doubled![0] !== 0n)
      findings.push(
        error('rows_doubled', receipt.job, `${doubled![0]} rows of ${table} are there twice`, askForHelp),
      )
    return findings
  }

  /** Distinct counters over all tables and the rejects against the counters the sources span. */
  async #checkLines(
    receipt: Receipt,
    tables: readonly TableName[],
    rejects: RejectedLines,
  ): Promise<Finding[]> {
    await this.#collectLines(receipt, tables, rejects)
    const spans = receipt.sources.filter((source) => source.last_n !== null)
    const inSpan = spans
      .map((s) => `(recorder = ${sqlText(s.recorder)} AND n BETWEEN ${s.first_n} AND ${s.last_n})`)
      .join(' OR ')
    const [counts] = await this.#rows(
      `SELECT count(*), count(*) FILTER (places > 1), count(*) FILTER (NOT (${inSpan || 'false'}))
       FROM (SELECT recorder, n, count(*) AS places FROM line GROUP BY recorder, n)`,
    )
    const [distinct, twice, strange] = counts!.map(Number) as [number, number, number]
    const findings: Finding[] = []
    if (twice > 0)
      findings.push(
        error(
          'lines_doubled',
          receipt.job,
          `${twice} lines are in more than one place (${await this.#examples('GROUP BY recorder, n HAVING count(*) > 1')})`,
          askForHelp,
        ),
      )
    if (strange > 0)
      findings.push(
        error(
          'lines_strange',
          receipt.job,
          `${strange} lines are not of its segments (${await this.#examples(`WHERE NOT (${inSpan || 'false'})`)})`,
          askForHelp,
        ),
      )
    const missing = lineSpan(receipt) - (distinct - strange)
    // Bytes too damaged to hold a counter were rejected as they are: any number of counters may lie in them.
    if (missing > 0 && rejects.withoutCounter === 0)
      findings.push(
        error(
          'lines_missing',
          receipt.job,
          `of ${lineSpan(receipt)} lines ${missing} are neither in a table nor rejected`,
          askForHelp,
        ),
      )
    return findings
  }

  async #collectLines(receipt: Receipt, tables: readonly TableName[], rejects: RejectedLines): Promise<void> {
    const places = tables.map((table) => {
      const parts = receipt.parts.filter((part) => part.table === table)
      return `SELECT DISTINCT recorder, n FROM ${this.#scan(parts)}`
    })
    await this.#connection.run('DROP TABLE IF EXISTS line')
    await this.#connection.run('CREATE TEMP TABLE line (recorder VARCHAR, n BIGINT)')
    if (places.length > 0) await this.#connection.run(`INSERT INTO line ${places.join(' UNION ALL ')}`)
    for (let from = 0; from < rejects.counted.length; from += 1000) {
      const values = rejects.counted
        .slice(from, from + 1000)
        .map((line) => `(${sqlText(line.recorder)}, ${line.n})`)
      await this.#connection.run(`INSERT INTO line VALUES ${values.join(', ')}`)
    }
  }

  async #examples(condition: string): Promise<string> {
    const rows = await this.#rows(`SELECT recorder, n FROM line ${condition} ORDER BY ALL LIMIT 3`)
    return 'for example ' + rows.map(([recorder, n]) => `${recorder} ${n}`).join(', ')
  }

  #scan(parts: readonly ReceiptPart[]): string {
    return `read_parquet(${this.#list(parts)}, hive_partitioning = false)`
  }

  #list(parts: readonly ReceiptPart[]): string {
    return `[${parts.map((part) => sqlText(this.#paths.get(part.key)!)).join(', ')}]`
  }
}

/** Counters between the first and last line of its sources. */
function lineSpan(receipt: Receipt): number {
  return receipt.sources.reduce(
    (sum, source) => sum + (source.last_n === null ? 0 : source.last_n - source.first_n + 1),
    0,
  )
}
