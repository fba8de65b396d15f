/**
 * Where a parsed question reads a table directly, and what its WHERE asks of each row there. Works on the tree DuckDB's own parser gives
 * (`json_serialize_sql`). What is not understood is not a condition, so that no row is ever missed. Pure.
 */

/** A part of the tree. */
export type Node = Readonly<Record<string, unknown>>

/** One place in the SQL that reads a table or view. */
export interface TableRead {
  /** Lower case. */
  readonly name: string
  /** Each holds for every row that this place lets through; columns are named without their table. null: nothing is known. */
  readonly conditions: readonly Node[] | null
}

/** Table functions that run no SQL of their own. */
const plainFunctions: ReadonlySet<string> = new Set(['range', 'generate_series', 'unnest'])

/** @returns names of all tables whose rows or columns are asked for, in lower case; null when there may be others */
export function tablesNamed(tree: Node): Set<string> | null {
  const names = new Set<string>()
  let isOfAll = false
  const isKnown = walk(
    tree,
    (node) => {
      if (node['type'] === 'BASE_TABLE') names.add(nameOf(node))
      // SHOW TABLES.
      if (node['type'] === 'SHOW_REF' && node['query'] === null) isOfAll = true
    },
    true,
  )
  return isKnown && !isOfAll ? names : null
}

/** @returns every place that reads a table; null when there may be others */
export function tableReads(tree: Node): TableRead[] | null {
  const reads: TableRead[] = []
  const direct = new Set<Node>()
  const isKnown = walk(tree, (node) => {
    if (node['type'] === 'SELECT_NODE') reads.push(...directReads(node, direct))
    if (node['type'] === 'BASE_TABLE' && !direct.has(node))
      reads.push({ name: nameOf(node), conditions: null })
  })
  return isKnown ? reads : null
}

/**
 * Calls back for each node, outer ones first. Of the table behind DESCRIBE no row is read, but its columns are asked for.
 *
 * @returns false where SQL could hide
 */
function walk(value: unknown, visit: (node: Node) => void, entersDescribe = false): boolean {
  if (Array.isArray(value)) return value.every((item) => walk(item, visit, entersDescribe))
  if (!isNode(value)) return true
  if (!entersDescribe && value['type'] === 'SHOW_REF' && value['show_type'] === 'DESCRIBE') return true
  if (value['type'] === 'TABLE_FUNCTION' && !isPlainFunction(value['function'])) return false
  visit(value)
  return Object.values(value).every((inner) => walk(inner, visit, entersDescribe))
}

function isPlainFunction(call: unknown): boolean {
  return isNode(call) && plainFunctions.has(String(call['function_name']))
}

function directReads(select: Node, direct: Set<Node>): TableRead[] {
  const tables = innerTables(select['from_table'])
  if (tables === null || select['sample'] !== null) return []
  for (const table of tables) direct.add(table)
  const conjuncts = conjunctsOf(select['where_clause'])
  return tables.map((table) => ({
    name: nameOf(table),
    conditions: conjuncts
      .map((each) => conditionOn(each, table, tables.length === 1, select))
      .filter((each) => each !== null),
  }))
}

/** Tables of which WHERE sees each row as it is: one alone, or several in inner joins. */
function innerTables(from: unknown): Node[] | null {
  if (!isNode(from) || from['sample'] !== null) return null
  if (from['type'] === 'BASE_TABLE') {
    const isPlain = (from['column_name_alias'] as readonly unknown[]).length === 0
    return isPlain && from['at_clause'] === null ? [from] : null
  }
  const isInner =
    from['type'] === 'JOIN' &&
    from['join_type'] === 'INNER' &&
    (from['ref_type'] === 'REGULAR' || from['ref_type'] === 'CROSS')
  if (!isInner) return null
  const left = innerTables(from['left'])
  const right = innerTables(from['right'])
  return left === null || right === null ? null : [...left, ...right]
}

function conjunctsOf(where: unknown): Node[] {
  if (!isNode(where)) return []
  if (where['type'] !== 'CONJUNCTION_AND') return [where]
  return (where['children'] as readonly unknown[]).flatMap(conjunctsOf)
}

/** Kinds of expression whose value follows from the columns they name. Subqueries, stars and parameters are not among them. */
const plainClasses: ReadonlySet<unknown> = new Set([
  'COLUMN_REF',
  'CONSTANT',
  'CAST',
  'COMPARISON',
  'CONJUNCTION',
  'OPERATOR',
  'BETWEEN',
  'FUNCTION',
  'CASE',
])

/** The same expression with its columns named plainly, where all of them are surely this table's. */
function conditionOn(condition: Node, table: Node, isAlone: boolean, select: Node): Node | null {
  const alias = String(table['alias'] === '' ? table['table_name'] : table['alias']).toLowerCase()
  const renamed = aliasesOf(select['select_list'])
  let isSure = true
  const plain = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(plain)
    if (!isNode(value)) return value
    if ('class' in value && !plainClasses.has(value['class'])) isSure = false
    if (value['class'] !== 'COLUMN_REF')
      return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, plain(inner)]))
    const names = (value['column_names'] as readonly string[]).map((name) => name.toLowerCase())
    const column = names.at(-1)!
    const isOfTable = names.length === 2 ? names[0] === alias : isAlone || clockNames.has(column)
    // WHERE may also name what SELECT calls so.
    if (!isOfTable || renamed.has(column)) isSure = false
    return { ...value, column_names: [column] }
  }
  const rewritten = plain(condition) as Node
  return isSure ? rewritten : null
}

/** Every name that a list of results gives to something, in lower case. */
function aliasesOf(list: unknown): Set<string> {
  const names = new Set<string>()
  walk(list, (node) => {
    if (typeof node['alias'] === 'string' && node['alias'] !== '') names.add(node['alias'].toLowerCase())
    // `* REPLACE (… AS name)` and `* RENAME (… AS name)`.
    if (typeof node['key'] === 'string') names.add(node['key'].toLowerCase())
    if (typeof node['value'] === 'string') names.add(node['value'].toLowerCase())
  })
  return names
}

function nameOf(table: Node): string {
  return String(table['table_name']).toLowerCase()
}

/** The parser takes these for columns; no table here has one of them. */
const clockNames: ReadonlySet<string> = new Set(['current_date', 'current_timestamp'])

/** Columns an expression names. */
export function columnsIn(expression: Node): Set<string> {
  const names = new Set<string>()
  walk(expression, (node) => {
    if (node['class'] === 'COLUMN_REF') names.add((node['column_names'] as readonly string[]).at(-1)!)
  })
  for (const name of clockNames) names.delete(name)
  return names
}

/** Functions an expression calls; operators such as LIKE are among them. */
export function functionsIn(expression: Node): Set<string> {
  const names = new Set<string>()
  walk(expression, (node) => {
    if (node['class'] === 'FUNCTION') names.add(String(node['function_name']).toLowerCase())
  })
  return names
}

export function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
