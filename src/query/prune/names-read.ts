/** Which views a text of SQL can read: by DuckDB's own parser where it is a plain question, else by the names in the text. */

import type { DuckDBConnection } from '@duckdb/node-api'
import { parsedSql } from './parsed-sql.ts'
import { tablesNamed } from './sql-tree.ts'

/** @param view in lower case */
export type MayRead = (view: string) => boolean

/** The engine's own tables, some of which count the rows of all others. */
const ownNames = /^(pg|duckdb|sqlite|pragma)_/

const anything: MayRead = () => true

export async function viewsRead(connection: DuckDBConnection, sql: string): Promise<MayRead> {
  const names = await namesOf(connection, sql)
  if (names === 'no_tree') return namedInText(sql)
  return names === null || [...names].some((name) => ownNames.test(name))
    ? anything
    : (view) => names.has(view)
}

/** @returns `no_tree`: it is no plain question; null: nothing is known */
async function namesOf(
  connection: DuckDBConnection,
  sql: string,
): Promise<ReadonlySet<string> | 'no_tree' | null> {
  try {
    const tree = await parsedSql(connection, sql)
    return tree === null ? 'no_tree' : tablesNamed(tree)
  } catch {
    // DuckDB prints some trees that are no JSON (1e400 is Infinity in it): whether the question is right is not for us to say.
    return null
  }
}

/**
 * What makes names that do not stand in the text as they are: escapes, literals that DuckDB joins over a line's end, functions that take
 * names as values; and statements over all tables there are.
 */
const hidesNames =
  /query|serialized|attach|histogram|storage_info|database|(pg|duckdb|sqlite|pragma)_|\\|u&|'(?:\s|--[^\n\r]*|\/\*[\s\S]*?\*\/)+'/i

/** Of several statements, and of those that make tables, the parser gives no tree. */
function namedInText(sql: string): MayRead {
  if (hidesNames.test(sql)) return anything
  const text = sql.toLowerCase()
  return (view) => text.includes(view)
}
