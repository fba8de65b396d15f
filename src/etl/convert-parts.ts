/** Sorted rows to Parquet files: one for each product and date of a table. */

import { createHash } from 'node:crypto'
import { closeSync, openSync, readSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
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
  const options = `RETURN_STATS, ${parquetOptionsSql(settings.compression, settings.metadata)}`
  const files = await engine.copy(
    isOne
      ? `COPY (SELECT ${columns} FROM ${name}) TO ${sqlText(path)} (${options})`
      : // All in one folder: one for each file is what a file system takes longest to make.
        `COPY (SELECT ${columns}, part FROM ${name} WHERE part >= 0) TO ${sqlText(path)} (PARTITION_BY (part), HIVE_FILE_PATTERN false, ${options})`,
  )
  assert(files.length === groups.length, `${name}: ${files.length} files of ${groups.length} groups`)
  const byPart = new Map(files.map((file) => [Number(file.partition ?? 0), file]))
  const parts: ConvertedPart[] = []
  for (const [i, group] of groups.entries()) {
    const file = byPart.get(i)
    assert(
      file?.rows === group.rows,
      `${name}, file ${i}: ${file?.rows ?? 'none'} of ${group.rows} rows are written`,
    )
    parts.push(await partOf(table, group, file.path, settings))
  }
  return parts
}

async function partOf(
  table: TableName,
  { productId, date, rows, minTimeNs, maxTimeNs }: PartRows,
  path: string,
  { slice }: PartSettings,
): Promise<ConvertedPart> {
  return { table, productId, date, path, rows, ...(await digestOfWritten(path)), minTimeNs, maxTimeNs, slice }
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
      ...(await digestOfWritten(path)),
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

/** Read at once: after some of it, others have a turn. */
const digestPieceBytes = 256 * 1024
const piecesAtOnce = 16

export interface FileDigest {
  readonly sha256: string
  readonly sizeBytes: number
}

/** Of a file that was just written, and so lies in memory: read here, which takes a sixth of what reads by other threads do. */
export async function digestOfWritten(path: string): Promise<FileDigest> {
  const hash = createHash('sha256')
  const piece = Buffer.allocUnsafe(digestPieceBytes)
  const file = openSync(path, 'r')
  let sizeBytes = 0
  try {
    for (let pieces = 1; ; pieces++) {
      const readBytes = readSync(file, piece)
      if (readBytes === 0) return { sha256: hash.digest('hex'), sizeBytes }
      hash.update(piece.subarray(0, readBytes))
      sizeBytes += readBytes
      if (pieces % piecesAtOnce === 0) await setImmediate()
    }
  } finally {
    closeSync(file)
  }
}

export function sqlText(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}
