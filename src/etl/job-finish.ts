/** After the commit: parts are looked at once more, and only then raw bytes go that the receipt names by digest. */

import { VaultError } from '../core/errors.ts'
import type { Receipt } from '../table/receipt.ts'
import { archiveRaw, type RawSegment } from './archive.ts'
import type { Claim } from './job-claim.ts'
import { sha256OfObject, type JobDeps } from './job-commit.ts'
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
 * @param raw the segment in raw/ready; null when its source lies elsewhere and stays
 * @param knownSha256 of the raw bytes, when they have just been read
 * @returns `parts_missing`: a part is not there as committed; nothing was deleted
 * @throws {VaultError} `held` when the claim was lost, `corrupt` when the raw bytes are not those converted
 */
export async function finishJob(
  deps: JobDeps,
  claim: Claim,
  receipt: Receipt,
  raw: RawSegment | null,
  knownSha256: string | null,
  options: FinishOptions,
): Promise<'done' | 'parts_missing'> {
  // A commit in flight runs to its end.
  const { signal } = new AbortController()
  // A crash from here on leaves the receipt, and whoever comes next does the rest.
  if (!(await finishSwap(deps, claim, receipt, signal))) return 'parts_missing'
  if (raw === null || !options.deleteRaw) return 'done'
  const source = await namedSource(deps, receipt, raw, knownSha256, signal)
  // Its rows are committed, but the recorder sealed other bytes: what became of them can only be told while these are here.
  if (source === undefined || source.seal_problem !== undefined) return 'done'
  if (options.archive) {
    claim.assertCurrent()
    await archiveRaw(deps.store, deps.scratchDir, raw, source, signal)
  }
  claim.assertCurrent()
  await deps.store.delete(raw.key)
  return 'done'
}

/** The receipt's word on exactly these bytes; undefined when they are gone already. */
async function namedSource(
  deps: JobDeps,
  receipt: Receipt,
  raw: RawSegment,
  knownSha256: string | null,
  signal: AbortSignal,
) {
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
