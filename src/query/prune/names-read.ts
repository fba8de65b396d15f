/** Which views a text of SQL can read: by DuckDB's own parser where it is a plain question, else by the names in the text. */

import type { DuckDBConnection } from '@duckdb/node-api'
import { parsedSql } from './parsed-sql.ts'
import { tableReads } from './sql-tree.ts'

/** @param view in lower case */
export type MayRead = (view: string) => boolean

/** The engine's own tables, some of which count the rows of all others. */
const ownNames = /^(pg|duckdb|sqlite|pragma)_/

const anything: MayRead = () => true

export async function viewsRead(connection: DuckDBConnection, sql: string): Promise<MayRead> {
  const tree = await parsedSql(connection, sql)
  if (tree === null) return namedInText(sql)
  const reads = tableReads(tree)
  if (reads === null) return anything
  const names = new Set(reads.map(({ name }) => name))
  return [...names].some((name) => ownNames.test(name)) ? anything : (view) => names.has(view)
}

/**
 * What makes names that do not stand in the text as they are: escapes, literals that DuckDB joins over a line's end, functions that take
 * names as values; and statements over all tables there are.
 */
const hidesNames =
  /query|serialized|histogram|storage_info|database|(pg|duckdb|sqlite|pragma)_|\\|u&|'(?:\s|--[^\n\r]*|\/\*[\s\S]*?\*\/)+'/i

/** Of several statements, and of those that make tables, the parser gives no tree. */
function namedInText(sql: string): MayRead {
  if (hidesNames.test(sql)) return anything
  const text = sql.toLowerCase()
  return (view) => text.includes(view)
}
