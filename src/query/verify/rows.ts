/** The accounting of one job: its lines are, each once, in the rows of one table or among the rejects. */

import type { DuckDBConnection } from '@duckdb/node-api'
import type { Receipt, ReceiptPart, TableName } from '../../table/receipt.ts'
import { tableNames } from '../../table/receipt.ts'
import { jobError, type Finding, type JobRemedy } from './finding.ts'
import type { PartPaths } from '../row-stream.ts'
import type { RejectedLines } from './rejects.ts'
import type { RowEngine } from '../row-engine.ts'
import { sequencesOf } from './row-sequences.ts'
import type { SequenceFacts } from './sequences.ts'
import { sqlText } from '../views.ts'

export interface CheckedRows {
  readonly findings: readonly Finding[]
  readonly sequences: SequenceFacts
}

/** @param paths of its parts, which are known to be whole */
export async function checkRows(
  engine: RowEngine,
  receipt: Receipt,
  paths: PartPaths,
  rejects: RejectedLines,
  remedy: JobRemedy,
): Promise<CheckedRows> {
  using lent = await engine.lend(1)
  return await new RowChecker(lent.connections[0]!, receipt, paths, rejects, remedy).check()
}

class RowChecker {
  readonly #connection: DuckDBConnection
  readonly #receipt: Receipt
  readonly #paths: PartPaths
  readonly #rejects: RejectedLines
  readonly #remedy: JobRemedy
  readonly #tables: readonly TableName[]

  constructor(
    connection: DuckDBConnection,
    receipt: Receipt,
    paths: PartPaths,
    rejects: RejectedLines,
    remedy: JobRemedy,
  ) {
    this.#connection = connection
    this.#receipt = receipt
    this.#paths = paths
    this.#rejects = rejects
    this.#remedy = remedy
    this.#tables = tableNames.filter((table) => this.#partsOf(table).length > 0)
  }

