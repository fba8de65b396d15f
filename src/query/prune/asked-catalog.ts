/** The catalog as far as a question needs it: by the index of parts where there is one, else from all receipts. */

import type { DuckDBConnection } from '@duckdb/node-api'
import { forEachAtOnce } from '../../core/at-once.ts'
import type { ObjectStore } from '../../storage/object-store.ts'
import { readAdoptedFolders, type AdoptedFolder } from '../../table/adopted.ts'
import type { Receipt, ReceiptPart } from '../../table/receipt.ts'
import { heldBy, listReceipts, readReceipt, ReceiptCache } from '../../table/receipts.ts'
import {
  locateStaged,
  narrowCatalog,
  numberTypesOf,
  readCatalog,
  type Catalog,
  type NumberTypes,
} from '../catalog.ts'
import type { MayRead } from './names-read.ts'
import { neededParts, neededPlaces } from './needed-parts.ts'
import { PartIndex, type Difference } from './known-parts.ts'

export interface AskedCatalog {
  readonly catalog: Catalog
  /** Those of it that the question needs. */
  readonly parts: readonly ReceiptPart[]
  /** Of the whole vault. */
  readonly partsThere: number
  /** Saves an index for the next question, where that is worth it; after the answer. */
  readonly learn: () => Promise<void>
}

export interface Asking {
  readonly store: ObjectStore
  readonly venue: string
  readonly sql: string
  readonly mayRead: MayRead
  /** Opens adopted folders that may be read; once, before a transaction may begin. */
  readonly openAdopted: (folders: readonly AdoptedFolder[]) => Promise<void>
  /** Folder for the index, and from how many parts on it is worth having; null: none is used. */
  readonly index: { readonly dir: string; readonly fromParts: number } | null
}

const readsAtOnce = 16

/** Where it answers, a transaction may be left open, as `neededParts` does. */
export async function askedCatalog(
  connection: DuckDBConnection,
  asking: Asking,
  signal: AbortSignal,
): Promise<AskedCatalog> {
  const { store, venue, sql, mayRead, index } = asking
  const withSegments = mayRead('segments') || mayRead('gaps')
  // Segments are told by receipts, all of them.
  const place = index === null || withSegments ? null : { ...index, venue, location: store.location }
  const known = place === null ? null : await PartIndex.open(place)
  let isOpened = false
  const openAdopted = async (folders: readonly AdoptedFolder[]): Promise<void> => {
    if (!isOpened) await asking.openAdopted(folders.filter(({ name }) => mayRead(`adopted_${name}`)))
    isOpened = true
  }
  const found =
    known === null ? 'outdated' : await byIndex(connection, { ...asking, openAdopted }, known, signal)
  if (typeof found !== 'string') return found
  const cache = new ReceiptCache()
  const whole = await readCatalog(store, venue, signal, withSegments, cache)
  const catalog = narrowCatalog(whole, mayRead)
  await openAdopted(whole.adopted)
  const partsThere = partsOf(whole.receipts)
  return {
    catalog,
    parts: await neededParts(connection, catalog, sql),
    partsThere,
    learn: async () => {
      if (place !== null && partsThere >= place.fromParts && found === 'outdated')
        await PartIndex.save(place, cache, () => listReceipts(store, venue, signal))
    },
  }
}

/** @returns `outdated` when too much has changed, `no_help` when the question needs all of a table */
async function byIndex(
  connection: DuckDBConnection,
  { store, venue, sql, mayRead, openAdopted }: Asking,
  index: PartIndex,
  signal: AbortSignal,
): Promise<AskedCatalog | 'outdated' | 'no_help'> {
  const difference = index.compare(await listReceipts(store, venue, signal))
  if (difference === null) return 'outdated'
  const { fresh, gone } = await counting(store, index, difference, signal)
  const adopted = await readAdoptedFolders(store, venue, signal)
  await openAdopted(adopted)
  const needed = await neededPlaces(connection, sql, async (facts) => {
    await facts.load(index.path, gone)
    await facts.append(fresh, index.receipts)
  })
  if (needed.kind !== 'parts') {
    if (needed.kind === 'tables') await connection.run('ROLLBACK')
    return 'no_help'
  }
  const receipts: Receipt[] = []
  await forEachAtOnce([...needed.places], readsAtOnce, async ([number, parts], i) => {
    signal.throwIfAborted()
    const receipt =
      number < index.receipts
        ? await readReceipt(store, index.keyOf(number))
        : fresh[number - index.receipts]!
    receipts[i] = { ...receipt, parts: receipt.parts.filter((_, part) => parts.has(part)) }
  })
  receipts.sort((a, b) => (a.job < b.job ? -1 : 1))
  const staged = await locateStaged(store, venue, receipts, signal)
  const known = index.summary(gone)
  const numberTypes = merged(known.types, numberTypesOf(fresh))
  const catalog = { venue, receipts, numberTypes, segments: [], adopted, staged }
  return {
    catalog: narrowCatalog(catalog, mayRead),
    parts: receipts.flatMap(({ parts }) => parts),
    partsThere: known.parts + partsOf(fresh),
    learn: async () => undefined,
  }
}

/** Which of the fresh receipts count, and which of the known ones do not because fresh merges hold them. */
async function counting(
  store: ObjectStore,
  index: PartIndex,
  { fresh: keys, gone }: Difference,
  signal: AbortSignal,
): Promise<{ readonly fresh: readonly Receipt[]; readonly gone: readonly number[] }> {
  const fresh: Receipt[] = []
  await forEachAtOnce(keys, readsAtOnce, async (key, i) => {
    signal.throwIfAborted()
    fresh[i] = await readReceipt(store, key)
  })
  const held = new Set(fresh.flatMap(heldBy))
  return {
    fresh: fresh.filter(({ job }) => !held.has(job)),
    gone: [...gone, ...index.numbersOf(held)],
  }
}

function partsOf(receipts: readonly Receipt[]): number {
  return receipts.reduce((total, { parts }) => total + parts.length, 0)
}

function merged(a: NumberTypes, b: NumberTypes): NumberTypes {
  const tables = [...new Set([...a.keys(), ...b.keys()])]
  return new Map(tables.map((table) => [table, new Set([...(a.get(table) ?? []), ...(b.get(table) ?? [])])]))
}
