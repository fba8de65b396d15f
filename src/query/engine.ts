/** A DuckDB of its own for one question: the views of a catalog, and nothing else that SQL could reach. */

import type { DuckDBConnection, DuckDBPreparedStatement, DuckDBResult, StatementType } from '@duckdb/node-api'
import { tableColumns } from '../dataset/tables.ts'
import { VaultError, messageOf } from '../core/errors.ts'
import { duckdb } from '../storage/duckdb.ts'
import type { AdoptedFolder } from '../table/adopted.ts'
import type { Catalog } from './catalog.ts'
import { chainHoles } from './chain.ts'
import { gapsSql } from './gaps.ts'
import { segmentsSql } from './segments-view.ts'
import {
  adoptedPaths,
  adoptedViewSql,
  partPaths,
  sqlText,
  tableViewsSql,
  viewNames,
  type PathOf,
} from './views.ts'

export interface EngineOptions {
  readonly memoryLimitMb: number
  /** Folder for what does not fit in memory; removed by its owner. */
  readonly scratchDir: string
  /** SQL may read and write any file this user can, as in DuckDB's own shell. */
  readonly allowFiles: boolean
}

export interface Engine {
  readonly connection: DuckDBConnection
  /** Adopted folders that could be opened; those that could not are told of in `notes`, for people. */
  readonly adopted: AdoptedFolder[]
  readonly notes: string[]
  [Symbol.dispose](): void
}

// The driver would print instants nested in lists in the zone of this process.
duckdb.DuckDBTimestampTZValue.timezoneOffsetInMinutes = 0

/** An engine without views yet. SQL could still reach files. */
export async function startEngine(options: EngineOptions): Promise<Engine> {
  const instance = await duckdb.DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  const close = (): void => {
    connection.closeSync()
    instance.closeSync()
  }
  try {
    await connection.run(`SET memory_limit = '${options.memoryLimitMb}MB'`)
    await connection.run(`SET temp_directory = ${sqlText(options.scratchDir)}`)
    await connection.run(`SET TimeZone = 'UTC'`)
    return { connection, notes: [], adopted: [], [Symbol.dispose]: close }
  } catch (error) {
    close()
    throw error
  }
}

/**
 * Makes the views of a catalog; from then on SQL reaches nothing else.
 *
 * @param pathOf parts without a path are left out: the question at hand is known not to need them
 */
export async function makeViews(
  { connection, adopted }: Engine,
  catalog: Catalog,
  pathOf: PathOf,
  options: EngineOptions,
): Promise<void> {
  for (const sql of viewsSql(catalog, pathOf)) await connection.run(sql)
  const paths = [...partPaths(catalog.receipts, pathOf), ...adopted.flatMap(adoptedPaths)]
  if (!options.allowFiles) await shutDoor(connection, paths)
}

function viewsSql(catalog: Catalog, pathOf: PathOf): string[] {
  return [
    ...tableViewsSql(catalog, tableColumns, pathOf),
    ...gapsSql(catalog.venue, chainHoles(catalog.segments)),
    ...segmentsSql(catalog.venue, catalog.segments),
  ]
}

/**
 * Makes the views over adopted folders. A folder that is someone else's may be gone: that is said, and everything else can still be
 * asked. Not in a transaction, which one that fails would spoil.
 */
export async function openAdopted(engine: Engine, folders: readonly AdoptedFolder[]): Promise<void> {
  for (const folder of folders) {
    try {
      await engine.connection.run(adoptedViewSql(folder))
      engine.adopted.push(folder)
    } catch (error) {
      engine.notes.push(`adopted_${folder.name} is not available: ${messageOf(error).split('\n')[0]}`)
    }
  }
}

/** From here on SQL opens the parts and nothing else: no other file, no network, no extension, no setting. */
async function shutDoor(connection: DuckDBConnection, paths: readonly string[]): Promise<void> {
  await connection.run(`SET allowed_paths = [${paths.map(sqlText).join(', ')}]`)
  await connection.run('SET enable_external_access = false')
  await connection.run('SET lock_configuration = true')
}

const kinds = duckdb.StatementType

/**
 * What confined SQL may be. An allowed path may be written as well as read, so `COPY … TO` a part has to be refused by its kind;
 * everything here touches memory only.
 */
const confinedStatements: ReadonlySet<StatementType> = new Set([
  kinds.SELECT,
  kinds.EXPLAIN,
  kinds.CREATE,
  kinds.CREATE_FUNC,
  kinds.DROP,
  kinds.INSERT,
  kinds.UPDATE,
  kinds.DELETE,
  kinds.SET,
  kinds.VARIABLE_SET,
])

