/** How many gaps one day has so far: the `gaps` view over that day's events only. Opens DuckDB. */

import type { ObjectStore } from '../storage/object-store.ts'
import { localFiles } from '../storage/download.ts'
import type { Receipt } from '../table/receipt.ts'
import { locateStaged, whereItLies, type Catalog } from './catalog.ts'

export interface GapsToday {
  readonly date: string
  readonly gaps: number
  /** Frames known to be missing, where a gap has both ends. */
  readonly missing: bigint
  readonly causes: Readonly<Record<string, number>>
}

/** @param date UTC, `YYYY-MM-DD`: gaps written down on that day, in segments already converted */
export async function countGapsToday(
  store: ObjectStore,
  catalog: Catalog,
  date: string,
  signal: AbortSignal,
): Promise<GapsToday> {
  const receipts = catalog.receipts.map((receipt) => withEventsOf(receipt, date))
  const causes: Record<string, number> = {}
  let gaps = 0
  let missing = 0n
  if (receipts.some((receipt) => receipt.parts.length > 0)) {
    const { makeViews, startEngine } = await import('./engine.ts')
    const options = { memoryLimitMb: 512, scratchDir: await store.scratch('query'), allowFiles: false }
    const staged = await locateStaged(store, catalog.venue, receipts, signal)
    const parts = receipts.flatMap((receipt) => receipt.parts)
    const objects = parts.map((part) => whereItLies(part, staged))
    using engine = await startEngine(options)
    await using files = await localFiles(
      store,
      objects,
      { trust: 'size', onProgress: () => undefined },
      signal,
    )
    await makeViews(
      engine,
      { ...catalog, receipts, segments: [], staged },
      (key) => files.pathOf(staged.get(key) ?? key),
      options,
    )
    const reader = await engine.connection.runAndReadAll(
      'SELECT cause, count(*), coalesce(sum(missing), 0)::BIGINT FROM gaps GROUP BY cause ORDER BY cause',
    )
    for (const [cause, count, frames] of reader.getRows()) {
      causes[String(cause)] = Number(count)
      gaps += Number(count)
      missing += BigInt(String(frames))
    }
  }
  signal.throwIfAborted()
  return { date, gaps, missing, causes }
}

/** Events have no product: they lie in `other` under `product_id=_none`. */
function withEventsOf(receipt: Receipt, date: string): Receipt {
  return {
    ...receipt,
    parts: receipt.parts.filter(
      (part) => part.table === 'other' && part.product_id === null && part.date === date,
    ),
  }
}
