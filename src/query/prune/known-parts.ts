/**
 * What receipts say of their parts, saved on this machine: a vault of many parts is asked without reading all of its receipts. It says nothing
 * that receipts do not say, and is made anew whenever it is not what it was.
 */

import { createHash, randomBytes } from 'node:crypto'
import { readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { messageOf, systemCode, VaultError } from '../../core/errors.ts'
import { parseReceiptKey } from '../../storage/keys.ts'
import { duckdb } from '../../storage/duckdb.ts'
import type { NumberType, Receipt, TableName } from '../../table/receipt.ts'
import { heldBy, type ListedReceipt, type ReceiptCache } from '../../table/receipts.ts'
import type { NumberTypes } from '../catalog.ts'
import { FactTable } from './fact-table.ts'

const format = 1
/** Receipts that came since are read each time; past a twentieth of all it is made anew. */
const freshShareMax = 0.05
const freshMin = 50

/** Whose parts these are: a folder on this machine may serve several vaults. */
export interface IndexPlace {
  readonly dir: string
  readonly venue: string
  /** Of the vault. */
  readonly location: string
}

/** Key, size and time of what was read; and what it says of all its parts. */
type KnownReceipt = readonly [
  key: string,
  sizeBytes: number,
  modifiedMs: number,
  parts: number,
  numberType: NumberType,
  tables: readonly TableName[],
]

interface Saved {
  readonly format: number
  readonly location: string
  /** Name and digest of the file of facts. */
  readonly facts: string
  readonly sha256: string
  /** Those that counted, by the numbers that the facts have. */
  readonly receipts: readonly KnownReceipt[]
  /** Jobs that merges hold. */
  readonly held: readonly string[]
}

/** How a vault stands to its index. */
export interface Difference {
  /** Numbers of receipts that count no more. */
  readonly gone: readonly number[]
  /** Keys that the index does not know. */
  readonly fresh: readonly string[]
}

export class PartIndex {
  readonly #saved: Saved
  /** Of the facts. */
  readonly path: string

  private constructor(saved: Saved, path: string) {
    this.#saved = saved
    this.path = path
  }

  /** @returns null when there is none, or it is not what was saved */
  static async open(place: IndexPlace): Promise<PartIndex | null> {
    try {
      const saved: unknown = JSON.parse(await readFile(listPath(place), 'utf8'))
      if (!isSaved(saved) || saved.location !== place.location) return null
      const path = join(place.dir, saved.facts)
      return sha256(await readFile(path)) === saved.sha256 ? new PartIndex(saved, path) : null
    } catch (error) {
      if (systemCode(error) === undefined && !(error instanceof SyntaxError)) throw error
      return null
    }
  }

  get receipts(): number {
    return this.#saved.receipts.length
  }

  keyOf(receipt: number): string {
    return this.#saved.receipts[receipt]![0]
  }

  /** What is known of all receipts but those. */
  summary(gone: readonly number[]): { readonly parts: number; readonly types: NumberTypes } {
    const left = new Set(gone)
    const still = this.#saved.receipts.filter((_, i) => !left.has(i))
    const types = new Map<TableName, Set<NumberType>>()
    for (const [, , , , type, tables] of still)
      for (const table of tables) types.set(table, (types.get(table) ?? new Set()).add(type))
    return { parts: still.reduce((sum, [, , , parts]) => sum + parts, 0), types }
  }

  /** Of receipts by their jobs. */
  numbersOf(jobs: ReadonlySet<string>): number[] {
    if (jobs.size === 0) return []
    return this.#saved.receipts.flatMap(([key], i) => (jobs.has(parseReceiptKey(key)!.job) ? [i] : []))
  }

  /** @returns null when it is to be made anew */
  compare(listed: readonly ListedReceipt[]): Difference | null {
    const { receipts } = this.#saved
    const held = new Set(this.#saved.held)
    const known = new Map(receipts.map(([key, sizeBytes, modifiedMs]) => [key, { sizeBytes, modifiedMs }]))
    const still = new Set<string>()
    const fresh: string[] = []
    for (const { key, job, sizeBytes, modifiedMs } of listed) {
      const before = known.get(key)
      if (before?.sizeBytes === sizeBytes && before.modifiedMs === modifiedMs) still.add(key)
      else if (!held.has(job)) fresh.push(key)
    }
    if (fresh.length > Math.max(freshMin, receipts.length * freshShareMax)) return null
    const gone = receipts.flatMap(([key], i) => (still.has(key) ? [] : [i]))
    return { gone, fresh }
  }

  /**
   * A cache, made after the answer: what goes wrong with the disk or the store costs its use, and not the answer.
   *
   * @param cache what a reading of all receipts learnt
   */
  static async save(
    place: IndexPlace,
    cache: ReceiptCache,
    list: () => Promise<readonly ListedReceipt[]>,
  ): Promise<void> {
    try {
      await saveFacts(place, cache, await list())
    } catch (error) {
      if (error instanceof VaultError) return
      if (systemCode(error) === undefined && !messageOf(error).startsWith('IO Error')) throw error
    }
  }
}

async function saveFacts(
  place: IndexPlace,
  cache: ReceiptCache,
  listed: readonly ListedReceipt[],
): Promise<void> {
  const counting = listed.flatMap((info) => {
    const receipt = cache.receipts.get(info.key)
    return receipt === undefined ? [] : [{ info, receipt }]
  })
  const facts = `${place.venue}.${randomBytes(8).toString('hex')}.parquet`
  const path = join(place.dir, facts)
  await writeFacts(
    path,
    counting.map(({ receipt }) => receipt),
  )
  const saved: Saved = {
    format,
    location: place.location,
    facts,
    sha256: sha256(await readFile(path)),
    receipts: counting.map(({ info, receipt: { parts, number_type: type } }) => [
      info.key,
      info.sizeBytes,
      info.modifiedMs,
      parts.length,
      type,
      [...new Set(parts.map(({ table }) => table))],
    ]),
    held: [...counting.flatMap(({ receipt }) => heldBy(receipt)), ...[...cache.spent.values()].flat()],
  }
  await writeFile(`${path}.list`, JSON.stringify(saved))
  await rename(`${path}.list`, listPath(place))
  for (const name of await readdir(place.dir))
    if (/\.parquet(\.list)?$/.test(name) && name.startsWith(`${place.venue}.`) && name !== facts)
      await rm(join(place.dir, name), { force: true })
}

/** In an engine of its own: that of the question reaches no files any more. */
async function writeFacts(path: string, receipts: readonly Receipt[]): Promise<void> {
  const instance = await duckdb.DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  try {
    const facts = await FactTable.make(connection)
    await facts.append(receipts, 0)
    await facts.save(path)
  } finally {
    connection.closeSync()
    instance.closeSync()
  }
}

function isSaved(value: unknown): value is Saved {
  const saved = value as Saved | null
  return (
    saved?.format === format &&
    /^[a-z0-9.]+\.parquet$/.test(saved.facts) &&
    Array.isArray(saved.receipts) &&
    saved.receipts.every(
      (one) => Array.isArray(one) && one.length === 6 && parseReceiptKey(String(one[0])) !== undefined,
    ) &&
    Array.isArray(saved.held)
  )
}

function listPath({ dir, venue }: IndexPlace): string {
  return join(dir, `${venue}.json`)
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
