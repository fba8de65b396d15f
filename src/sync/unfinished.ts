/** Uploads in parts that a sync began and did not live to finish: invisible, on the bill, and found again only by asking. */

import type { Clock } from '../core/clock.ts'
import { VaultError } from '../core/errors.ts'
import { isUploadLister, type SyncEnd } from './end.ts'

/** Another sync's upload of one object may be under way for long on a slow line. */
const abandonedAfterMs = 24 * 3600 * 1000

/**
 * Aborts uploads below `prefixes` of the target that were begun a day ago or earlier. Asked once by each run: what fails in a run is
 * aborted by that run.
 *
 * @returns how many; 0 also where the server does not tell of them, or not these credentials (`mdv doctor` says so)
 * @throws {VaultError} `unavailable`
 */
export async function removeUnfinished(
  target: SyncEnd,
  prefixes: readonly string[],
  clock: Clock,
  signal: AbortSignal,
): Promise<number> {
  let removed = 0
  for (const prefix of prefixes) {
    const { store } = target.layer(prefix)
    if (!isUploadLister(store)) continue
    try {
      for (const upload of await store.staleUploads(prefix, clock.nowMs() - abandonedAfterMs, signal)) {
        await store.abortUpload(upload)
        removed++
      }
    } catch (error) {
      if (!(error instanceof VaultError) || error.kind !== 'preflight') throw error
    }
  }
  return removed
}
