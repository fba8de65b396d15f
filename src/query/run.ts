/** Runs one text of SQL over a vault and hands its rows on in chunks; once more from the start where parts were replaced meanwhile. */

import { VaultError } from '../core/errors.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import { localFiles, type FetchProgress, type Trust } from '../storage/download.ts'
import type { AdoptedFolder } from '../table/adopted.ts'
import { tableNames } from '../table/receipt.ts'
import { whereItLies, type Catalog } from './catalog.ts'
import {
  isVanishedPart,
  makeViews,
  openAdopted,
  runSql,
  sqlError,
  startEngine,
  type EngineOptions,
} from './engine.ts'
import { fetchWords } from './fetch-words.ts'
import type { Row } from './output.ts'
import { askedCatalog } from './prune/asked-catalog.ts'
import { viewsRead, type MayRead } from './prune/names-read.ts'
import { remoteReading } from './remote.ts'

export interface QueryOptions extends EngineOptions {
  /** How many parts a vault has at least for an index of them to be kept on this machine; left out: none is. */
  readonly indexFromParts?: number
}

export interface RowSink {
  /** Something to know that is no error. */
  note(words: string): void
  /** Parts come over the line, where they are not on this machine. */
  fetching(progress: FetchProgress): void
  /** Once, before any row. */
  begin(names: readonly string[]): Promise<void>
  /** @returns false when no more rows are wanted */
  rows(rows: readonly Row[]): Promise<boolean>
}

/**
 * @returns when every row was handed on, or no more were wanted: what to do when the answer is printed, so that the next one comes sooner
 * @throws {VaultError} `usage` for wrong SQL, `unavailable` when data changed underneath after rows were already handed on
 */
export async function runQuery(
  store: ObjectStore,
  venue: string,
  sql: string,
  options: QueryOptions,
  sink: RowSink,
  signal: AbortSignal,
): Promise<() => Promise<void>> {
  let hasBegun = false
  const attempt = async (trust: Trust): Promise<() => Promise<void>> => {
    using engine = await startEngine(options)
    const mayRead = await viewsRead(engine.connection, sql)
    const { indexFromParts } = options
    const index =
      indexFromParts === undefined ? null : { dir: await store.scratch('index'), fromParts: indexFromParts }
    const open = (folders: readonly AdoptedFolder[]): Promise<void> => openAdopted(engine, folders)
    const asking = { store, venue, sql, mayRead, index, openAdopted: open }
    // What seems damaged is fetched, and its digest compared.
    const urlOf = trust === 'size' ? await remoteReading(engine.connection, store) : undefined
    const { catalog, parts, partsThere, learn } = await askedCatalog(engine.connection, asking, signal)
    const objects = parts.map((part) => whereItLies(part, catalog.staged))
    const fetchOptions = {
      trust,
      onProgress: (progress: FetchProgress) => sink.fetching(progress),
      ...(urlOf === undefined ? {} : { urlOf }),
    }
    await using files = await localFiles(store, objects, fetchOptions, signal)
    await makeViews(engine, catalog, (key) => files.pathOf(catalog.staged.get(key) ?? key), options)
    const notes = [
      ...fetchWords(files.progress, partsThere),
      ...waitingNotes(catalog, mayRead),
      ...engine.notes,
    ]
    for (const note of notes) sink.note(note)
    const interrupt = (): void => engine.connection.interrupt()
    signal.addEventListener('abort', interrupt, { once: true })
    try {
      const result = await runSql(engine, sql, options)
      // The first chunk is fetched before anything is said, so that a part that vanished is still no harm.
      const first = await result.fetchChunk()
      hasBegun = true
      await sink.begin(result.deduplicatedColumnNames())
      let chunk = first
      while (chunk !== null && chunk.rowCount > 0) {
        signal.throwIfAborted()
        if (!(await sink.rows(chunk.getRows()))) return learn
        chunk = await result.fetchChunk()
      }
      return learn
    } finally {
      signal.removeEventListener('abort', interrupt)
    }
  }
  let trust: Trust = 'size'
  for (let isLast = false; ; isLast = true) {
    try {
      return await attempt(trust)
    } catch (error) {
      signal.throwIfAborted()
      const wrong = sqlError(error)
      // A copy may have been spoilt on this machine: it is looked at whole then, and fetched again.
      const isDamaged = wrong instanceof VaultError && wrong.kind === 'corrupt'
      if (isDamaged) trust = 'digest'
      if (hasBegun || isLast || !(isDamaged || isVanishedPart(error))) throw wrong
    }
  }
}

/** Whoever asks in a recording's first minutes is told why there are no rows. */
function waitingNotes(catalog: Catalog, mayRead: MayRead): string[] {
  const isOfRows = [...tableNames, 'market_trades_unique', 'gaps'].some(mayRead)
  if (catalog.receipts.length > 0 || catalog.segments.length === 0 || !isOfRows) return []
  return [
    'note: no segment is converted yet; one is sealed after ingestion.segment_max_seconds or segment_max_mb, then "mdv run" or "mdv etl" converts it',
  ]
}
