/** Catalogues a folder of Parquet that someone else made: its files, sizes and columns. The folder is only read, now and later. */

import { readdir, stat } from 'node:fs/promises'
import { basename, join, relative, resolve, sep } from 'node:path'
import { VaultError, messageOf } from '../../core/errors.ts'
import { adoptedFolderKey, readAdoptedFolders, type AdoptedFolder } from '../../table/adopted.ts'
import { recordBytesMax } from '../../storage/object-store.ts'
import type { AdoptDeps } from './adopt-run.ts'

export interface FolderOutcome {
  /** `known`: the newest catalogue entry says the same. */
  readonly kind: 'adopted' | 'known' | 'dry_run'
  readonly record: AdoptedFolder
}

/** @param name of the view, after `adopted_`; null: the folder's own */
export async function adoptFolder(
  deps: AdoptDeps,
  folder: string,
  name: string | null,
  isDryRun: boolean,
  signal: AbortSignal,
): Promise<FolderOutcome> {
  const path = resolve(folder)
  const viewName = viewNameOf(name ?? basename(path))
  const files = await parquetFiles(path)
  signal.throwIfAborted()
  const schema = await readSchema(files.map((file) => join(path, file.path)))
  const before = (await readAdoptedFolders(deps.store, deps.venue, signal)).find(
    (each) => each.name === viewName,
  )
  if (before !== undefined && before.path !== path)
    throw new VaultError('invalid', `adopted_${viewName} is already ${before.path}`, {
      remedy: 'give another name: --name NAME',
    })
  if (before !== undefined && JSON.stringify(before.files) === JSON.stringify(files))
    return { kind: 'known', record: before }
  const record: AdoptedFolder = {
    format: 1,
    kind: 'parquet',
    name: viewName,
    generation: (before?.generation ?? 0) + 1,
    path,
    files,
    ...schema,
    software: deps.software,
    adopted_ms: deps.clock.nowMs(),
  }
  if (isDryRun) return { kind: 'dry_run', record }
  const key = adoptedFolderKey(deps.venue, viewName, record.generation)
  const body = Buffer.from(JSON.stringify(record))
  if (body.length > recordBytesMax)
    throw new VaultError('invalid', `${path}: ${files.length} files are too many for one note`, {
      remedy: 'adopt its folders one by one, each under a name',
    })
  if ((await deps.store.putIfAbsent(key, body)) === 'exists')
    throw new VaultError('held', `${key} was put by another adopt at the same time`, {
      remedy: 'run it again',
    })
  return { kind: 'adopted', record }
}

/** Parquet files under a folder, in order of their names. */
export async function parquetFiles(path: string): Promise<{ path: string; size_bytes: number }[]> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true })
  const paths = entries
    .filter((entry) => entry.isFile() && entry.name.endsWith('.parquet'))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
  const files: { path: string; size_bytes: number }[] = []
  for (const each of paths)
    files.push({ path: relative(path, each).split(sep).join('/'), size_bytes: (await stat(each)).size })
  return files
}

function viewNameOf(text: string): string {
  const name = text
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '_')
    .replace(/^_+|_+$/g, '')
    .slice(0, 40)
  if (name !== '') return name
  throw new VaultError('usage', `${JSON.stringify(text)} gives no name for a view`, {
    remedy: 'give one: --name NAME',
  })
}

async function readSchema(paths: readonly string[]): Promise<Pick<AdoptedFolder, 'rows' | 'columns'>> {
  const { duckdb } = await import('../../storage/duckdb.ts')
  const instance = await duckdb.DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  const list = `[${paths.map((path) => `'${path.replaceAll("'", "''")}'`).join(', ')}]`
  try {
    const columns = await connection.runAndReadAll(
      `DESCRIBE SELECT * FROM read_parquet(${list}, union_by_name = true, hive_partitioning = true, hive_types_autocast = false)`,
    )
    const rows = await connection.runAndReadAll(
      `SELECT sum(num_rows)::BIGINT FROM parquet_file_metadata(${list})`,
    )
    return {
      rows: Number(rows.getRows()[0]![0]),
      columns: columns.getRows().map((row) => ({ name: String(row[0]), type: String(row[1]) })),
    }
  } catch (error) {
    throw new VaultError('invalid', `not a table of Parquet: ${messageOf(error).split('\n')[0]}`, {
      remedy: 'name a folder whose files have columns that agree',
      cause: error,
    })
  } finally {
    connection.closeSync()
    instance.closeSync()
  }
}
