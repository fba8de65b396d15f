/** The JSON object that commits a job: its shape. Reading and writing it is receipts.ts. No I/O. */

import type { NumberType, TableName } from '../dataset/names.ts'

export type { NumberType, TableName }

/** One generation of one job. */
export interface Committed {
  readonly job: string
  readonly generation: number
}

export const tableNames: readonly TableName[] = ['ticker', 'level2', 'market_trades', 'other']

/** One segment that a job converted. A receipt licenses deletion only of raw bytes whose `file_sha256` it names. */
export interface ReceiptSource {
  /** Where it lay when it was converted: `raw/ready/…` or `raw/archive/…`. */
  readonly key: string
  readonly label: string
  readonly recorder: string
  readonly first_n: number
  /** null in a segment without lines. */
  readonly last_n: number | null
  readonly lines: number
  /** Of the whole file as it lay in ready, seal line included, uncompressed. */
  readonly size_bytes: number
  readonly file_sha256: string
  /** The seal's own digest of the bytes before it: the next segment's `prev`. null for adopted segments without a seal, and for repaired ones. */
  readonly seal_sha256: string | null
  /** What the seal says and the bytes do not, where they differ: then the receipt licenses no deletion. */
  readonly seal_problem?: string
  readonly first_recv_ns: string | null
  readonly last_recv_ns: string | null
}

/** One Parquet file of a job. */
export interface ReceiptPart {
  readonly key: string
  readonly table: TableName
  /** null for `product_id=_none`. */
  readonly product_id: string | null
  readonly date: string
  readonly rows: number
  readonly size_bytes: number
  readonly sha256: string
  /** Least and greatest exchange_ns of its rows (recv_ns where a row has none), epoch ns as text: what readers prune by. */
  readonly min_time_ns: string
  readonly max_time_ns: string
}

export interface ReceiptLines {
  /** All lines with a counter: frames + events + rejected. */
  readonly total: number
  readonly frames: number
  readonly events: number
  readonly rejected: number
}

export interface Receipt {
  readonly format: 1
  readonly job: string
  /** k supersedes k-1. */
  readonly generation: number
  readonly venue: string
  readonly software: string
  readonly number_type: NumberType
  readonly sources: readonly ReceiptSource[]
  readonly parts: readonly ReceiptPart[]
  readonly lines: ReceiptLines
  /** The object under raw/rejected/ with the rejected lines; null when there are none. */
  readonly rejects_key: string | null
  /** A merge: the committed generations whose rows its parts hold, and which count no more. */
  readonly supersedes?: readonly Committed[]
  /** A merge: where rejected lines of its sources are kept, and how many. */
  readonly rejects?: readonly { readonly key: string; readonly lines: number }[]
  /** Random, one a worker process: tells our own write, whose answer was lost, from another's. */
  readonly writer: string
  readonly committed_ms: number
}
