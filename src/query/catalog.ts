/** What a vault holds at one moment, for readers: current receipts and every segment known. */

import type { ObjectStore } from '../storage/object-store.ts'
import type { Receipt } from '../table/receipt.ts'
import { readAdoptedFolders, type AdoptedFolder } from '../table/adopted.ts'
import { readReceipts } from '../table/receipts.ts'
import { joinSegments, listRaw, type SegmentEntry } from './segments.ts'

export interface Catalog {
  readonly venue: string
  /** The highest generation of each job: what is committed. */
  readonly receipts: readonly Receipt[]
  /** Oldest label first. */
  readonly segments: readonly SegmentEntry[]
  /** Parquet of others, read where it lies. */
  readonly adopted: readonly AdoptedFolder[]
}

export async function readCatalog(store: ObjectStore, venue: string, signal: AbortSignal): Promise<Catalog> {
  const raw = await listRaw(store, venue, signal)
  const receipts = await readReceipts(store, venue, signal)
  const adopted = await readAdoptedFolders(store, venue, signal)
  return { venue, receipts, segments: joinSegments(raw, receipts), adopted }
}
