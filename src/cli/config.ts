/** The effective configuration as plain values. How it is read: config-load.ts; every key with its words: options.ts. */

import type { Place, S3Place } from '../storage/place.ts'

export interface Config {
  readonly coinbase: CoinbaseConfig
  readonly ingestion: IngestionConfig
  readonly etl: EtlConfig
  readonly storage: StorageConfig
  readonly cost: CostConfig
}

export interface CoinbaseConfig {
  readonly ws_url: string
  readonly rest_url: string
  readonly product_ids: readonly string[] | 'all'
  readonly channels: readonly string[]
  /** CDP key name; null for public access. */
  readonly api_key: string | null
  /** File with the key's EC private key in PEM; never the secret itself. */
  readonly api_secret_file: string | null
}

export interface IngestionConfig {
  /** Kept for configurations that have it; frames are flushed by time and bytes. */
  readonly batch_size: number
  readonly flush_interval_seconds: number
  readonly enable_fsync: boolean
  readonly segment_max_mb: number
  readonly segment_max_seconds: number
  readonly queue_max_mb: number
  /** Absolute; of use with S3 storage only. */
  readonly spool_dir: string
  readonly spool_max_gb: number
}

export interface EtlConfig {
  readonly poll_interval_seconds: number
  readonly compression: 'zstd' | 'snappy' | 'none'
  readonly delete_after_processing: boolean
  readonly number_type: 'decimal' | 'double'
  readonly memory_limit_mb: number
  /** Keep raw segments, compressed, under raw/archive after conversion. */
  readonly archive: boolean
  /** null: for ever. */
  readonly archive_max_days: number | null
  readonly archive_max_gb: number | null
  /** `mdv run` has a process that merges. */
  readonly compact: boolean
  readonly batch_max_segments: number
  readonly batch_max_mb: number
  readonly batch_wait_seconds: number
  readonly compact_max_mb: number
}

/** US dollars. */
export interface CostConfig {
  readonly storage_gb_month: number
  readonly put_per_1000: number
  readonly get_per_1000: number
}

export interface StorageConfig {
  /** Where recorders leave sealed segments. */
  readonly ingestion: Place
  /** raw/ as conversion and questions see it. */
  readonly raw: Place
  /** processed/: Parquet, receipts and bindings. */
  readonly processed: Place
  /** For buckets that a command line names: storage.s3.*, whatever the backend. */
  readonly s3: Omit<S3Place, 'backend' | 'bucket' | 'prefix'>
  /** Absolute: copies of immutable objects of a bucket, and scratch space for it. */
  readonly cache_dir: string
  readonly cache_max_gb: number
}

/** The folder of this machine in which frames become durable first. */
export function recordingFolder({ storage, ingestion }: Config): string {
  return storage.ingestion.backend === 'local' ? storage.ingestion.baseDir : ingestion.spool_dir
}
