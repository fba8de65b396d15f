/** What lies in processed/ without a receipt that names it, and jobs that were begun and have nothing to show. */

import { listAll, type ObjectInfo, type ObjectStore } from '../../storage/object-store.ts'
import { jobsPrefix, processed } from '../../storage/keys.ts'
import type { Receipt } from '../../table/receipt.ts'
import { tableNames } from '../../table/receipt.ts'
import { error, warning, type Finding } from './finding.ts'
import type { SegmentEntry } from '../segments.ts'

/** What is listed before receipts are read, so that a job committed in between is not taken for a stray. */
export interface StrayListing {
  readonly files: readonly ObjectInfo[]
  readonly bindings: readonly ObjectInfo[]
}

export async function listStrays(
  store: ObjectStore,
  venue: string,
  signal: AbortSignal,
): Promise<StrayListing> {
  const files: ObjectInfo[][] = []
  for (const table of tableNames) files.push(await listAll(store, `${processed(venue)}${table}/`, signal))
  return { files: files.flat(), bindings: await listAll(store, jobsPrefix(venue), signal) }
}

export function checkStrays(
  listing: StrayListing,
  receipts: readonly Receipt[],
  segments: readonly SegmentEntry[],
): Finding[] {
  const named = new Set(receipts.flatMap((receipt) => receipt.parts.map((part) => part.key)))
  const strays = listing.files
    .filter((file) => !named.has(file.key))
    .map((file) =>
      warning(
        'part_without_receipt',
        file.key,
        'no receipt names it: mdv does not read it, a plain glob does',
        'an ETL at work or one that died leaves such parts; "mdv etl --once" removes its own, anything else is yours',
      ),
    )
  return [...strays, ...lostJobs(listing.bindings, receipts, segments)]
}

/** A bound segment has its bytes in raw/ or a receipt. With neither, the receipt was removed after the bytes were. */
function lostJobs(
  bindings: readonly ObjectInfo[],
  receipts: readonly Receipt[],
  segments: readonly SegmentEntry[],
): Finding[] {
  const known = new Set<string>()
  for (const receipt of receipts)
    for (const source of receipt.sources) known.add(`${source.recorder}_${source.first_n}`)
  for (const segment of segments)
    if (segment.header !== null) known.add(`${segment.header.recorder}_${segment.header.n}`)
  return bindings.flatMap((binding) => {
    const identity = /\/([a-z2-7]{10}_\d+)(?:\.g\d+)?\.json$/.exec(binding.key)?.[1]
    if (identity === undefined || known.has(identity)) return []
    return [
      error(
        'receipt_missing',
        binding.key,
        'this segment was given to a job, its raw bytes are gone, and no receipt says what became of it',
        'restore the receipt into _receipts from a backup; its parts may still be there (see warnings)',
      ),
    ]
  })
}
