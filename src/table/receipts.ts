/** Receipts as objects: writing one is the commit of a job, reading them all is the list of what is committed. */

import { forEachAtOnce } from '../core/at-once.ts'
import { VaultError } from '../core/errors.ts'
import { parseReceiptKey, receiptKey, receiptsPrefix } from '../storage/keys.ts'
import { listAll, type ObjectInfo, type ObjectStore } from '../storage/object-store.ts'
import { tableNames, type Receipt, type ReceiptPart, type ReceiptSource } from './receipt.ts'
import { StrictFields } from './receipt-fields.ts'

/** What whoever looks again and again keeps of receipts, which never change. What no answer needs any more leaves it. */
export class ReceiptCache {
  /** Those that counted when it was last asked, by key. */
  readonly receipts = new Map<string, Receipt>()
  /** Of merges that are merged themselves: the jobs that they hold, by key. */
  readonly spent = new Map<string, readonly string[]>()
}

export interface ReadReceiptsOptions {
  readonly cache?: ReceiptCache
  /** Jobs that matter, merges aside; the receipts of others are neither read nor returned. */
  readonly isWanted?: (job: string) => boolean
  /** Told of each receipt that cannot be read, and is then left out; unless given, the first one is thrown. */
  readonly onDamaged?: (damaged: VaultError) => void
}

const readsAtOnce = 16

/**
 * The receipts that count: the highest generation of each job that no merge holds, jobs ascending by name. What merges hold is not read.
 *
 * @throws {VaultError} `corrupt` naming object and field, `invalid` for a receipt of a newer version
 */
export async function readReceipts(
  store: ObjectStore,
  venue: string,
  signal: AbortSignal,
  { cache = new ReceiptCache(), isWanted = () => true, onDamaged = refuse }: ReadReceiptsOptions = {},
): Promise<Receipt[]> {
  const keys = (await listReceipts(store, venue, signal)).map(({ key }) => key)
  const read = async (wanted: readonly string[]): Promise<Receipt[]> => {
    const missing = wanted.filter((key) => !cache.receipts.has(key))
    await forEachAtOnce(missing, readsAtOnce, async (key) => {
      signal.throwIfAborted()
      const receipt = await readOrTell(store, key, onDamaged)
      if (receipt !== null) cache.receipts.set(key, receipt)
    })
    return wanted.flatMap((key) => cache.receipts.get(key) ?? [])
  }
  const merges = await read(keys.filter((key) => isMerge(jobOf(key)) && !cache.spent.has(key)))
  const merged = new Set([...merges.flatMap(heldBy), ...[...cache.spent.values()].flat()])
  for (const merge of merges)
    if (merged.has(merge.job)) cache.spent.set(receiptKey(venue, merge.job, merge.generation), heldBy(merge))
  const counting = keys.filter(
    (key) => !merged.has(jobOf(key)) && (isMerge(jobOf(key)) || isWanted(jobOf(key))),
  )
  const kept = new Set(counting)
  for (const key of cache.receipts.keys()) if (!kept.has(key)) cache.receipts.delete(key)
  return read(counting)
}

function jobOf(key: string): string {
  return parseReceiptKey(key)!.job
}

/** Jobs whose rows a merge holds. */
export function heldBy({ supersedes = [] }: Receipt): string[] {
  return supersedes.map(({ job }) => job)
}

/** Whether a job's name is a merge's. */
export function isMerge(job: string): boolean {
  return job.startsWith('compact_')
}

/** The highest generation of one job, or undefined when it is not committed. */
export async function currentReceipt(
  store: ObjectStore,
  venue: string,
  job: string,
): Promise<Receipt | undefined> {
  let current: Receipt | undefined
  for (let generation = 1; ; generation++) {
    const key = receiptKey(venue, job, generation)
    const body = await store.get(key)
    if (body === undefined) return current
    current = parseReceipt(key, body)
  }
}

/** Every generation of one job, first to last. */
export async function receiptGenerations(store: ObjectStore, venue: string, job: string): Promise<Receipt[]> {
  const all: Receipt[] = []
  for (let generation = 1; ; generation++) {
    const key = receiptKey(venue, job, generation)
    const body = await store.get(key)
    if (body === undefined) return all
    all.push(parseReceipt(key, body))
  }
}

/** `lost`: another worker committed this generation first; what it says is what counts. */
export type CommitOutcome =
  | { readonly kind: 'committed' }
  | { readonly kind: 'lost'; readonly winner: Receipt }

/**
 * Commits a job. A throw means that the outcome is unknown: the receipt may be there or may yet appear, so nothing that it or
 * another could name may be deleted.
 */
export async function commitReceipt(store: ObjectStore, receipt: Receipt): Promise<CommitOutcome> {
  const key = receiptKey(receipt.venue, receipt.job, receipt.generation)
  const body = encodeReceipt(receipt)
  if ((await store.putIfAbsent(key, body)) === 'created') return { kind: 'committed' }
  const there = await store.get(key)
  if (there === undefined)
    throw new VaultError('unavailable', `${key}: there when it was put, gone when it was read`)
  // An earlier try of ours arrived although its answer did not: the same writer and the same bytes.
  if (there.equals(body)) return { kind: 'committed' }
  return { kind: 'lost', winner: parseReceipt(key, there) }
}

