/**
 * SQL from scratch lines to rows. One read of the JSON per table, every known field as text, cast on the way in, and two sums per
 * frame that say whether anything of the frame is not in its rows. Pure.
 *
 * Why two sums: `size_diff` is the frame's true size less that of the same frame printed from its rows; `quote_diff` the same for
 * quotation marks. Unknown or doubled fields, nulls, spaces and escapes add bytes, and never more quotation marks than bytes; only a
 * number in place of a text takes away, two of each. So both are zero only when nothing is hidden. `sequence_num` is the one
 * number, and is read as JSON to tell it from a text. Frames where either differs, or a value would print otherwise, take the
 * exact way (decode.ts). A line's own fields stand before `msg`, and of doubled keys the first is read: a frame cannot forge them.
 */

import type { NumberType } from './names.ts'
import type { Field, RowTable, TableShape } from './shape.ts'
import { shapeOf } from './shape.ts'
import { tableColumns } from './tables.ts'

const decimalText = String.raw`[1-9][0-9]{0,19}(\.[0-9]{0,17}[1-9])?|0(\.[0-9]{0,17}[1-9])?|-[1-9][0-9]{0,19}(\.[0-9]{0,17}[1-9])?|-0\.[0-9]{0,17}[1-9]`
const seconds = String.raw`[12][0-9]{3}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]`
const microsecondText = String.raw`${seconds}(\.[0-9]{0,5}[1-9])?Z`
const nanosecondText = String.raw`${seconds}(\.[0-9]{0,8}[1-9])?Z`
const countText = '0|[1-9][0-9]{0,18}'
/** Ids that are their own folder's name; others are looked at one by one. */
const productText = String.raw`[A-Z0-9]([A-Z0-9._-]{0,98}[A-Z0-9_-])?`

const matches = (x: string, pattern: string): string => `regexp_full_match(${x}, '${pattern}')`

/** The cast that is cheap: what has more than 18 digits costs some 5 µs a value, this 0.06. It rounds, so ask `isPrinted`. */
const quickDecimal = (x: string, type = 'DECIMAL(18,8)'): string => `TRY_CAST(${x} AS ${type})`

/**
 * Whether a decimal's text is its value's own shortest one, so that the cast lost nothing. A decimal prints all digits of its scale:
 * a text that these begin with has no more, no other sign and no exponent, and beside that only zeros could be left away.
 */
function isPrinted(x: string, quick: string): string {
  return `(starts_with(${quick}::VARCHAR, ${x}) AND NOT (contains(${x}, '.') AND (ends_with(${x}, '0') OR ends_with(${x}, '.'))))`
}

/** Text to an exact decimal by the cheapest cast that holds it; percentages have 14 decimals. */
function exactDecimal(x: string, quick = quickDecimal(x), isExact = isPrinted(x, quick)): string {
  const percent = quickDecimal(x, 'DECIMAL(18,14)')
  return `CASE WHEN ${isExact} THEN ${quick}::DECIMAL(38,18) WHEN ${isPrinted(x, percent)} THEN ${percent}::DECIMAL(38,18)
    ELSE TRY_CAST(${x} AS DECIMAL(38,18)) END`
}

/** Columns of the table of loaded rows. `size_diff` is null where a value would print otherwise. */
export function createRowsSql(table: RowTable, numberType: NumberType): string {
  const shape = shapeOf(table)
  const values = valueFields(shape).flatMap((field) => valueColumns(field, numberType))
  return `CREATE OR REPLACE TABLE ${table}_rows (n BIGINT, recv_ns BIGINT, conn VARCHAR, exchange_ns BIGINT, sequence_num BIGINT,
    client_id VARCHAR, channel VARCHAR, product_id VARCHAR, is_snapshot BOOLEAN, event_index INTEGER, row_index INTEGER,
    ${values.map((one) => `"${one.name}" ${one.type}`).join(', ')}, extra VARCHAR, size_diff BIGINT, quote_diff BIGINT)`
}

