/**
 * The one table of configuration: path in the file, kind, default, meaning. Flags, environment variables, help, the JSON
 * Schema, `mdv config show` and docs/configuration.md all come from it.
 */

import { coinbase } from '../venue/coinbase.ts'
import type { OptionValue, ValueType } from './option-value.ts'

export type Section = 'coinbase' | 'ingestion' | 'etl' | 'storage' | 'cost'

export const sections: readonly Section[] = ['coinbase', 'ingestion', 'etl', 'storage', 'cost']

export interface OptionSpec {
  /** `storage.s3.bucket`: keys of the file from the outermost in. */
  readonly path: string
  readonly type: ValueType
  /** null: not set. */
  readonly default: OptionValue
  readonly doc: string
  /** `--segment-max-mb`; null: only file and environment, as for secrets: other users of the machine can read flags. */
  readonly flag: string | null
}

export const channelNames: readonly string[] = [...coinbase.channels, coinbase.keepAliveChannel]

type Row = readonly [path: string, type: ValueType, defaultValue: OptionValue, doc: string, mark?: 'no flag']

const text: ValueType = { kind: 'text' }
const secret: ValueType = { kind: 'secret' }
const path: ValueType = { kind: 'path' }
const boolean: ValueType = { kind: 'boolean' }
const whole = (unit: string, min: number, max: number): ValueType => ({ kind: 'integer', unit, min, max })
const decimal = (unit: string, min: number, max: number): ValueType => ({ kind: 'number', unit, min, max })
const choice = (...of: string[]): ValueType => ({ kind: 'choice', of })
const url = (...protocols: string[]): ValueType => ({ kind: 'url', protocols })

const coinbaseRows: readonly Row[] = [
  [
    'coinbase.ws_url',
    url('wss', 'ws'),
    'wss://advanced-trade-ws.coinbase.com',
    'WebSocket endpoint of the market data feed',
  ],
  [
    'coinbase.rest_url',
    url('https', 'http'),
    'https://api.coinbase.com',
    'REST endpoint for the list of products',
  ],
  [
    'coinbase.product_ids',
    { kind: 'products' },
    ['BTC-USD', 'ETH-USD'],
    'what to record: a list of product ids, or all (new listings are picked up)',
  ],
  [
    'coinbase.channels',
    { kind: 'list', of: channelNames, item: 'channel' },
    ['ticker', 'level2', 'market_trades'],
    `what to subscribe: ${channelNames.join(', ')} (heartbeats always)`,
  ],
  ['coinbase.api_key', text, null, 'CDP key name; public data needs none'],
  ['coinbase.api_secret_file', path, null, "file with the key's EC private key in PEM"],
]

const ingestionRows: readonly Row[] = [
  [
    'ingestion.batch_size',
    whole('frames', 1, 1_000_000),
    100,
    'kept for configurations that have it; frames are flushed by time and bytes',
  ],
  [
    'ingestion.flush_interval_seconds',
    decimal('seconds', 0.01, 300),
    0.2,
    'longest time a received frame waits for fsync (also flushed at each MiB)',
  ],
  [
    'ingestion.enable_fsync',
    boolean,
    true,
    'without it slow disks keep up, and a power loss takes what the system had not written yet',
  ],
  ['ingestion.segment_max_mb', decimal('MB', 0.01, 5000), 100, 'a segment is sealed at this size'],
  [
    'ingestion.segment_max_seconds',
    decimal('seconds', 1, 3600),
    300,
    'a segment is sealed at this age (and at each UTC hour), so that it can be converted',
  ],
  [
    'ingestion.queue_max_mb',
    whole('MB', 1, 65_536),
    256,
    'received frames that wait for the disk; past it the connection is hung up and a gap recorded',
  ],
  [
    'ingestion.spool_dir',
    path,
    './spool',
    'with S3: the local folder in which frames are durable first; keep it on a disk that outlives the process',
  ],
  [
    'ingestion.spool_max_gb',
    decimal('GB', 0.01, 1_000_000),
    50,
    'with S3: what an outage may pile up in the spool; past it new frames are dropped and recorded as a gap',
  ],
]

const etlRows: readonly Row[] = [
  [
    'etl.poll_interval_seconds',
    decimal('seconds', 0.1, 86_400),
    30,
    'how often mdv etl --watch looks for sealed segments',
  ],
  ['etl.compression', choice('zstd', 'snappy', 'none'), 'zstd', 'compression of Parquet files'],
  [
    'etl.delete_after_processing',
    boolean,
    true,
    'remove a raw segment once its rows are committed and looked at again',
  ],
  [
    'etl.number_type',
    choice('decimal', 'double'),
    'decimal',
    'prices and sizes: exact DECIMAL(38,18), or DOUBLE with the source text beside it',
  ],
  [
    'etl.memory_limit_mb',
    whole('MB', 256, 1_048_576),
    600,
    'memory a conversion may use, whatever the size of a segment',
  ],
  [
    'etl.batch_max_segments',
    whole('segments', 1, 1000),
    16,
    'segments of one recorder that may be converted into one set of parts; 1: each on its own',
  ],
  ['etl.batch_max_mb', whole('MB', 1, 100_000), 1000, 'raw bytes of one batch; a larger segment goes alone'],
  [
    'etl.batch_wait_seconds',
    decimal('seconds', 0, 86_400),
    0,
    'how long mdv etl --watch lets a segment wait for its batch to fill, 900 spares most of the requests to a bucket; 0: convert at once, and batch a backlog only',
  ],
  ['etl.archive', boolean, false, 'keep raw segments, compressed, under raw/archive'],
  [
    'etl.archive_max_days',
    decimal('days', 0.01, 36_500),
    null,
    'remove archived segments older than this, looked at once in a quarter of an hour at most; not set: never',
  ],
  [
    'etl.archive_max_gb',
    decimal('GB', 0.001, 1_000_000),
    null,
    'remove the oldest archived segments above this size, looked at once in a quarter of an hour at most; not set: never',
  ],
]

