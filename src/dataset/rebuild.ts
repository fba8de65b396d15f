/** Rows back to the frame they came from: the proof that nothing was lost. Pure. */

import { formatRfc3339Ns } from '../core/time.ts'
import { canonicalDecimal } from './decimal.ts'
import { objectMembers } from './json-text.ts'
import { shapeOf, type Field, type RowTable, type TableShape } from './shape.ts'

/** One row as texts; absent and null are the same. Times of columns as epoch microseconds, booleans as `true` and `false`. */
export type RowText = Readonly<Record<string, string | null | undefined>>

/**
 * The JSON text of a frame from all of its rows, wherever they lay. Equal to the original as JSON: key order may differ.
 *
 * @param rows with `product_id`, and all of one n
 */
export function rebuildFrame(table: RowTable, rows: readonly RowText[]): string {
  const shape = shapeOf(table)
  const sorted = [...rows].sort(
    (a, b) =>
      index(a, 'event_index') - index(b, 'event_index') || index(a, 'row_index') - index(b, 'row_index'),
  )
  const first = sorted[0]!
  const events: RowText[][] = []
  for (const row of sorted) (events[index(row, 'event_index')] ??= []).push(row)
  const known: [string, string | null][] = [
    ['channel', string(table === 'ticker' ? first['channel'] : shape.channels[0])],
    ['client_id', string(first['client_id'])],
    [
      'timestamp',
      first['exchange_ns'] == null ? null : string(formatRfc3339Ns(BigInt(first['exchange_ns']))),
    ],
    ['sequence_num', first['sequence_num'] ?? null],
    ['events', `[${events.map((one) => rebuildEvent(shape, one)).join()}]`],
  ]
  return object(known, extraOf(first, 'frame'))
}

function rebuildEvent(shape: TableShape, rows: readonly RowText[]): string {
  const first = rows[0]!
  const known: [string, string | null][] = [
    ['type', string(first[shape.snapshotColumn] === 'true' ? 'snapshot' : 'update')],
    ['product_id', shape.productIn === 'event' ? string(first['product_id']) : null],
    [shape.list, `[${rows.map((row) => rebuildRow(shape, row)).join()}]`],
  ]
  return object(known, extraOf(first, 'event'))
}

function rebuildRow(shape: TableShape, row: RowText): string {
  const known = shape.fields.map((one): [string, string | null] => [one.name, string(valueOf(one, row))])
  return object(known, extraOf(row, 'row'))
}

function valueOf(field: Field, row: RowText): string | null {
  if (field.kind === 'fixed') return field.values[0]!
  const value = row[field.column]
  if (value == null) return null
  if (field.kind === 'decimal') return row[`${field.column}_text`] ?? canonicalDecimal(value) ?? null
  return field.kind === 'time' ? formatRfc3339Ns(BigInt(value) * 1000n) : value
}

/** The known members that `extra` does not have, then those of `extra`. */
function object(known: readonly (readonly [string, string | null])[], extra: string): string {
  const members = objectMembers(extra)!
  const replaced = new Set(members.map((one) => one.key))
  const parts = known
    .filter(([key, text]) => text !== null && !replaced.has(key))
    .map(([key, text]) => `"${key}":${text}`)
  return `{${[...parts, ...members.map((one) => `"${one.key}":${one.text}`)].join()}}`
}

function extraOf(row: RowText, level: 'frame' | 'event' | 'row'): string {
  const extra = row['extra']
  if (extra == null) return '{}'
  return objectMembers(extra)!.find((one) => one.key === level)?.text ?? '{}'
}

function string(value: string | null | undefined): string | null {
  return value == null ? null : JSON.stringify(value)
}

function index(row: RowText, name: string): number {
  return Number(row[name])
}