export function encodeReceipt(receipt: Receipt): Buffer {
  return Buffer.from(JSON.stringify(receipt, null, 1) + '\n')
}

/** @param key where it lies; it has to name the job and generation that the body does */
export function parseReceipt(key: string, body: Uint8Array): Receipt {
  const fields = StrictFields.parse(key, body)
  fields.format(1)
  const lines = fields.object('lines')
  const supersedes = fields.listIfThere('supersedes', (item) => ({
    job: item.matching('job', /^[A-Za-z0-9_-]{1,200}$/, 'a job'),
    generation: item.count('generation'),
  }))
  const rejects = fields.listIfThere('rejects', (item) => ({
    key: item.text('key'),
    lines: item.count('lines'),
  }))
  const receipt: Receipt = {
    format: 1,
    job: fields.text('job'),
    generation: fields.count('generation'),
    venue: fields.text('venue'),
    software: fields.text('software'),
    number_type: fields.oneOf('number_type', ['decimal', 'double']),
    sources: fields.list('sources', parseSource),
    parts: fields.list('parts', parsePart),
    lines: {
      total: lines.count('total'),
      frames: lines.count('frames'),
      events: lines.count('events'),
      rejected: lines.count('rejected'),
    },
    rejects_key: fields.textOrNull('rejects_key'),
    ...(supersedes === undefined ? {} : { supersedes }),
    ...(rejects === undefined ? {} : { rejects }),
    writer: fields.text('writer'),
    committed_ms: fields.count('committed_ms'),
  }
  if (receiptKey(receipt.venue, receipt.job, receipt.generation) === key) return receipt
  throw new VaultError(
    'corrupt',
    `${key}: holds the receipt of ${receipt.job} generation ${receipt.generation}`,
    {
      remedy: 'give it its own name again, or restore it from a backup',
    },
  )
}

function parseSource(fields: StrictFields): ReceiptSource {
  const sealProblem = fields.textIfThere('seal_problem')
  return {
    key: fields.text('key'),
    label: fields.text('label'),
    recorder: fields.text('recorder'),
    first_n: fields.count('first_n'),
    last_n: fields.countOrNull('last_n'),
    lines: fields.count('lines'),
    size_bytes: fields.count('size_bytes'),
    file_sha256: fields.sha256('file_sha256'),
    seal_sha256: fields.sha256OrNull('seal_sha256'),
    ...(sealProblem === undefined ? {} : { seal_problem: sealProblem }),
    first_recv_ns: fields.nsOrNull('first_recv_ns'),
    last_recv_ns: fields.nsOrNull('last_recv_ns'),
  }
}

function parsePart(fields: StrictFields): ReceiptPart {
  return {
    key: fields.text('key'),
    table: fields.oneOf('table', tableNames),
    product_id: fields.textOrNull('product_id'),
    date: fields.matching('date', /^\d{4}-\d{2}-\d{2}$/, 'a date'),
    rows: fields.count('rows'),
    size_bytes: fields.count('size_bytes'),
    sha256: fields.sha256('sha256'),
    min_time_ns: fields.ns('min_time_ns'),
    max_time_ns: fields.ns('max_time_ns'),
  }
}

function refuse(damaged: VaultError): never {
  throw damaged
}

/** @param key as it was listed @throws {VaultError} as `readReceipts` */
export async function readReceipt(store: ObjectStore, key: string): Promise<Receipt> {
  const body = await store.get(key)
  if (body !== undefined) return parseReceipt(key, body)
  const words = `${key}: listed, and gone when it was read; receipts are never removed`
  throw new VaultError('corrupt', words, { remedy: 'restore it from a backup' })
}

/** @returns null for one that was told of */
async function readOrTell(
  store: ObjectStore,
  key: string,
  onDamaged: (damaged: VaultError) => void,
): Promise<Receipt | null> {
  try {
    return await readReceipt(store, key)
  } catch (error) {
    if (!(error instanceof VaultError) || error.kind === 'unavailable') throw error
    onDamaged(error)
    return null
  }
}

/** A job's highest generation, as it lies there. */
export interface ListedReceipt extends ObjectInfo {
  readonly job: string
  readonly generation: number
}

/** The highest generation of every job, ascending by job, what merges hold among them. Other files are not ours to judge. */
export async function listReceipts(
  store: ObjectStore,
  venue: string,
  signal: AbortSignal,
): Promise<ListedReceipt[]> {
  const highest = new Map<string, ListedReceipt>()
  for (const info of await listAll(store, receiptsPrefix(venue), signal)) {
    const name = parseReceiptKey(info.key)
    if (name !== undefined && name.generation > (highest.get(name.job)?.generation ?? 0))
      highest.set(name.job, { ...info, ...name })
  }
  return [...highest.values()].sort((a, b) => (a.job < b.job ? -1 : 1))
}
