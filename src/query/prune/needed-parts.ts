/**
 * Which committed parts a question can need. DuckDB parses the question and evaluates what it asks of product, date and time over the facts
 * that receipts hold of each part, by its own rules; what could be read in another way is not left out.
 */

import type { DuckDBConnection } from '@duckdb/node-api'
import type { ReceiptPart, TableName } from '../../table/receipt.ts'
import { tableNames } from '../../table/receipt.ts'
import type { Catalog } from '../catalog.ts'
import { sqlText } from '../views.ts'
import { parsedSql, partsWhereSql } from './parsed-sql.ts'
import { columnsIn, functionsIn, tableReads, type Node, type TableRead } from './sql-tree.ts'
import { timeBound } from './time-bound.ts'

/** One way in which a question reads a table; `where` over the columns of `part`. */
interface PartFilter {
  readonly table: TableName
  readonly where: readonly Node[]
}

/**
 * Where it answers, a transaction is left open: what `now()` is here, it is when the question runs on this connection.
 *
 * @returns parts in the order of the receipts
 */
export async function neededParts(
  connection: DuckDBConnection,
  catalog: Catalog,
  sql: string,
): Promise<ReceiptPart[]> {
  const parts = catalog.receipts.flatMap((receipt) => receipt.parts)
  if (parts.length === 0) return parts
  await connection.run('BEGIN TRANSACTION')
  try {
    const filters = await partFilters(connection, sql)
    if (filters !== null) return await partsFor(connection, parts, filters)
  } catch {
    // What the question asks fails on some product or date: whether it does so in the question too is not for us to say.
  }
  await connection.run('ROLLBACK')
  return parts
}

async function partsFor(
  connection: DuckDBConnection,
  parts: readonly ReceiptPart[],
  filters: readonly PartFilter[],
): Promise<ReceiptPart[]> {
  const isNarrowed = filters.some((filter) => filter.where.length > 0)
  if (isNarrowed) await loadFacts(connection, parts)
  const needed = new Set<ReceiptPart>()
  for (const { table, where } of filters) {
    const isFound = where.length === 0 ? () => true : await matching(connection, where)
    parts.forEach((part, i) => {
      if (part.table === table && isFound(i)) needed.add(part)
    })
  }
  if (isNarrowed) await connection.run('DROP VIEW part; DROP TABLE part_fact')
  return parts.filter((part) => needed.has(part))
}

async function partFilters(connection: DuckDBConnection, sql: string): Promise<PartFilter[] | null> {
  const tree = await parsedSql(connection, sql)
  const reads = tree === null ? null : tableReads(tree)
  if (reads === null) return null
  const called = new Set(
    reads.flatMap((read) => read.conditions ?? []).flatMap((each) => [...functionsIn(each)]),
  )
  const steady = await steadyFunctions(connection, called)
  return reads.flatMap((read) => filterOf(read, steady) ?? [])
}

const clocks: ReadonlySet<string> = new Set([
  'now',
  'today',
  'get_current_timestamp',
  'transaction_timestamp',
])

/** Those of the functions named whose value follows from their arguments alone, or is the time at which the transaction began. */
async function steadyFunctions(
  connection: DuckDBConnection,
  names: ReadonlySet<string>,
): Promise<ReadonlySet<string>> {
  const asked = [...names].filter((name) => !clocks.has(name))
  if (asked.length === 0) return names
  // To list them takes DuckDB 20 ms.
  const reader = await connection.runAndReadAll(
    `SELECT lower(function_name) FROM duckdb_functions() WHERE lower(function_name) IN (${asked.map(sqlText).join(', ')})
     GROUP BY 1 HAVING bool_and(coalesce(function_type = 'scalar' AND stability = 'CONSISTENT', false))`,
  )
  return new Set([...clocks, ...reader.getRows().map(([name]) => String(name))])
}

function filterOf(read: TableRead, steady: ReadonlySet<string>): PartFilter | null {
  const conditions = (read.conditions ?? []).filter((each) =>
    [...functionsIn(each)].every((name) => steady.has(name)),
  )
  const table = tableNames.find((name) => name === read.name)
  if (table !== undefined)
    return { table, where: conditions.map(partCondition).filter((each) => each !== null) }
  // Which of a trade's rows is the one is decided among all of its product.
  if (read.name === 'market_trades_unique')
    return { table: 'market_trades', where: conditions.filter((each) => isOver(each, ['product_id'])) }
  // Gaps are told by events, which have no product.
  if (read.name === 'gaps') return { table: 'other', where: [isWithoutProduct] }
  return null
}

const isWithoutProduct: Node = {
  class: 'OPERATOR',
  type: 'OPERATOR_NOT',
  alias: '',
  query_location: 0,
  children: [
    { class: 'COLUMN_REF', type: 'COLUMN_REF', alias: '', query_location: 0, column_names: ['has_product'] },
  ],
}

/** What must hold of a part for one of its rows to fulfil a condition; null: nothing is known. */
function partCondition(condition: Node): Node | null {
  return isOver(condition, ['product_id', 'date']) ? condition : timeBound(condition)
}

function isOver(condition: Node, columns: readonly string[]): boolean {
  const named = columnsIn(condition)
  return named.size > 0 && [...named].every((name) => columns.includes(name))
}

/** Times to the microsecond are widened by one: theirs are cut, not rounded. */
const factsSql = [
  `CREATE TEMP TABLE part_fact (i INTEGER, has_product BOOLEAN, product_id VARCHAR, "date" VARCHAR, min_ns BIGINT, max_ns BIGINT)`,
  `CREATE TEMP VIEW part AS SELECT *, make_timestamptz(min_ns // 1000 - 1) AS min_time,
    make_timestamptz(max_ns // 1000 + 1) AS max_time FROM part_fact`,
]

async function loadFacts(connection: DuckDBConnection, parts: readonly ReceiptPart[]): Promise<void> {
  for (const sql of factsSql) await connection.run(sql)
  const appender = await connection.createAppender('part_fact', 'main', 'temp')
  parts.forEach((part, i) => {
    appender.appendInteger(i)
    appender.appendBoolean(part.product_id !== null)
    // As the views show them, whose products are names of folders: one called NULL is null to DuckDB.
    if (part.product_id === 'NULL') appender.appendNull()
    else appender.appendVarchar(part.product_id ?? '_none')
    appender.appendVarchar(part.date)
    appender.appendBigInt(BigInt(part.min_time_ns))
    appender.appendBigInt(BigInt(part.max_time_ns))
    appender.endRow()
  })
  appender.closeSync()
}

async function matching(
  connection: DuckDBConnection,
  where: readonly Node[],
): Promise<(index: number) => boolean> {
  const reader = await connection.runAndReadAll(await partsWhereSql(connection, where))
  const found = new Set(reader.getRows().map(([i]) => Number(i)))
  return (index) => found.has(index)
}
