/** Sorted rows to Parquet files: one for each product and date of a table, several written at once. */

import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { assert } from '../core/assert.ts'
import type { NumberType, TableName } from '../dataset/names.ts'
import { fileColumnsSql } from '../dataset/rows-sql.ts'
import { tableColumns } from '../dataset/tables.ts'
import type { ConvertedPart } from './conversion.ts'
import type { Engine } from './engine.ts'

export interface PartSettings {
  readonly dir: string
  readonly venue: string
  readonly recorder: string
  readonly numberType: NumberType
  readonly compression: string
  /** Stands in each file's own metadata. */
  readonly metadata: Readonly<Record<string, string>>
  readonly slice: number | null
}

/**
 * Readers skip by groups; smaller ones compress no better. Bloom filters of columns that are nearly unique find little: without
 * them parts are 7 % smaller.
 */
const rowsPerGroup = 122_880
/**
 * Values of a column in a group that still get a dictionary. Counters and times come sorted: plain they compress better than a dictionary of
 * most of them with an index for each row (level2 a fifth smaller, and written in two thirds of the time), words are few.
 */
const dictionaryValuesMax = 100

/** @param sorted a table of the engine whose rows stand in the order of the files */
export async function writeParts(
  engine: Engine,
  table: TableName,
  sorted: string,
  settings: PartSettings,
  signal: AbortSignal,
): Promise<ConvertedPart[]> {
  const groups = await engine.rows(
    `SELECT product_id, "date"::VARCHAR, count(*), min(t), max(t), min(row), max(row)
     FROM (SELECT product_id, "date", coalesce(exchange_ns, recv_ns, 0) AS t, rowid AS row FROM ${sorted})
     GROUP BY product_id, "date" ORDER BY min(row)`,
  )
  const columns = fileColumnsSql(tableColumns(table, settings.numberType), settings)
  const format = parquetOptionsSql(settings.compression, settings.metadata)
  const parts: ConvertedPart[] = []
  await engine.inParallel([...groups.entries()], async (run, [i, group]) => {
    signal.throwIfAborted()
    const [productId, date, rows, minTimeNs, maxTimeNs, firstRow, lastRow] = group as [
      string | null,
      string,
      ...bigint[],
    ]
    assert(lastRow! - firstRow! + 1n === rows, `rows of ${table} ${productId} ${date} stand together`)
    const path = join(settings.dir, `${table}.${i + 1}.parquet`)
    await run(
      `COPY (SELECT ${columns} FROM ${sorted} WHERE rowid BETWEEN ${firstRow} AND ${lastRow}) TO ${sqlText(path)} ${format}`,
    )
    const { size } = await stat(path)
    parts[i] = {
      table,
      productId,
      date,
      path,
      rows: Number(rows),
      sizeBytes: size,
      sha256: await fileSha256(path),
      minTimeNs: minTimeNs!,
      maxTimeNs: maxTimeNs!,
      slice: settings.slice,
    }
  })
  return parts
}

/** Parts of one table, several of a partition, to one of each; files that stay alone stay as they are. The others are removed. */
export async function mergeSlices(
  engine: Engine,
  table: TableName,
  slices: readonly ConvertedPart[],
  settings: PartSettings,
  signal: AbortSignal,
): Promise<ConvertedPart[]> {
  const partitions = new Map<string, ConvertedPart[]>()
  for (const part of slices) {
    const name = `${part.productId}/${part.date}`
    partitions.set(name, [...(partitions.get(name) ?? []), part])
  }
  const order = table === 'other' ? 'exchange_ns, n' : 'exchange_ns, n, event_index, row_index'
  const format = parquetOptionsSql(settings.compression, settings.metadata)
  const merged: ConvertedPart[] = []
  await engine.inParallel([...[...partitions.values()].entries()], async (run, [i, members]) => {
    signal.throwIfAborted()
    const [first] = members
    if (members.length === 1) {
      merged[i] = first!
      return
    }
    const path = join(settings.dir, `${table}.${i + 1}.parquet`)
    const files = members.map((member) => sqlText(member.path)).join(', ')
    await run(
      `COPY (SELECT * FROM read_parquet([${files}], hive_partitioning = false) ORDER BY ${order}) TO ${sqlText(path)} ${format}`,
    )
    for (const member of members) await rm(member.path)
    merged[i] = {
      ...first!,
      path,
      rows: members.reduce((sum, { rows }) => sum + rows, 0),
      sizeBytes: (await stat(path)).size,
      sha256: await fileSha256(path),
      minTimeNs: members.map(({ minTimeNs }) => minTimeNs).reduce((a, b) => (b < a ? b : a)),
      maxTimeNs: members.map(({ maxTimeNs }) => maxTimeNs).reduce((a, b) => (b > a ? b : a)),
    }
  })
  return merged
}

/** How every part is written. @param compression as DuckDB calls it */
export function parquetOptionsSql(compression: string, metadata: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(metadata).map(([key, value]) => `${key}: ${sqlText(value)}`)
  return `(FORMAT parquet, COMPRESSION ${compression}, WRITE_BLOOM_FILTER false, ROW_GROUP_SIZE ${rowsPerGroup}, DICTIONARY_SIZE_LIMIT ${dictionaryValuesMax}, KV_METADATA {${pairs.join(', ')}})`
}

export async function fileSha256(path: string): Promise<string> {
  const hash = createHash('sha256')
  // Larger pieces are memory that the collector hears of, many times a conversion.
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer)
  return hash.digest('hex')
}

export function sqlText(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}