const compactRows: readonly Row[] = [
  ['etl.compact', boolean, false, 'mdv run also merges hours and days that are over (mdv compact --watch)'],
  [
    'etl.compact_max_mb',
    whole('MB', 1, 1_000_000),
    2000,
    'Parquet that mdv compact merges into one job at most; it needs as much scratch space for its largest product',
  ],
]

const storageRows: readonly Row[] = [
  ['storage.backend', choice('local', 's3'), 'local', 'where data lies'],
  [
    'storage.base_dir',
    path,
    './data',
    "folder of the vault, from the current folder where relative; with s3 the bucket's name, where storage.s3.bucket is not set",
  ],
  ['storage.s3.bucket', text, null, 'bucket name'],
  ['storage.s3.prefix', text, null, 'prefix of all keys in the bucket'],
  [
    'storage.s3.region',
    text,
    null,
    'region; not set: AWS_REGION, AWS_DEFAULT_REGION, or asked of the bucket',
  ],
  ['storage.s3.endpoint_url', url('https', 'http'), null, 'endpoint of an S3-compatible server'],
  ['storage.s3.force_path_style', boolean, false, 'bucket in the path rather than in the host name'],
  [
    'storage.s3.single_writer',
    boolean,
    false,
    'work with a server that ignores conditional writes: safe only while one mdv process writes there at a time',
  ],
  [
    'storage.s3.aws_access_key_id',
    text,
    null,
    'access key; not set: environment, profile, SSO or IAM role',
    'no flag',
  ],
  ['storage.s3.aws_secret_access_key', secret, null, 'secret key', 'no flag'],
  ['storage.s3.aws_session_token', secret, null, 'session token', 'no flag'],
]

/** Of all layers together. */
const cacheRows: readonly Row[] = [
  [
    'storage.cache_dir',
    path,
    null,
    'with S3: folder for copies of what never changes, and scratch space; not set: ~/.cache/mdv',
  ],
  ['storage.cache_max_gb', decimal('GB', 0.1, 1_000_000), 10, 'with S3: what the cache may take'],
]

/** Keys of the same shape as `storage`, each for one layer. */
export const storageLayers = ['ingestion_storage', 'etl_storage_input', 'etl_storage_output'] as const

const layerRows: readonly Row[] = storageLayers.flatMap((layer) =>
  storageRows.map(([storagePath, type, , doc]): Row => [
    storagePath.replace('storage.', `storage.${layer}.`),
    type,
    null,
    `${doc} (for this layer; not set: as storage.${storagePath.slice('storage.'.length)})`,
    'no flag',
  ]),
)

const costRows: readonly Row[] = [
  [
    'cost.storage_gb_month',
    decimal('$', 0, 1000),
    0.023,
    'price of a stored GB a month, as AWS us-east-1 lists it; mdv cost uses these',
  ],
  ['cost.put_per_1000', decimal('$', 0, 1000), 0.005, 'price of 1000 PUT, COPY, POST or LIST requests'],
  ['cost.get_per_1000', decimal('$', 0, 1000), 0.0004, 'price of 1000 GET requests'],
]

export const optionSpecs: readonly OptionSpec[] = [
  ...coinbaseRows,
  ...ingestionRows,
  ...etlRows,
  ...compactRows,
  ...storageRows,
  ...cacheRows,
  ...layerRows,
  ...costRows,
].map(([optionPath, type, defaultValue, doc, mark]) => ({
  path: optionPath,
  type,
  default: defaultValue,
  doc,
  flag: mark === undefined ? flagOf(optionPath) : null,
}))

export function sectionOf(spec: OptionSpec): string {
  return spec.path.slice(0, spec.path.indexOf('.'))
}

/** `MDV_STORAGE_S3_BUCKET`. */
export function envOf(spec: OptionSpec): string {
  return `MDV_${spec.path.replaceAll('.', '_').toUpperCase()}`
}

/** `storage.s3.bucket` → `--s3-bucket`: the path without its section. */
function flagOf(optionPath: string): string {
  return `--${optionPath.slice(optionPath.indexOf('.') + 1).replaceAll(/[._]/g, '-')}`
}

/** `segmentMaxMb`: the name under which the parser keeps a flag's value. */
export function flagKey(flag: string): string {
  return flag.slice(2).replace(/-([a-z0-9])/g, (_, letter: string) => letter.toUpperCase())
}
