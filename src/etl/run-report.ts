/** What a round of conversion tells while it runs, and its sums at the end. */

import type { Receipt, TableName } from '../table/receipt.ts'
import type { ForeignFile } from './plan.ts'

export type EtlEvent =
  | {
      readonly kind: 'converted' | 'finished'
      readonly label: string
      readonly receipt: Receipt
      readonly sizeBytes: number
      readonly elapsedMs: number
    }
  | { readonly kind: 'held'; readonly label: string; readonly by: string | null }
  | {
      readonly kind: 'failed'
      readonly label: string
      readonly error: unknown
      readonly retryMs: number | null
    }
  | { readonly kind: 'foreign'; readonly file: ForeignFile }
  | { readonly kind: 'foreign_part' | 'orphan_removed' | 'archive_removed'; readonly key: string }
  | { readonly kind: 'swap_finished'; readonly job: string }

export interface EtlProgress {
  readonly label: string
  readonly doneSegments: number
  readonly totalSegments: number
  readonly doneBytes: number
  readonly totalBytes: number
  readonly elapsedMs: number
}

export interface EtlReport {
  onEvent(event: EtlEvent): void
  /** Before each segment and after the last. */
  onProgress(progress: EtlProgress): void
}

export interface EtlSummary {
  /** Committed in this round. */
  readonly segments: number
  /** Committed before, or by another worker; cleaned up in this round. */
  readonly finished: number
  readonly held: number
  readonly failed: number
  readonly foreign: number
  readonly lines: number
  readonly rejected: number
  readonly rows: Readonly<Record<TableName, number>>
  readonly parts: number
  readonly bytesIn: number
  readonly bytesOut: number
  readonly elapsedMs: number
  /** A signal ended it before all was done. */
  readonly isStopped: boolean
}