/** Loads scratch lines: `{"quotes":…,"n":…,"recv_ns":…,"conn":…,"len":…,"msg":<frame>}`. */
export function loadLinesSql(
  table: RowTable,
  numberType: NumberType,
  path: string,
  lineBytesMax: number,
): string {
  const shape = shapeOf(table)
  const row = shape.fields.map((field) => `"${field.name}" VARCHAR`).join(', ')
  const product = shape.productIn === 'event' ? 'product_id VARCHAR, ' : ''
  const casts = shape.fields.filter((field) => field.kind === 'decimal')
  const frame = `STRUCT(channel VARCHAR, client_id VARCHAR, "timestamp" VARCHAR, sequence_num JSON, events STRUCT("type" VARCHAR, ${product}${shape.list} STRUCT(${row})[])[])`
  return `INSERT INTO ${table}_rows
  SELECT n, recv_ns, conn, exchange_ns, sequence_num, client_id, channel, ${shape.productIn === 'event' ? 'event_product' : '"text_product_id"'},
    is_snapshot, event_index, row_index, ${valueFields(shape)
      .flatMap((field) => valueColumns(field, numberType).map((one) => one.sql(...castOf(field))))
      .join(', ')}, NULL,
    ${rowBytes(shape)} + CASE WHEN row_index = 0 THEN event_bytes + CASE WHEN event_index = 0 THEN frame_bytes ELSE 0 END ELSE 1 END,
    ${rowQuotes(shape)} + CASE WHEN row_index = 0 THEN ${shape.productIn === 'event' ? 10 : 6} + CASE WHEN event_index = 0 THEN frame_quotes ELSE 0 END ELSE 0 END
  FROM (SELECT *, ${casts.map((field) => `${isPrinted(...textAndCast(field))} AS "is_${field.name}"`).join(', ')}
  FROM (SELECT * EXCLUDE (r), ${shape.fields.map((field) => `r."${field.name}" AS ${textOf(field)}`).join(', ')},
    ${casts.map((field) => `${quickDecimal(`r."${field.name}"`)} AS "quick_${field.name}"`).join(', ')}
  FROM (
    SELECT * EXCLUDE (e), unnest(e.${shape.list}) AS r, generate_subscripts(e.${shape.list}, 1) - 1 AS row_index,
      e."type" = 'snapshot' AS is_snapshot, ${shape.productIn === 'event' ? 'e.product_id' : 'NULL'} AS event_product, ${eventBytes(shape)} AS event_bytes
    FROM (
      SELECT n, recv_ns, conn, msg.channel AS channel, msg.client_id AS client_id,
        epoch_ns(TRY_CAST(msg."timestamp" AS TIMESTAMP_NS)) AS exchange_ns, TRY_CAST(msg.sequence_num AS BIGINT) AS sequence_num,
        ${frameBytes(shape)} - len AS frame_bytes, CASE WHEN msg.client_id IS NULL THEN 12 ELSE 16 END - quotes AS frame_quotes,
        unnest(msg.events) AS e, generate_subscripts(msg.events, 1) - 1 AS event_index
      FROM read_json('${path.replaceAll("'", "''")}', format = 'newline_delimited', ignore_errors = true, maximum_object_size = ${lineBytesMax},
        columns = {quotes: 'BIGINT', n: 'BIGINT', recv_ns: 'BIGINT', conn: 'VARCHAR', len: 'BIGINT', msg: '${frame}'})))))`
}

/** A field's text, its quick cast and whether that is exact, as the layers of the query around it name them. */
function castOf(field: Field): [string, string, string] {
  return [...textAndCast(field), `"is_${field.name}"`]
}

function textAndCast(field: Field): [string, string] {
  return [textOf(field), `"quick_${field.name}"`]
}

const textOf = (field: Field): string => `"text_${field.name}"`

/** Size of `{"channel":"…","client_id":"","timestamp":"…","sequence_num":…,"events":[]}` with the commas between events. */
function frameBytes(shape: TableShape): string {
  const channels = shape.channels.map((one) => `'${one}'`).join(', ')
  return `CASE WHEN msg.channel IN (${channels}) AND coalesce(msg.client_id, '') = '' AND ${matches('msg."timestamp"', nanosecondText)}
      AND TRY_CAST(msg."timestamp" AS TIMESTAMP_NS) IS NOT NULL AND ${matches('msg.sequence_num::VARCHAR', countText)}
      AND TRY_CAST(msg.sequence_num AS BIGINT) IS NOT NULL
    THEN 56 + strlen(msg.channel) + strlen(msg."timestamp") + strlen(msg.sequence_num::VARCHAR)
      + CASE WHEN msg.client_id IS NULL THEN 0 ELSE 15 END + len(msg.events) END`
}

