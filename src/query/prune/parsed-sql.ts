/** SQL as the tree that DuckDB's own parser gives, and back. */

import type { DuckDBConnection } from '@duckdb/node-api'
import { sqlText } from '../views.ts'
import { isNode, type Node } from './sql-tree.ts'

/** Digits that a double cannot hold are marked, so that they go back as they came. */
const mark = '\u0001'

/** @returns null for what is no plain question, and for one that may hold others: names handed over as values are in no tree */
export async function parsedSql(connection: DuckDBConnection, sql: string): Promise<Node | null> {
  if (/query|serialized/i.test(sql) || sql.includes(mark)) return null
  const text = await oneText(
    connection,
    `SELECT json_serialize_sql(${sqlText(sql)}::VARCHAR, skip_default := false, skip_null := false)`,
  )
  const marked = text.replace(/"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/g, (token) =>
    /^-?\d{16,}$/.test(token) ? `"\\u0001${token}"` : token,
  )
  const tree: unknown = JSON.parse(marked)
  return isNode(tree) && tree['error'] === false ? tree : null
}

const placesSql = 'SELECT receipt, part, table_name FROM part'

/** The SQL that asks `part` for what fulfils all conditions; for all of it, where there are none. */
export async function partsWhereSql(connection: DuckDBConnection, where: readonly Node[]): Promise<string> {
  if (where.length === 0) return placesSql
  const template = (await parsedSql(connection, `${placesSql} WHERE true`)) as {
    readonly statements: readonly { readonly node: Node }[]
  }
  const statement = template.statements[0]!
  const condition =
    where.length === 1
      ? where[0]
      : { class: 'CONJUNCTION', type: 'CONJUNCTION_AND', alias: '', query_location: 0, children: where }
  const node = { ...statement.node, where_clause: condition }
  const text = JSON.stringify({ error: false, statements: [{ ...statement, node }] })
  const whole = text.replace(/"\\u0001(-?\d+)"/g, '$1')
  return oneText(connection, `SELECT json_deserialize_sql(${sqlText(whole)}::JSON)`)
}

async function oneText(connection: DuckDBConnection, sql: string): Promise<string> {
  const reader = await connection.runAndReadAll(sql)
  return String(reader.getRows()[0]![0])
}
