/** Rows of the table `other` to sorted Parquet files, one for each date. They come as JSON and are few. */

import { rm } from 'node:fs/promises'
import { createOtherSql, loadOtherSql, otherDatesSql, sortedOtherSql } from '../dataset/other-sql.ts'
import type { ConvertedPart } from './conversion.ts'
import { writeGroups, type PartSettings } from './convert-parts.ts'
import type { Engine } from './engine.ts'

/** DuckDB reads in buffers of twice the longest object. */
const objectBytesMin = 1024 * 1024

export interface OtherFile {
  readonly path: string
  readonly longestLineBytes: number
}

/** @returns the parts, and how many lines they hold; the file is gone then */
export async function writeOther(
  engine: Engine,
  { path, longestLineBytes }: OtherFile,
  settings: PartSettings,
  signal: AbortSignal,
): Promise<{ readonly parts: readonly ConvertedPart[]; readonly lines: number }> {
  await engine.run(createOtherSql)
  await engine.run(loadOtherSql(path, Math.max(objectBytesMin, longestLineBytes + 1024)))
  await rm(path)
  const [counts] = await engine.rows('SELECT count(DISTINCT n) FROM other_rows')
  const parts: ConvertedPart[] = []
  const dates = (await engine.rows(otherDatesSql)) as [string, bigint, bigint, bigint][]
  for (const [i, [date, rows, minTimeNs, maxTimeNs]] of dates.entries()) {
    signal.throwIfAborted()
    const name = `other_${i + 1}`
    await engine.run(`CREATE TABLE ${name} AS ${sortedOtherSql(date)}`)
    const groups = [{ productId: null, date, rows: Number(rows), minTimeNs, maxTimeNs }]
    parts.push(...(await writeGroups(engine, { table: 'other', name, groups, constants: {} }, settings)))
    await engine.run(`DROP TABLE ${name}`)
  }
  await engine.run('DROP TABLE other_rows')
  return { parts, lines: Number(counts![0]) }
}
