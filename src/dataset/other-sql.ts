/** SQL for the table `other`, whose rows come ready as JSON objects, one a line. Pure. */

import { otherColumns } from './other.ts'

/** Columns that the scratch lines bring; the rest is written with the file. */
const loaded = otherColumns.filter((one) => !['venue', 'recorder', 'exchange_time'].includes(one.name))

export const createOtherSql = `CREATE OR REPLACE TABLE other_rows (${loaded.map((one) => `"${one.name}" ${one.type}`).join(', ')})`

export function loadOtherSql(path: string, lineBytesMax: number): string {
  return `INSERT INTO other_rows SELECT ${loaded.map((one) => `"${one.name}"`).join(', ')}
  FROM read_json('${path.replaceAll("'", "''")}', format = 'newline_delimited', maximum_object_size = ${lineBytesMax},
    columns = {${loaded.map((one) => `"${one.name}": '${one.type}'`).join(', ')}})`
}

/** Cut downwards, also before 1970, where DuckDB's own division cuts towards it; without leaving 64 bits on the way. */
const microsOf = (ns: string): string => `${ns} // 1000 - (${ns} % 1000 < 0)::BIGINT`
const exchangeTime = `make_timestamptz(${microsOf('exchange_ns')})`
const time = 'coalesce(exchange_ns, recv_ns, 0)'
const date = `make_timestamp(${microsOf(time)})::DATE`

/** The dates of the rows, in order: as text, with the number of rows and their first and last time. */
export const otherDatesSql = `SELECT ${date}::VARCHAR, count(*), min(${time}), max(${time})
  FROM other_rows GROUP BY ${date} ORDER BY ${date}`

export function sortedOtherSql(day: string): string {
  return `SELECT *, ${exchangeTime} AS exchange_time FROM other_rows WHERE ${date} = '${day}'::DATE ORDER BY exchange_ns, n`
}
