/** Which jobs are to be converted again, and from which raw bytes. Pure. */

import { VaultError } from '../core/errors.ts'
import type { ObjectInfo } from '../storage/object-store.ts'
import type { Receipt, ReceiptSource } from '../table/receipt.ts'
import { isMerge } from '../table/receipts.ts'
import type { ArchivedSegment } from './archive.ts'
import { isWhole, type PartNow } from './evidence.ts'
import type { ReadyFile } from './plan.ts'

/** Where the raw bytes of a job's sources lie, by label; those that are gone are not in it. */
export type KeptRaw = ReadonlyMap<string, string>

/**
 * @param names jobs, or labels of segments that they converted
 * @throws {VaultError} `usage` for a name that is neither
 */
export function jobsNamed(receipts: readonly Receipt[], names: readonly string[]): Receipt[] {
  const chosen = names.map((name) => {
    const receipt = receipts.find(
      ({ job, sources, supersedes = [] }) =>
        job === name ||
        sources.some(({ label }) => label === name) ||
        supersedes.some((each) => each.job === name),
    )
    if (receipt !== undefined) return receipt
    throw new VaultError('usage', `${name}: no job that is committed, and no segment of one`, {
      remedy: 'what waits in raw/ready is converted by "mdv etl --once"; "mdv verify" names jobs to requeue',
    })
  })
  return [...new Set(chosen)]
}

/**
 * The archive's copy where there is one; else a segment in raw/ready that is the same, whatever it is called; else one that a repair put aside,
 * because it was damaged before it was converted.
 */
export function keptRaw(
  receipt: Receipt,
  archive: readonly ArchivedSegment[],
  ready: readonly ReadyFile[],
  rejected: readonly ObjectInfo[],
): KeptRaw {
  const kept = new Map<string, string>()
  for (const source of receipt.sources) {
    const key =
      archive.find(({ label }) => label === source.label)?.object.key ??
      ready.find((file) => isSource(file, source))?.object.key ??
      rejected.find((object) => isPutAside(object, source))?.key
    if (key !== undefined) kept.set(source.label, key)
  }
  return kept
}

function isSource({ object, peek }: ReadyFile, source: ReceiptSource): boolean {
  const { header } = peek
  return (
    header?.recorder === source.recorder &&
    header.n === source.first_n &&
    object.sizeBytes === source.size_bytes
  )
}

function isPutAside({ key, sizeBytes }: ObjectInfo, source: ReceiptSource): boolean {
  return sizeBytes === source.size_bytes && key.endsWith(damagedEnding(source.file_sha256))
}

/** How the name of a damaged segment ends that is kept under raw/rejected. @param sha256 of all of it */
export function damagedEnding(sha256: string): string {
  return `.${sha256.slice(0, 12)}.damaged`
}

/** Why a job stays as it is, what that means, and the ways back. */
export function cannotRequeue(receipt: Receipt, kept: KeptRaw, parts: readonly PartNow[]): VaultError {
  const { job, sources } = receipt
  const gone = sources.filter(({ label }) => !kept.has(label)).map(({ label }) => label)
  const why = isMerge(job)
    ? 'is a merge of several jobs, which is not converted again'
    : `the raw bytes of ${gone.length} of its ${sources.length} segments are gone (${firstFew(gone)})`
  return new VaultError('corrupt', `job ${job}: ${why}; ${lossWords(parts)}`, {
    remedy: restoreRemedy(receipt),
  })
}

/** Nothing is overwritten by a sync, so that what is damaged has to make way. */
function restoreRemedy({ job }: Receipt): string {
  const fromCopy =
    'move its damaged parts out of processed/ and bring them back from a copy of the vault: mdv sync COPY VAULT'
  return isMerge(job)
    ? fromCopy
    : `${fromCopy}; or put its raw segments back into raw/ready and run this again`
}

function lossWords(parts: readonly PartNow[]): string {
  const damaged = parts.filter((part) => !isWhole(part)).map(({ part }) => part)
  if (damaged.length === 0) return 'all its parts are as they were committed, and stay'
  const rows = damaged.reduce((total, part) => total + part.rows, 0)
  const places = damaged.map((part) => `${part.table} ${part.product_id ?? '_none'} ${part.date}`)
  return `${rows} rows in ${damaged.length} parts are missing or damaged (${firstFew(places)})`
}

function firstFew(words: readonly string[]): string {
  return words.slice(0, 5).join(', ') + (words.length > 5 ? ', …' : '')
}
