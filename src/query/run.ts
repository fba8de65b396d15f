/** Runs one text of SQL over a vault and hands its rows on in chunks; once more from the start where parts were replaced meanwhile. */

import type { ObjectStore } from '../storage/object-store.ts'
import { fileOf } from '../storage/download.ts'
import { tableNames } from '../table/receipt.ts'
import { narrowCatalog, readCatalog, type Catalog } from './catalog.ts'
import { isVanishedPart, openEngine, runSql, sqlError, type EngineOptions } from './engine.ts'
import type { Row } from './output.ts'

export interface RowSink {
  /** Something to know that is no error. */
  note(words: string): void
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
  const attempt = async (): Promise<void> => {
    const catalog = narrowCatalog(await readCatalog(store, venue, signal), sql)
    using engine = await openEngine(catalog, (key) => fileOf(store, key), options)
    for (const note of [...waitingNotes(catalog, sql), ...engine.notes]) sink.note(note)
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
  for (let isLast = false; ; isLast = true) {
    try {
      return await attempt()
    } catch (error) {
      signal.throwIfAborted()
      if (hasBegun || isLast || !isVanishedPart(error)) throw sqlError(error)
    }
  }
}

/** Whoever asks in a recording's first minutes is told why there are no rows. */
function waitingNotes(catalog: Catalog, sql: string): string[] {
  const isOfRows = [...tableNames, 'gaps'].some((name) => sql.toLowerCase().includes(name))
  if (catalog.receipts.length > 0 || catalog.segments.length === 0 || !isOfRows) return []
  return [
    'note: no segment is converted yet; one is sealed after ingestion.segment_max_seconds or segment_max_mb, then "mdv run" or "mdv etl" converts it',
  ]
}
