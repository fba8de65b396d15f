/** SQL that makes the views of `mdv query` over exactly the committed parts: lists of files from receipts, never a glob. Pure. */

import { join } from 'node:path'
import type { AdoptedFolder } from '../table/adopted.ts'
import type { NumberType, Receipt, ReceiptPart, TableName } from '../table/receipt.ts'
import { tableNames } from '../table/receipt.ts'
import type { Catalog } from './catalog.ts'

/** A column as a part's file has it. */
export interface ViewColumn {
  readonly name: string
  readonly type: string
}

/** The columns of a table as written with a number type, without the partition columns. */
export type ColumnsOf = (table: TableName, numberType: NumberType) => readonly ViewColumn[]

/** What `mdv query` offers, in the order it is named to people. */
export const viewNames: readonly string[] = [...tableNames, 'market_trades_unique', 'gaps', 'segments']

/** Where the file of a part is, by the key its receipt names; undefined: it is not to be read. */
export type PathOf = (key: string) => string | undefined

/**
 * `CREATE VIEW` statements for the four tables and the duplicate-free trades. Their columns follow from all parts, those that are not to be
 * read among them.
 */
export function tableViewsSql(
  catalog: Pick<Catalog, 'receipts' | 'numberTypes'>,
  columnsOf: ColumnsOf,
  pathOf: PathOf,
): string[] {
  return [
    ...tableNames.map((table) => {
      const scans = scansOf(catalog, table, columnsOf, pathOf)
      return `CREATE VIEW ${table} AS ${scans.join('\nUNION ALL BY NAME ')}`
    }),
    uniqueTradesSql,
  ]
}

/** The view over a folder of someone else's Parquet, as it was when it was catalogued. */
export function adoptedViewSql(folder: AdoptedFolder): string {
  return `CREATE VIEW adopted_${folder.name} AS SELECT * FROM read_parquet([${adoptedPaths(folder).map(sqlText).join(', ')}],
  union_by_name = true, hive_partitioning = true, hive_types_autocast = false)`
}

export function adoptedPaths(folder: AdoptedFolder): string[] {
  return folder.files.map((file) => join(folder.path, file.path))
}

/** Paths of all parts the views read, for the list of files SQL may open. */
export function partPaths(receipts: readonly Receipt[], pathOf: PathOf): string[] {
  return receipts.flatMap((receipt) => pathsOf(receipt.parts, pathOf))
}

function pathsOf(parts: readonly ReceiptPart[], pathOf: PathOf): string[] {
  return parts.flatMap((part) => pathOf(part.key) ?? [])
}

/**
 * A trade that came in a snapshot is in most cases stored a second time, from before or from another connection.
 * Of all rows of one trade this keeps the first received that was not in a snapshot, or else the first received. Rows without an
 * id cannot be compared and all stay.
 */
const uniqueTradesSql = `CREATE VIEW market_trades_unique AS
SELECT * FROM market_trades
QUALIFY row_number() OVER (
  PARTITION BY venue, product_id, trade_id,
    CASE WHEN trade_id IS NULL THEN (recorder, n, event_index, row_index) END
  ORDER BY from_snapshot, recv_ns, recorder, n, event_index, row_index) = 1`

/** One SELECT for each number type that a table's parts were written with; one without rows where there are none. */
function scansOf(
  { receipts, numberTypes }: Pick<Catalog, 'receipts' | 'numberTypes'>,
  table: TableName,
  columnsOf: ColumnsOf,
  pathOf: PathOf,
): string[] {
  const byType = partsByNumberType(receipts, table)
  const all = numberTypes.get(table)
  const target: NumberType = all === undefined || all.has('decimal') ? 'decimal' : 'double'
  const columns = columnsOf(table, target)
  const scans = [...byType].flatMap(([numberType, parts]) => {
    const paths = pathsOf(parts, pathOf)
    return paths.length === 0 ? [] : [scan(columns, columnsOf(table, numberType), paths)]
  })
  return scans.length === 0 ? [emptyScan(columns)] : scans
}

function partsByNumberType(receipts: readonly Receipt[], table: TableName): Map<NumberType, ReceiptPart[]> {
  const byType = new Map<NumberType, ReceiptPart[]>()
  for (const receipt of receipts) {
    const parts = receipt.parts.filter((part) => part.table === table)
    if (parts.length === 0) continue
    const list = byType.get(receipt.number_type) ?? []
    byType.set(receipt.number_type, list)
    list.push(...parts)
  }
  return byType
}

/** Columns of `target` in their order; what the files have in another type is cast, what they lack is null. */
function scan(
  target: readonly ViewColumn[],
  stored: readonly ViewColumn[],
  paths: readonly string[],
): string {
  const storedTypes = new Map(stored.map((column) => [column.name, column.type]))
  const columns = target.map((column) => {
    const type = storedTypes.get(column.name)
    if (type === undefined) return `NULL::${column.type} AS ${quoted(column.name)}`
    if (type === column.type) return quoted(column.name)
    // A double beside exact decimals: the text as sent is what is exact.
    return `TRY_CAST(${quoted(`${column.name}_text`)} AS ${column.type}) AS ${quoted(column.name)}`
  })
  return `SELECT ${selectList(columns)}
FROM read_parquet([${paths.map(sqlText).join(', ')}],
  hive_partitioning = true, hive_types = {'product_id': VARCHAR, 'date': VARCHAR})`
}

function emptyScan(columns: readonly ViewColumn[]): string {
  const nulls = [
    'NULL::VARCHAR AS product_id',
    'NULL::VARCHAR AS "date"',
    ...columns.map((column) => `NULL::${column.type} AS ${quoted(column.name)}`),
  ]
  return `SELECT ${selectList(columns.map((column) => quoted(column.name)))}
FROM (SELECT ${nulls.join(', ')}) WHERE false`
}

/** `recv_time` is `recv_ns` to the microsecond, for people and for arithmetic with `exchange_time`. */
function selectList(columns: readonly string[]): string {
  return `product_id, "date", ${columns.join(', ')}, make_timestamptz(recv_ns // 1000) AS recv_time`
}

export function sqlText(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}
