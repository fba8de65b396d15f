/** Sorted rows to Parquet files: one for each product and date of a table. */

import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { assert } from '../core/assert.ts'
import type { NumberType, TableName } from '../dataset/names.ts'
import { fileColumnsSql } from '../dataset/file-sql.ts'
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

/** Rows of one product and date, which become one file. */
export interface PartRows {
  /** Null where the table has no products. */
  readonly productId: string | null
  readonly date: string
  readonly rows: number
  readonly minTimeNs: bigint
  readonly maxTimeNs: bigint
}

/** A table of the engine whose rows become files. */
export interface StagedGroups {
  readonly table: TableName
  /** Of the engine. */
  readonly name: string
  readonly groups: readonly PartRows[]
  /** Columns that are the same in all rows, as SQL; the engine's table has the others. */
  readonly constants: Readonly<Record<string, string>>
}

/**
 * Each group to a file, by its column `part`; rows without a group have -1. One COPY for all takes half of what one for each would, and
 * the same bytes come of it. Order is kept as long as one thread writes them, and few rows at a time (see stage-windows.ts, write-rows.ts).
 */
export async function writeGroups(
  engine: Engine,
  staged: StagedGroups,
  settings: PartSettings,
): Promise<ConvertedPart[]> {
  const { table, name, groups, constants } = staged
  const columns = fileColumnsSql(tableColumns(table, settings.numberType), {
    venue: sqlText(settings.venue),
    recorder: sqlText(settings.recorder),
    ...constants,
  })
  const isOne = groups.length === 1
  const path = join(settings.dir, isOne ? `${name}.parquet` : name)
  const options = parquetOptionsSql(settings.compression, settings.metadata)
  const [copied] = await engine.rows(
    isOne
      ? `COPY (SELECT ${columns} FROM ${name}) TO ${sqlText(path)} (${options})`
      : `COPY (SELECT ${columns}, part FROM ${name} WHERE part >= 0) TO ${sqlText(path)} (PARTITION_BY (part), ${options})`,
  )
  const rows = groups.reduce((sum, group) => sum + group.rows, 0)
  assert(Number(copied![0]) === rows, `all ${rows} rows of ${table} in ${name} are written`)
  const parts: ConvertedPart[] = []
  for (const [i, group] of groups.entries())
    parts.push(await partOf(table, group, isOne ? path : join(path, `part=${i}`, 'data_0.parquet'), settings))
  return parts
}

async function partOf(
  table: TableName,
  { productId, date, rows, minTimeNs, maxTimeNs }: PartRows,
  path: string,
  { slice }: PartSettings,
): Promise<ConvertedPart> {
  const { size } = await stat(path)
  const sha256 = await fileSha256(path)
  return { table, productId, date, path, rows, sizeBytes: size, sha256, minTimeNs, maxTimeNs, slice }
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
  await engine.inParallel([...partitions.values()], async (members, i) => {
    signal.throwIfAborted()
    const [first] = members
    if (members.length === 1) {
      merged[i] = first!
      return
    }
    const path = join(settings.dir, `${table}.${i + 1}.parquet`)
    const files = members.map((member) => sqlText(member.path)).join(', ')
    await engine.run(
      `COPY (SELECT * FROM read_parquet([${files}], hive_partitioning = false) ORDER BY ${order}) TO ${sqlText(path)} (${format})`,
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
  return `FORMAT parquet, COMPRESSION ${compression}, WRITE_BLOOM_FILTER false, ROW_GROUP_SIZE ${rowsPerGroup}, DICTIONARY_SIZE_LIMIT ${dictionaryValuesMax}, KV_METADATA {${pairs.join(', ')}}`
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
