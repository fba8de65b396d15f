/** After the commit: parts are looked at once more, and only then raw bytes go that the receipt names by digest. */

import { VaultError } from '../core/errors.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import type { Receipt, ReceiptSource } from '../table/receipt.ts'
import { archiveRaw, type RawSegment } from './archive.ts'
import { isWhole, partsNow } from './evidence.ts'
import type { Claim } from './job-claim.ts'
import type { Committed, JobDeps } from './job-commit.ts'
import { sha256OfObject } from './publish.ts'
import { finishSwap } from './swap.ts'

export interface FinishOptions {
  /** false: raw segments stay in raw/ready. */
  readonly deleteRaw: boolean
  /** Keep them under raw/archive before they are deleted. */
  readonly archive: boolean
}

/**
 * What remains to be done once a receipt is there, by whomever it was committed; each step may be done already.
 *
 * @param raws its segments in raw/ready; those of its sources that lie elsewhere stay
 * @param fresh what has just been read and put under the same claim; null when nothing was
 * @returns `parts_missing`: a part is not there as committed; no raw bytes were deleted
 * @throws {VaultError} `held` when the claim was lost, `corrupt` when raw bytes are not those converted
 */
export async function finishJob(
  deps: JobDeps,
  claim: Claim,
  receipt: Receipt,
  raws: readonly RawSegment[],
  fresh: Committed | null,
  options: FinishOptions,
): Promise<'done' | 'parts_missing'> {
  // A commit in flight runs to its end.
  const { signal } = new AbortController()
  // A crash from here on leaves the receipt, and whoever comes next does the rest.
  if (!(await finishSwap(deps, claim, receipt, signal, certainParts(deps.store, receipt, fresh))))
    return 'parts_missing'
  if (!options.deleteRaw) return 'done'
  // Time has passed since it was committed: raw bytes are what its parts could be made from again, and go for whole ones only.
  if (fresh === null && raws.length > 0 && !(await partsNow(deps.store, receipt, signal)).every(isWhole))
    return 'parts_missing'
  for (const raw of raws) {
    const known = fresh?.sources.find(({ key }) => key === raw.key)?.fileSha256
    const source = await namedSource(deps, receipt, raw, known, signal)
    // Its rows are committed, but the recorder sealed other bytes: what became of them can only be told while these are here.
    if (source === undefined || source.seal_problem !== undefined) continue
    if (options.archive) {
      claim.assertCurrent()
      await archiveRaw(deps.store, deps.scratchDir, raw, source, signal)
    }
    claim.assertCurrent()
    await deps.store.delete(raw.key)
  }
  return 'done'
}

/**
 * Parts that need no second look, where one costs a request each: the store said, having checked their digest, that it made them under the
 * claim that still holds, so that no other worker can have removed them. Files are looked at in any case.
 */
function certainParts(store: ObjectStore, receipt: Receipt, fresh: Committed | null): ReadonlySet<string> {
  const isFar = receipt.parts.every(({ key }) => store.fileOf(key) === undefined)
  return isFar && fresh !== null && receipt.generation === 1 ? fresh.created : new Set()
}

/** The receipt's word on exactly these bytes; undefined when they are gone already. */
async function namedSource(
  deps: JobDeps,
  receipt: Receipt,
  raw: RawSegment,
  knownSha256: string | undefined,
  signal: AbortSignal,
): Promise<ReceiptSource | undefined> {
  const sha256 = knownSha256 ?? (await sha256OfObject(deps.store, raw.key, signal))
  if (sha256 === undefined) return undefined
  const source = receipt.sources.find((each) => each.file_sha256 === sha256)
  if (source !== undefined) return source
  throw new VaultError(
    'corrupt',
    `${raw.key}: sha256 ${sha256.slice(0, 12)}… is not what job ${receipt.job} converted; it is left alone`,
    {
      remedy:
        'it bears the identity of a converted segment and other bytes: compare them, and move it out of raw/ready',
    },
  )
}
