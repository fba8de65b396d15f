/** What a sync says of itself: each object that needs a word, counts, and how far it is. Plain values. */

export type SyncEvent =
  | {
      readonly kind: 'copied' | 'would_copy' | 'deleted' | 'would_delete'
      readonly key: string
      readonly sizeBytes: number
    }
  /** `conflict`: another object lies there · `failed`: tried several times · `held_back`: a receipt whose data is not all there ·
   * `kept`: would have been deleted, and a receipt still names it. */
  | { readonly kind: Problem; readonly key: string; readonly detail: string }

export type Problem = 'conflict' | 'failed' | 'held_back' | 'kept'

export interface SyncReport {
  event(event: SyncEvent): void
}

/** Counts of one round. */
export class Tally {
  /** Begun by earlier runs that died, and aborted by this one. */
  uploadsRemoved = 0
  copied = 0
  copiedBytes = 0
  /** There already, with the same size (with --check: and bytes). */
  skipped = 0
  /** Left alone by --include and --exclude. */
  unselected = 0
  conflicts = 0
  failed = 0
  heldBack = 0
  /** Gone from the source between listing and copying. */
  vanished = 0
  /** Growing segments: they are copied once they are sealed. */
  active = 0
  deleted = 0
  deletedBytes = 0
  /** Not deleted, because a receipt at the target names them and the source has lost them. */
  kept = 0
  /** Deletions that wait for the next round: their list would have been too long. */
  deletionsLeft = 0
  /** Missing at the target so far as listings came; all of them once `isListed`. */
  found = 0
  foundBytes = 0
  isListed = false
}

/** What each problem is counted as. */
export const tallyOf = {
  conflict: 'conflicts',
  failed: 'failed',
  held_back: 'heldBack',
  kept: 'kept',
} as const