/** Size of `{"type":"…","product_id":"…","updates":[]}`. */
function eventBytes(shape: TableShape): string {
  const product = shape.productIn === 'event' ? ` AND ${matches('e.product_id', productText)}` : ''
  const productBytes = shape.productIn === 'event' ? ' + 16 + strlen(e.product_id)' : ''
  return `CASE WHEN e."type" IN ('snapshot', 'update')${product} THEN ${2 + 9 + 1 + shape.list.length + 5} + strlen(e."type")${productBytes} END`
}

/** Size of a row's object without the comma before it; null when one of its values would print otherwise. */
function rowBytes(shape: TableShape): string {
  const conditions = shape.fields.map((field) => {
    const holds = isPlain(field, textOf(field))
    return field.isOptional ? `coalesce(${holds}, ${textOf(field)} IS NULL)` : holds
  })
  const sizes = shape.fields.map((field) => {
    const size = `strlen(${textOf(field)}) + ${field.name.length + 6}`
    return field.isOptional ? `coalesce(${size}, 0)` : size
  })
  return `CASE WHEN ${conditions.join(' AND ')} THEN 1 + ${sizes.join(' + ')} END`
}

function rowQuotes(shape: TableShape): string {
  const optional = shape.fields.filter((field) => field.isOptional)
  const always = 4 * (shape.fields.length - optional.length)
  return [always, ...optional.map((field) => `CASE WHEN ${textOf(field)} IS NULL THEN 0 ELSE 4 END`)].join(
    ' + ',
  )
}

/** True when the column prints exactly the text, null or false otherwise. */
function isPlain(field: Field, x: string): string {
  switch (field.kind) {
    case 'decimal':
      return `("is_${field.name}" OR ${matches(x, decimalText)})`
    case 'time':
      return `${matches(x, microsecondText)} AND TRY_CAST(${x} AS TIMESTAMPTZ) IS NOT NULL`
    case 'id':
      return `${matches(x, countText)} AND TRY_CAST(${x} AS BIGINT) IS NOT NULL`
    case 'product':
      return matches(x, productText)
    case 'word':
    case 'fixed':
      return `${x} IN (${field.values.map((one) => `'${one}'`).join(', ')})`
  }
}

const valueFields = (shape: TableShape): readonly Field[] =>
  shape.fields.filter((field) => field.kind !== 'fixed' && field.kind !== 'product')

interface ValueColumn {
  readonly name: string
  readonly type: string
  sql(x: string, quick?: string, isExact?: string): string
}

function valueColumns(field: Field, numberType: NumberType): ValueColumn[] {
  const name = field.column
  if (field.kind === 'time')
    return [{ name, type: 'TIMESTAMPTZ', sql: (x) => `TRY_CAST(${x} AS TIMESTAMPTZ)` }]
  if (field.kind === 'id') return [{ name, type: 'BIGINT', sql: (x) => `TRY_CAST(${x} AS BIGINT)` }]
  if (field.kind === 'word') return [{ name, type: 'VARCHAR', sql: (x) => x }]
  if (numberType === 'decimal') return [{ name, type: 'DECIMAL(38,18)', sql: exactDecimal }]
  return [
    { name, type: 'DOUBLE', sql: (x) => `TRY_CAST(${x} AS DOUBLE)` },
    { name: `${name}_text`, type: 'VARCHAR', sql: (x) => x },
  ]
}

/** Counters of the frames whose rows say all of them. */
export function wholeFramesSql(table: RowTable): string {
  return `CREATE OR REPLACE TABLE ${table}_whole AS SELECT n FROM ${table}_rows GROUP BY n
    HAVING sum(size_diff) = 0 AND sum(quote_diff) = 0 AND count(size_diff) = count(*)`
}

