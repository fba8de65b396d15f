/** What a vault holds at one moment, for readers: current receipts and every segment known. */

import { stagingPrefix } from '../storage/keys.ts'
import { listAll, type ObjectStore } from '../storage/object-store.ts'
import type { KnownObject } from '../storage/download.ts'
import type { NumberType, Receipt, ReceiptPart, TableName } from '../table/receipt.ts'
import { readAdoptedFolders, type AdoptedFolder } from '../table/adopted.ts'
import { readReceipts, ReceiptCache } from '../table/receipts.ts'
import { stagedPartKey } from '../table/staged.ts'
import type { MayRead } from './prune/names-read.ts'
import { joinSegments } from './join-segments.ts'
import { listRaw, type SegmentEntry } from './segments.ts'

export type NumberTypes = ReadonlyMap<TableName, ReadonlySet<NumberType>>

export interface Catalog {
  readonly venue: string
  /** The highest generation of each job: what is committed. */
  readonly receipts: readonly Receipt[]
  /** What all committed parts of each table were written with, those of receipts that are left out here among them. */
  readonly numberTypes: NumberTypes
  /** Oldest label first; none where they were not asked for. */
  readonly segments: readonly SegmentEntry[]
  /** Parquet of others, read where it lies. */
  readonly adopted: readonly AdoptedFolder[]
  /** Parts that still wait beside the tables, by the key their receipt names: where they lie now. */
  readonly staged: ReadonlyMap<string, string>
}

/**
 * @param withSegments false: those that wait are neither listed nor looked into, which in a bucket is two requests for each of them; but
 *   where nothing is converted yet, what waits is all there is to tell of
 * @param cache which learns what was read
 */
export async function readCatalog(
  store: ObjectStore,
  venue: string,
  signal: AbortSignal,
  withSegments = true,
  cache = new ReceiptCache(),
): Promise<Catalog> {
  let raw = withSegments ? await listRaw(store, venue, signal) : null
  const receipts = await readReceipts(store, venue, signal, { cache })
  const adopted = await readAdoptedFolders(store, venue, signal)
  const staged = await locateStaged(store, venue, receipts, signal)
  if (receipts.length === 0) raw ??= await listRaw(store, venue, signal)
  const segments = raw === null ? [] : joinSegments(raw, receipts)
  return { venue, receipts, numberTypes: numberTypesOf(receipts), segments, adopted, staged }
}

export function numberTypesOf(receipts: readonly Receipt[]): NumberTypes {
  const types = new Map<TableName, Set<NumberType>>()
  for (const { parts, number_type: type } of receipts)
    for (const { table } of parts) {
      if (!types.has(table)) types.set(table, new Set())
      types.get(table)!.add(type)
    }
  return types
}

/** Which parts of later generations have not taken their places yet. One that moves meanwhile is a vanished part: ask again. */
export async function locateStaged(
  store: ObjectStore,
  venue: string,
  receipts: readonly Receipt[],
  signal: AbortSignal,
): Promise<Map<string, string>> {
  const objects = await listAll(store, stagingPrefix(venue), signal)
  const lying = new Set(objects.map((object) => object.key))
  const staged = new Map<string, string>()
  if (lying.size === 0) return staged
  for (const receipt of receipts)
    for (const part of receipt.parts) {
      const key = stagedPartKey(receipt, part.key)
      if (lying.has(key)) staged.set(part.key, key)
    }
  return staged
}

/** A part as the object it is now. */
export function whereItLies(part: ReceiptPart, staged: Catalog['staged']): KnownObject {
  return { key: staged.get(part.key) ?? part.key, sizeBytes: part.size_bytes, sha256: part.sha256 }
}

/** The catalog with what those views need only: binding a view costs about 50 µs a part, asked for or not. */
export function narrowCatalog(catalog: Catalog, mayRead: MayRead): Catalog {
  const isRead = (table: TableName): boolean => viewsOver[table].some(mayRead)
  const narrow = (receipt: Receipt): Receipt => ({
    ...receipt,
    parts: receipt.parts.filter((part) => isRead(part.table)),
  })
  const adopted = catalog.adopted.filter((folder) => mayRead(`adopted_${folder.name}`))
  return { ...catalog, receipts: catalog.receipts.map(narrow), adopted }
}

/** Views that read a table's parts. */
const viewsOver: Readonly<Record<TableName, readonly string[]>> = {
  ticker: ['ticker'],
  level2: ['level2'],
  market_trades: ['market_trades', 'market_trades_unique'],
  other: ['other', 'gaps'],
}
