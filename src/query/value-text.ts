/**
 * DuckDB values as text, exactly: no decimal, integer or instant goes through a JavaScript float on its way out.
 * Two forms: plain text (table, csv, markdown) and JSON.
 */

import type { DuckDBDecimalValue, DuckDBTimestampTZValue, DuckDBValue } from '@duckdb/node-api'
import { duckdb } from '../storage/duckdb.ts'

/**
 * A value as one piece of text. Instants with a zone are RFC 3339 in UTC; decimals as wide as the vault's own lose their
 * trailing zeros (the value is the same); a null is the empty string.
 */
export function plainText(value: DuckDBValue): string {
  if (value === null) return ''
  if (value instanceof duckdb.DuckDBTimestampTZValue) return instant(value)
  if (value instanceof duckdb.DuckDBDecimalValue) return decimalText(value)
  if (isNested(value)) return jsonText(value)
  return String(value)
}

/**
 * A value as JSON. Integers that a double holds exactly and finite doubles are numbers; larger integers, decimals,
 * instants and everything else are strings with all their digits.
 */
export function jsonText(value: DuckDBValue): string {
  if (value === null) return 'null'
  if (typeof value === 'boolean') return String(value)
  if (typeof value === 'number') return Number.isFinite(value) ? String(value) : JSON.stringify(String(value))
  if (typeof value === 'bigint') return isSafe(value) ? String(value) : `"${value}"`
  if (typeof value === 'string') return JSON.stringify(value)
  if (value instanceof duckdb.DuckDBListValue || value instanceof duckdb.DuckDBArrayValue)
    return `[${value.items.map(jsonText).join(',')}]`
  if (value instanceof duckdb.DuckDBStructValue) return objectText(Object.entries(value.entries))
  if (value instanceof duckdb.DuckDBMapValue)
    return objectText(value.entries.map((entry) => [plainText(entry.key), entry.value] as const))
  return JSON.stringify(plainText(value))
}

/** True for values a table shows flush right. */
export function isNumeric(value: DuckDBValue): boolean {
  return typeof value === 'number' || typeof value === 'bigint' || value instanceof duckdb.DuckDBDecimalValue
}

function objectText(entries: readonly (readonly [string, DuckDBValue])[]): string {
  return `{${entries.map(([name, value]) => `${JSON.stringify(name)}:${jsonText(value)}`).join(',')}}`
}

function isNested(value: DuckDBValue): boolean {
  return (
    value instanceof duckdb.DuckDBListValue ||
    value instanceof duckdb.DuckDBArrayValue ||
    value instanceof duckdb.DuckDBStructValue ||
    value instanceof duckdb.DuckDBMapValue
  )
}

function isSafe(value: bigint): boolean {
  return value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER)
}

/** The driver prints zoned instants in the process's own zone; here they are always UTC. */
function instant(value: DuckDBTimestampTZValue): string {
  const text = new duckdb.DuckDBTimestampValue(value.micros).toString()
  return value.isFinite ? text.replace(' ', 'T') + 'Z' : text
}

/** `64250.120000000000000000` → `64250.12`; a type the query chose itself (`DECIMAL(10,2)`) is left as it is. */
function decimalText(value: DuckDBDecimalValue): string {
  const text = value.toString()
  return value.width < 38 || value.scale === 0 ? text : text.replace(/\.?0+$/, '')
}
