/** What `mdv verify` says of one thing: where it is, what is wrong, what to do. */

import type { Receipt } from '../../table/receipt.ts'
import { isMerge } from '../../table/receipts.ts'

export interface Finding {
  /** Only `error` changes the exit code: data is missing, doubled or damaged. A `warning` is untidy, not wrong. */
  readonly severity: 'error' | 'warning'
  readonly kind: FindingKind
  /** A key, a job or a recorder. */
  readonly where: string
  readonly message: string
  readonly remedy: string
  /** The job whose rows it is about, where converting that again puts it right. */
  readonly job?: string
}

export type FindingKind =
  | 'part_missing'
  | 'part_damaged'
  | 'part_rows'
  | 'part_doubled'
  | 'part_without_receipt'
  | 'receipt_damaged'
  | 'receipt_missing'
  | 'receipts_overlap'
  | 'receipt_numbers'
  | 'lines_missing'
  | 'lines_doubled'
  | 'lines_strange'
  | 'rows_doubled'
  | 'rejects_missing'
  | 'rejects_damaged'
  | 'segment_missing'
  | 'segment_damaged'
  | 'segment_newer'
  | 'segment_chain'
  | 'segment_foreign'
  | 'gap_unnamed'
  | 'gap_untrue'
  | 'rebuild_differs'

export function error(kind: FindingKind, where: string, message: string, remedy: string): Finding {
  return { severity: 'error', kind, where, message, remedy }
}

export function warning(kind: FindingKind, where: string, message: string, remedy: string): Finding {
  return { severity: 'warning', kind, where, message, remedy }
}

/** How the findings of one job are put right. */
export interface JobRemedy {
  readonly job: string
  readonly words: string
}

/** @param hasRaw the bytes of all its segments are kept */
export function jobRemedy({ job }: Receipt, hasRaw: boolean): JobRemedy {
  if (hasRaw && !isMerge(job)) return { job, words: `mdv etl --requeue ${job}` }
  const restore = 'move what is damaged out of processed/ and bring it back from a copy: mdv sync COPY VAULT'
  const words = isMerge(job)
    ? `${restore} (a merge is not converted again)`
    : `its raw bytes are gone: ${restore}; or put them back into raw/ready and run "mdv etl --requeue ${job}"`
  return { job, words }
}

/** An error in what a job made. */
export function jobError(kind: FindingKind, where: string, message: string, remedy: JobRemedy): Finding {
  return { ...error(kind, where, message, remedy.words), job: remedy.job }
}
