/** Conditions on the time of rows as conditions on the least and greatest time of a part. Pure. */

import { columnsIn, isNode, type Node } from './sql-tree.ts'

/** Columns by which receipts know the span of a part: its least and its greatest value. */
const spans: ReadonlyMap<string, { readonly min: string; readonly max: string }> = new Map([
  ['exchange_ns', { min: 'min_ns', max: 'max_ns' }],
  ['exchange_time', { min: 'min_time', max: 'max_time' }],
])

/** `1 < x` is `x > 1`. */
const turned: ReadonlyMap<unknown, string> = new Map([
  ['COMPARE_EQUAL', 'COMPARE_EQUAL'],
  ['COMPARE_LESSTHAN', 'COMPARE_GREATERTHAN'],
  ['COMPARE_LESSTHANOREQUALTO', 'COMPARE_GREATERTHANOREQUALTO'],
  ['COMPARE_GREATERTHAN', 'COMPARE_LESSTHAN'],
  ['COMPARE_GREATERTHANOREQUALTO', 'COMPARE_LESSTHANOREQUALTO'],
])

/** @returns what holds of every part with a row for which the comparison holds; null: it is none of a time with what is the same for all rows */
export function timeBound(condition: Node): Node | null {
  if (condition['class'] === 'BETWEEN') return between(condition)
  if (condition['class'] !== 'COMPARISON' || !turned.has(condition['type'])) return null
  const { left, right } = condition
  if (spanOf(left) !== null && isSteady(right)) return bound(condition, condition['type'], left, right)
  if (spanOf(right) !== null && isSteady(left))
    return bound(condition, turned.get(condition['type']), right, left)
  return null
}

function between(condition: Node): Node | null {
  const { input, lower, upper } = condition
  if (spanOf(input) === null || !isSteady(lower) || !isSteady(upper)) return null
  return both(
    bound(condition, 'COMPARE_GREATERTHANOREQUALTO', input, lower),
    bound(condition, 'COMPARE_LESSTHANOREQUALTO', input, upper),
  )
}

function bound(at: Node, type: unknown, column: unknown, value: unknown): Node {
  const { min, max } = spanOf(column)!
  const compare = (how: unknown, name: string): Node => ({
    class: 'COMPARISON',
    type: how,
    alias: '',
    query_location: at['query_location'],
    left: { ...(column as Node), column_names: [name] },
    right: value,
  })
  if (type === 'COMPARE_EQUAL')
    return both(compare('COMPARE_LESSTHANOREQUALTO', min), compare('COMPARE_GREATERTHANOREQUALTO', max))
  const isFromBelow = type === 'COMPARE_GREATERTHAN' || type === 'COMPARE_GREATERTHANOREQUALTO'
  return compare(type, isFromBelow ? max : min)
}

function both(one: Node, other: Node): Node {
  return {
    class: 'CONJUNCTION',
    type: 'CONJUNCTION_AND',
    alias: '',
    query_location: one['query_location'],
    children: [one, other],
  }
}

function spanOf(expression: unknown): { readonly min: string; readonly max: string } | null {
  if (!isNode(expression) || expression['class'] !== 'COLUMN_REF') return null
  return spans.get((expression['column_names'] as readonly string[])[0]!) ?? null
}

/** The same value for every row, and of a kind next to which times keep their order: not a text made by a function. */
function isSteady(value: unknown): boolean {
  if (!isNode(value) || columnsIn(value).size > 0) return false
  // A constant, or the name of a clock.
  if (value['class'] === 'CONSTANT' || value['class'] === 'COLUMN_REF') return true
  if (value['class'] === 'CAST') return orderedTypes.has((value['cast_type'] as Node)['id'])
  return value['class'] === 'FUNCTION' && isArithmetic(value)
}

const orderedTypes: ReadonlySet<unknown> = new Set([
  'BIGINT',
  'INTEGER',
  'HUGEINT',
  'DATE',
  'TIMESTAMP',
  'TIMESTAMP WITH TIME ZONE',
])

/** Clocks, and what `INTERVAL 1 HOUR` is to the parser. */
const singleFunctions: ReadonlySet<string> = new Set([
  'now',
  'today',
  'get_current_timestamp',
  'to_days',
  'to_hours',
  'to_minutes',
  'to_seconds',
])

/** `now() - INTERVAL 1 HOUR`, `TIMESTAMP '…' + INTERVAL …`, `1764770400 * 1000000000`. */
function isArithmetic(call: Node): boolean {
  const name = String(call['function_name']).toLowerCase()
  if (singleFunctions.has(name)) return true
  const operands = call['children'] as readonly unknown[]
  return (
    ['+', '-', '*'].includes(name) &&
    operands.every((each) => isNode(each) && (isSteady(each) || isInterval(each)))
  )
}

function isInterval(value: Node): boolean {
  return value['class'] === 'CAST' && (value['cast_type'] as Node)['id'] === 'INTERVAL'
}
