/** What one conversion takes and gives: the border between turning segments into Parquet and making that count. No I/O. */

import type { NumberType, ReceiptLines, TableName } from '../table/receipt.ts'

/** A whole sealed segment. */
export interface ConvertSource {
  /** Where it lies in the vault: `raw/ready/…` or `raw/archive/…`. */
  readonly key: string
  readonly label: string
  /** Absolute path of it as a local file, once it is here; it stays until the conversion has ended. */
  file(signal: AbortSignal): Promise<string>
}

/** What decides the bytes of the parts, and where they are written. */
export interface ConvertPlan {
  readonly scratchDir: string
  readonly venue: string
  readonly job: string
  readonly planGeneration: number
  /** Stands in each part's name. */
  readonly partDigits: string
  /** Called with parts as soon as they are finished, each once: their files are the callee's to take away. */
  onParts(parts: readonly ConvertedPart[]): void
}

export interface ConvertedPart {
  readonly table: TableName
  /** null for `product_id=_none`. */
  readonly productId: string | null
  readonly date: string
  /** A finished file in `scratchDir`. */
  readonly path: string
  readonly rows: number
  readonly sizeBytes: number
  readonly sha256: string
  readonly minTimeNs: bigint
  readonly maxTimeNs: bigint
  /** From 1, in a segment that was converted in slices; null when the partition has this part only. */
  readonly slice: number | null
}

/** What one of the segments turned out to be. */
export interface ConvertedSource {
  readonly key: string
  readonly label: string
  readonly recorder: string
  readonly firstN: number
  /** null in a segment without lines. */
  readonly lastN: number | null
  readonly firstRecvNs: bigint | null
  readonly lastRecvNs: bigint | null
  /** Of the whole file, seal line included. */
  readonly fileSha256: string
  readonly sizeBytes: number
  readonly sealSha256: string | null
  /** What differs between the seal and the bytes before it; null when they agree or there is no seal. */
  readonly sealProblem: string | null
  readonly lines: number
}

export interface Conversion {
  /** As many as were given, in their order. */
  readonly sources: readonly ConvertedSource[]
  /** Of all sources. */
  readonly lines: ReceiptLines
  /** All that `onParts` was told. */
  readonly parts: readonly ConvertedPart[]
  /** The rejected lines as they are kept, one JSON object a line, in `scratchDir`; null when there are none. */
  readonly rejectsPath: string | null
}

/**
 * The one dependency of a job that knows tables: DuckDB behind it, loaded when first called.
 *
 * @param sources of one recorder, each beginning with the counter after the last of the one before
 */
export type Convert = (
  sources: readonly ConvertSource[],
  plan: ConvertPlan,
  signal: AbortSignal,
) => Promise<Conversion>

/** What beside the segment's bytes decides the bytes of its parts; a change of it is a new plan. */
export interface ConvertSettings {
  /** `mdv 0.1.0` and what it stands on: `mdv 0.1.0 duckdb 1.5.6`. */
  readonly software: string
  readonly numberType: NumberType
  readonly compression: 'zstd' | 'snappy' | 'none'
}
