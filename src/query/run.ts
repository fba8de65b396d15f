/** Runs one text of SQL over a vault and hands its rows on in chunks; once more from the start where parts were replaced meanwhile. */

import { VaultError } from '../core/errors.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import { localFiles, type FetchProgress, type Trust } from '../storage/download.ts'
import { tableNames } from '../table/receipt.ts'
import { narrowCatalog, readCatalog, whereItLies, type Catalog } from './catalog.ts'
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
import { viewsRead, type MayRead } from './prune/names-read.ts'
import { neededParts } from './prune/needed-parts.ts'
import { remoteReading } from './remote.ts'

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
 * @returns when every row was handed on, or no more were wanted
 * @throws {VaultError} `usage` for wrong SQL, `unavailable` when data changed underneath after rows were already handed on
 */
export async function runQuery(
  store: ObjectStore,
  venue: string,
  sql: string,
  options: EngineOptions,
  sink: RowSink,
  signal: AbortSignal,
): Promise<void> {
  let hasBegun = false
  const attempt = async (trust: Trust): Promise<void> => {
    using engine = await startEngine(options)
    const mayRead = await viewsRead(engine.connection, sql)
    const whole = await readCatalog(store, venue, signal, mayRead('segments') || mayRead('gaps'))
    const catalog = narrowCatalog(whole, mayRead)
    await openAdopted(engine, catalog.adopted)
    // What seems damaged is fetched, and its digest compared.
    const urlOf = trust === 'size' ? await remoteReading(engine.connection, store) : undefined
    const parts = await neededParts(engine.connection, catalog, sql)
    const objects = parts.map((part) => whereItLies(part, catalog.staged))
    const fetchOptions = {
      trust,
      onProgress: (progress: FetchProgress) => sink.fetching(progress),
      ...(urlOf === undefined ? {} : { urlOf }),
    }
    await using files = await localFiles(store, objects, fetchOptions, signal)
    await makeViews(engine, catalog, (key) => files.pathOf(catalog.staged.get(key) ?? key), options)
    const notes = [
      ...fetchWords(files.progress, partsOf(whole)),
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
        if (!(await sink.rows(chunk.getRows()))) return
        chunk = await result.fetchChunk()
      }
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

function partsOf({ receipts }: Catalog): number {
  return receipts.reduce((total, receipt) => total + receipt.parts.length, 0)
}

/** Whoever asks in a recording's first minutes is told why there are no rows. */
function waitingNotes(catalog: Catalog, mayRead: MayRead): string[] {
  const isOfRows = [...tableNames, 'market_trades_unique', 'gaps'].some(mayRead)
  if (catalog.receipts.length > 0 || catalog.segments.length === 0 || !isOfRows) return []
  return [
    'note: no segment is converted yet; one is sealed after ingestion.segment_max_seconds or segment_max_mb, then "mdv run" or "mdv etl" converts it',
  ]
}