const makesOrDrops: ReadonlySet<StatementType> = new Set([kinds.CREATE, kinds.DROP])

/**
 * Runs all statements of a text and returns the last one's result, to be read chunk by chunk.
 *
 * @throws {VaultError} `usage` with one line for SQL that is wrong or not allowed
 */
export async function runSql(engine: Engine, sql: string, options: EngineOptions): Promise<DuckDBResult> {
  try {
    // The driver has no words for a text without a statement.
    if (/^(\s|;|--[^\n]*(\n|$))*$/.test(sql)) throw noSql()
    const statements = await engine.connection.extractStatements(sql)
    for (let k = 0; k < statements.count - 1; k++) {
      const before = await statements.prepare(k)
      refuseFiles(before, sql, options)
      await before.run()
    }
    const last = await statements.prepare(statements.count - 1)
    refuseFiles(last, sql, options)
    return await last.stream()
  } catch (error) {
    throw sqlError(error)
  }
}

function noSql(): VaultError {
  return new VaultError('usage', 'there is no SQL in what was given', {
    remedy: 'mdv query "SELECT count(*) FROM level2"',
  })
}

function refuseFiles(statement: DuckDBPreparedStatement, sql: string, options: EngineOptions): void {
  if (options.allowFiles) return
  const isAllowed =
    confinedStatements.has(statement.statementType) &&
    // A secret could send requests for allowed addresses to another host.
    !(makesOrDrops.has(statement.statementType) && /\bsecret\b/i.test(sql)) &&
    // EXPLAIN ANALYZE carries out what it explains.
    !(statement.statementType === kinds.EXPLAIN && /\b(copy|export)\b/i.test(sql))
  if (isAllowed) return
  throw new VaultError('usage', `SQL: ${kinds[statement.statementType]} statements are not run on a vault`, {
    remedy: 'print with --output csv or json, or give --allow-files to let SQL open files',
  })
}

/** DuckDB's several lines in one: what is wrong, what was perhaps meant, where. */
export function sqlError(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof VaultError) return error
  const [what = '', ...rest] = error.message.split(/\n+/)
  const place = /^LINE (\d+):/.exec(rest.find((line) => line.startsWith('LINE ')) ?? '')
  const hints = rest.filter((line) => /^(Did you mean|Candidate)/.test(line))
  const kind = what.startsWith('Out of Memory')
    ? 'preflight'
    : /^(IO|HTTP) Error/.test(what)
      ? 'unavailable'
      : isDamagedPart(what)
        ? 'corrupt'
        : 'usage'
  const words = [what, ...hints].join(' · ') + (place === null ? '' : ` (line ${place[1]})`)
  return new VaultError(kind, `SQL: ${words}`, { cause: error, remedy: remedyOf(what) })
}

/** What DuckDB blames on a Parquet file, not on the SQL. Damage in a page's own header comes as a plain `Invalid Error` without a name. */
export function isDamagedPart(what: string): boolean {
  return what.startsWith('Invalid Error') || /^Invalid Input Error.*\.parquet['"]/.test(what)
}

function remedyOf(what: string): string {
  if (what.startsWith('Out of Memory'))
    return 'give --memory-limit-mb a higher number, or ask for less at once'
  if (what.includes('Permission Error') || what.includes('disabled by configuration'))
    return 'SQL sees only the views; --allow-files lets it open files'
  // Of the product itself, or of a sum of products that each just fitted.
  if (/Overflow in (multiplication of DECIMAL|HUGEINT addition)/.test(what))
    return 'multiply with fewer digits: price::DECIMAL(24,10) * size::DECIMAL(24,10), or price::DOUBLE * size'
  if (isDamagedPart(what))
    return '"mdv verify" names every damaged part and what to do; other products and days can still be asked'
  if (/^(IO|HTTP) Error/.test(what)) return 'run it again; if it stays, run "mdv verify"'
  return `views: ${viewNames.join(', ')}; "DESCRIBE level2" shows columns`
}

/** True when a part vanished between the receipts' reading and its own: another generation took its place. */
export function isVanishedPart(error: unknown): boolean {
  const text = messageOf(error)
  return /No files found that match|Cannot open file|No such file or directory|could not be opened|is not there any more|HTTP (code )?404/i.test(
    text,
  )
}