  async check(): Promise<CheckedRows> {
    const findings: Finding[] = []
    for (const table of this.#tables) findings.push(...(await this.#checkTable(table)))
    await this.#collectLines()
    findings.push(...(await this.#checkLines()))
    const sequences = await sequencesOf(this.#connection, this.#receipt, this.#rejects, this.#eventsSql())
    return { findings, sequences: findings.length === 0 ? sequences : { ...sequences, known: [] } }
  }

  async #rows(sql: string): Promise<bigint[][]> {
    const reader = await this.#connection.runAndReadAll(sql)
    return reader.getRows() as bigint[][]
  }

  /** Rows and times of each part, and that no row is there twice. */
  async #checkTable(table: TableName): Promise<Finding[]> {
    const parts = this.#partsOf(table)
    const findings: Finding[] = []
    const stated = await this.#connection.runAndReadAll(
      `SELECT filename, count(*), min(t), max(t) FROM (SELECT filename, coalesce(exchange_ns, recv_ns) AS t
         FROM read_parquet(${this.#list(parts)}, filename = true, hive_partitioning = false))
       GROUP BY filename`,
    )
    const found = new Map(stated.getRows().map((row) => [String(row[0]), row.slice(1).map(String).join(' ')]))
    parts.forEach((part) => {
      const expected = `${part.rows} ${part.min_time_ns} ${part.max_time_ns}`
      const there = found.get(this.#paths.get(part.key)!)
      if (there === expected) return
      const message = `rows, first and last time are ${there ?? 'none'}, its receipt says ${expected}`
      findings.push(jobError('part_rows', part.key, message, this.#remedy))
    })
    const key = table === 'other' ? 'recorder, n' : 'recorder, n, event_index, row_index'
    const [doubled] = await this.#rows(
      `SELECT count(*) FROM (SELECT 1 FROM ${this.#scan(parts)} GROUP BY ${key} HAVING count(*) > 1)`,
    )
    if (doubled![0] !== 0n)
      findings.push(
        jobError(
          'rows_doubled',
          this.#receipt.job,
          `${doubled![0]} rows of ${table} are there twice`,
          this.#remedy,
        ),
      )
    return findings
  }

  /** Distinct counters over all tables and the rejects against the counters the sources span. */
  async #checkLines(): Promise<Finding[]> {
    const receipt = this.#receipt
    const inSpan = spansOf(receipt)
      .map((s) => `(recorder = ${sqlText(s.recorder)} AND n BETWEEN ${s.firstN} AND ${s.lastN})`)
      .join(' OR ')
    const [counts] = await this.#rows(
      `SELECT count(*), count(*) FILTER (places > 1), count(*) FILTER (NOT (${inSpan || 'false'}))
       FROM (SELECT recorder, n, count(*) AS places FROM line GROUP BY recorder, n)`,
    )
    const [distinct, twice, strange] = counts!.map(Number) as [number, number, number]
    const findings: Finding[] = []
    if (twice > 0)
      findings.push(
        jobError(
          'lines_doubled',
          receipt.job,
          `${twice} lines are in more than one place, or of two connections (${await this.#examples('GROUP BY recorder, n HAVING count(*) > 1')})`,
          this.#remedy,
        ),
      )
    if (strange > 0)
      findings.push(
        jobError(
          'lines_strange',
          receipt.job,
          `${strange} lines are not of its segments (${await this.#examples(`WHERE NOT (${inSpan || 'false'})`)})`,
          this.#remedy,
        ),
      )
    const missing = lineSpan(receipt) - (distinct - strange)
    // Bytes too damaged to hold a counter were rejected as they are: any number of counters may lie in them.
    if (missing > 0 && this.#rejects.withoutCounter === 0)
      findings.push(
        jobError(
          'lines_missing',
          receipt.job,
          `of ${lineSpan(receipt)} lines ${missing} are neither in a table nor rejected`,
          this.#remedy,
        ),
      )
    return findings
  }

  async #collectLines(): Promise<void> {
    const places = this.#tables.map((table) => {
      const isFrame = table === 'other' ? "kind <> 'event'" : 'true'
      return `SELECT DISTINCT recorder, n, conn, sequence_num, ${isFrame} FROM ${this.#scan(this.#partsOf(table))}`
    })
    await this.#connection.run(
      'CREATE OR REPLACE TEMP TABLE line (recorder VARCHAR, n BIGINT, conn VARCHAR, sequence_num BIGINT, is_frame BOOLEAN)',
    )
    if (places.length > 0) await this.#connection.run(`INSERT INTO line ${places.join(' UNION ALL ')}`)
    const { counted } = this.#rejects
    for (let from = 0; from < counted.length; from += 1000) {
      const values = counted
        .slice(from, from + 1000)
        .map((line) => `(${sqlText(line.recorder)}, ${line.n}, NULL, NULL, false)`)
      await this.#connection.run(`INSERT INTO line VALUES ${values.join(', ')}`)
    }
  }

  /** Events that may tell of a gap; null where there is no table that could hold one. */
  #eventsSql(): string | null {
    if (!this.#tables.includes('other')) return null
    return `SELECT recorder, conn, n, body FROM ${this.#scan(this.#partsOf('other'))}
      WHERE kind = 'event' AND conn IS NOT NULL AND starts_with(body, '{"gap":')`
  }

  #partsOf(table: TableName): readonly ReceiptPart[] {
    return this.#receipt.parts.filter((part) => part.table === table)
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

interface Span {
  readonly recorder: string
  readonly firstN: number
  readonly lastN: number
}

/** Counters that its sources have, those of neighbours in one: a merged day has more than a thousand sources. */
function spansOf({ sources }: Receipt): Span[] {
  const spans: Span[] = []
  for (const { recorder, first_n: firstN, last_n: lastN } of sources.toSorted(
    (a, b) => a.first_n - b.first_n,
  )) {
    if (lastN === null) continue
    const at = spans.findLastIndex((span) => span.recorder === recorder)
    const before = spans[at]
    if (before === undefined || before.lastN + 1 !== firstN) spans.push({ recorder, firstN, lastN })
    else spans[at] = { ...before, lastN }
  }
  return spans
}

/** Counters between the first and last line of its sources. */
function lineSpan(receipt: Receipt): number {
  return receipt.sources.reduce(
    (sum, source) => sum + (source.last_n === null ? 0 : source.last_n - source.first_n + 1),
    0,
  )
}
