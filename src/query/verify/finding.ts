/** What `mdv verify` says of one thing: where it is, what is wrong, what to do. */

export interface Finding {
  /** Only `error` changes the exit code: data is missing, doubled or damaged. A `warning` is untidy, not wrong. */
  readonly severity: 'error' | 'warning'
  readonly kind: FindingKind
  /** A key, a job or a recorder. */
  readonly where: string
  readonly message: string
  readonly remedy: string
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

/** The way back where the raw bytes are kept, and the honest answer where they are not. */
export function reconvertRemedy(hasRaw: boolean): string {
  return hasRaw
    ? 'its raw segment is archived: "mdv etl --once --from-archive" converts it again'
    : 'restore it from a backup: its raw bytes were deleted after conversion'
}
