/**
 * Parts of a later generation wait beside the tables until the parts they replace are gone, so that whoever reads by glob never
 * sees a row twice. Whoever reads by receipts finds them in either place.
 */

import { forEachAtOnce } from '../core/at-once.ts'
import { processed, stagingPrefix } from '../storage/keys.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import type { Receipt, ReceiptPart } from './receipt.ts'

/** The folder of one generation of a job: its staged parts and the mark that its swap is not finished. */
export function stagingFolder(venue: string, job: string, generation: number): string {
  return `${stagingPrefix(venue)}${job}.g${generation}/`
}

/** Job and generation of anything under `_staging/`; undefined for files that are none of ours. */
export function parseStagingKey(
  key: string,
): { readonly job: string; readonly generation: number } | undefined {
  const match = /\/_staging\/([A-Za-z0-9_-]+)\.g([1-9]\d*)\//.exec(key)
  return match === null ? undefined : { job: match[1]!, generation: Number(match[2]) }
}

/** Put before the receipt and removed when the swap is done: a generation without parts leaves no other trace of an unfinished one. */
export function swapMarkKey(venue: string, job: string, generation: number): string {
  return `${stagingFolder(venue, job, generation)}swap.json`
}

/** Its name does not end in `.parquet`: the widest glob (`processed/**\/*.parquet`) passes it by. */
export function stagedPartKey(
  receipt: Pick<Receipt, 'venue' | 'job' | 'generation'>,
  partKey: string,
): string {
  const { venue, job, generation } = receipt
  return `${stagingFolder(venue, job, generation)}${partKey.slice(processed(venue).length)}.staged`
}

/** Whether its parts replace others, and so wait in staging until those are gone. */
export function isStagedFirst({ generation, supersedes }: Receipt): boolean {
  return generation > 1 || supersedes !== undefined
}

/**
 * Where a committed part lies now: at its own key, or still staged; undefined when it is in neither place
 * (a later generation took over, or it was lost).
 */
export async function partLocation(
  store: ObjectStore,
  receipt: Receipt,
  part: ReceiptPart,
): Promise<string | undefined> {
  if ((await store.head(part.key)) !== undefined) return part.key
  if (!isStagedFirst(receipt)) return undefined
  const staged = stagedPartKey(receipt, part.key)
  if ((await store.head(staged)) !== undefined) return staged
  // It may have moved between the two looks; it moves in one direction only.
  return (await store.head(part.key)) === undefined ? undefined : part.key
}

const looksAtOnce = 16

/**
 * Whether every part of a receipt is there, staged or in place, with the size that was committed.
 *
 * @param certain keys that need no look
 */
export async function arePartsThere(
  store: ObjectStore,
  receipt: Receipt,
  certain: ReadonlySet<string> = new Set(),
): Promise<boolean> {
  let areThere = true
  const doubtful = receipt.parts.filter(({ key }) => !certain.has(key))
  await forEachAtOnce(doubtful, looksAtOnce, async (part) => {
    if (!areThere) return
    const inPlace = await store.head(part.key)
    if (inPlace?.sizeBytes === part.size_bytes) return
    const key = inPlace === undefined ? await partLocation(store, receipt, part) : undefined
    if (key === undefined || (await store.head(key))?.sizeBytes !== part.size_bytes) areThere = false
  })
  return areThere
}