/** The columns of rows that decode.ts made, as JSON objects one a line. */
export function loadDecodedSql(
  table: RowTable,
  numberType: NumberType,
  path: string,
  lineBytesMax: number,
): string {
  const shape = shapeOf(table)
  const values = valueFields(shape).flatMap((field) =>
    valueColumns(field, numberType).map((one) => ({
      ...one,
      from: one.name.endsWith('_text') && one.name !== field.column ? one.name : field.column,
    })),
  )
  const names = [...new Set(values.map((one) => one.from))]
  return `INSERT INTO ${table}_rows
  SELECT n, recv_ns, conn, exchange_ns, sequence_num, client_id, channel, product_id, is_snapshot, event_index, row_index,
    ${values.map((one) => one.sql(`"${one.from}"`)).join(', ')}, extra, NULL, NULL
  FROM read_json('${path.replaceAll("'", "''")}', format = 'newline_delimited', maximum_object_size = ${lineBytesMax}, columns = {
    n: 'BIGINT', recv_ns: 'BIGINT', conn: 'VARCHAR', exchange_ns: 'BIGINT', sequence_num: 'BIGINT', client_id: 'VARCHAR', channel: 'VARCHAR',
    product_id: 'VARCHAR', is_snapshot: 'BOOLEAN', event_index: 'INTEGER', row_index: 'INTEGER',
    ${names.map((name) => `"${name}": 'VARCHAR'`).join(', ')}, extra: 'VARCHAR'})`
}

/** Cut downwards, also before 1970, where DuckDB's own division cuts towards it; without leaving 64 bits on the way. */
const microsOf = (ns: string): string => `${ns} // 1000 - (${ns} % 1000 < 0)::BIGINT`
/** UTC day of an instant. A cast of nanoseconds would put the last ones of a day before 1970 into the next. */
const dayOf = (ns: string): string => `make_timestamp(${microsOf(ns)})::DATE`
const timeOf = (ns: string): string => `make_timestamptz(${microsOf(ns)})`

/**
 * All rows of a table in the order of its files: by product, date, and then as rows are sorted in each. Narrow keys take
 * a third less: a number for product and date, and one for the frame and the place in it, in which a frame's rows were loaded.
 */
export function sortedRowsSql(table: RowTable, numberType: NumberType, isPartial: boolean): string {
  const shape = shapeOf(table)
  const columns = tableColumns(table, numberType)
    // What is the same in all rows, or follows from another column, is written with the file and not carried through the sort.
    .filter((one) => !lateColumns.has(one.name))
    .map((one) => (one.name === shape.snapshotColumn ? `is_snapshot AS "${one.name}"` : `"${one.name}"`))
  const where = isPartial
    ? `WHERE size_diff IS NULL AND quote_diff IS NULL OR n IN (SELECT n FROM ${table}_whole)`
    : ''
  const day = dayOf('coalesce(exchange_ns, recv_ns)')
  return `CREATE OR REPLACE TABLE ${table}_sorted AS
  SELECT product_id, day AS "date", ${columns.join(', ')}
  FROM ${table}_rows JOIN (
    SELECT product_id AS product, day, (row_number() OVER (ORDER BY product_id, day))::INTEGER AS place
    FROM (SELECT DISTINCT product_id, ${day} AS day FROM ${table}_rows))
    ON product = product_id AND day = ${day} ${where}
  ORDER BY place, exchange_ns, ((n - (SELECT min(n) FROM ${table}_rows)) << 32) + ${table}_rows.rowid`
}

const lateColumns: ReadonlySet<string> = new Set(['venue', 'recorder', 'exchange_time', 'aggressor_side'])

/** The list of columns of a file, from the sorted rows. */
export function fileColumnsSql(
  columns: readonly { readonly name: string }[],
  constants: { readonly venue: string; readonly recorder: string },
): string {
  const late: Readonly<Record<string, string>> = {
    venue: `'${constants.venue}'`,
    recorder: `'${constants.recorder}'`,
    exchange_time: timeOf('exchange_ns'),
    aggressor_side: `CASE maker_side WHEN 'BUY' THEN 'SELL' WHEN 'SELL' THEN 'BUY' END`,
  }
  return columns
    .map((one) => (late[one.name] === undefined ? `"${one.name}"` : `${late[one.name]} AS "${one.name}"`))
    .join(', ')
}
