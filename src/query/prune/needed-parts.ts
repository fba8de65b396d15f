/**
 * Which committed parts a question can need. DuckDB parses the question and evaluates what it asks of product, date and time over the facts
 * that receipts hold of each part, by its own rules; what could be read in another way is not left out.
 */

import type { DuckDBConnection } from '@duckdb/node-api'
import type { ReceiptPart, TableName } from '../../table/receipt.ts'
import { tableNames } from '../../table/receipt.ts'
import type { Catalog } from '../catalog.ts'
import { sqlText } from '../views.ts'
import { FactTable } from './fact-table.ts'
import { parsedSql } from './parsed-sql.ts'
import { columnsIn, functionsIn, tableReads, type Node, type TableRead } from './sql-tree.ts'
import { timeBound } from './time-bound.ts'

/** One way in which a question reads a table; `where` over the columns of `part`. */
interface PartFilter {
  readonly table: TableName
  readonly where: readonly Node[]
}

/** What a question can need: every part, all parts of some tables, or parts by the place that `FactTable` gave them. */
export type Needed =
  | { readonly kind: 'all' }
  | { readonly kind: 'tables'; readonly tables: ReadonlySet<TableName> }
  | { readonly kind: 'parts'; readonly places: ReadonlyMap<number, ReadonlySet<number>> }

/**
 * Where it answers, a transaction is left open: what `now()` is here, it is when the question runs on this connection.
 *
 * @returns parts in the order of the receipts
 */
export async function neededParts(
  connection: DuckDBConnection,
  { receipts }: Pick<Catalog, 'receipts'>,
  sql: string,
): Promise<ReceiptPart[]> {
  const needed = await neededPlaces(connection, sql, (facts) => facts.append(receipts, 0))
  return receipts.flatMap(({ parts }, receipt) =>
    parts.filter((part, i) => {
      if (needed.kind === 'all') return true
      if (needed.kind === 'tables') return needed.tables.has(part.table)
      return needed.places.get(receipt)?.has(i) === true
    }),
  )
}

/** The same of parts whose facts `load` brings in, where they are asked for. */
export async function neededPlaces(
  connection: DuckDBConnection,
  sql: string,
  load: (facts: FactTable) => Promise<void>,
): Promise<Needed> {
  await connection.run('BEGIN TRANSACTION')
  try {
    const filters = await partFilters(connection, sql)
    if (filters !== null) return await placesFor(connection, filters, load)
  } catch {
    // What the question asks fails on some product or date: whether it does so in the question too is not for us to say.
  }
  await connection.run('ROLLBACK')
  return { kind: 'all' }
}

async function placesFor(
  connection: DuckDBConnection,
  filters: readonly PartFilter[],
  load: (facts: FactTable) => Promise<void>,
): Promise<Needed> {
  if (filters.every((filter) => filter.where.length === 0))
    return { kind: 'tables', tables: new Set(filters.map(({ table }) => table)) }
  const facts = await FactTable.make(connection)
  await load(facts)
  const places = new Map<number, Set<number>>()
  for (const { table, where } of filters)
    for (const [receipt, part] of await facts.placesWhere(table, where)) {
      if (!places.has(receipt)) places.set(receipt, new Set())
      places.get(receipt)!.add(part)
    }
  await facts.drop()
  return { kind: 'parts', places }
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
