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

export const sortedOtherSql = `CREATE OR REPLACE TABLE other_sorted AS
  SELECT NULL::VARCHAR AS product_id, CAST(make_timestamp_ns(coalesce(exchange_ns, recv_ns, 0)) AS DATE) AS "date", *
  FROM other_rows ORDER BY "date", exchange_ns, n`
