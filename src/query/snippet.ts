/**
 * Code to paste into other programs that read the Parquet of a vault as it lies, by glob: they know nothing of receipts. Names where
 * credentials come from, never a credential. Pure.
 */

import { unreachable } from '../core/assert.ts'
import { VaultError } from '../core/errors.ts'
import { tableColumns } from '../dataset/tables.ts'
import { processed } from '../storage/keys.ts'
import { placeName, type Place, type S3Place } from '../storage/place.ts'
import { tableNames, type NumberType } from '../table/receipt.ts'
import { sqlText } from './views.ts'

export const snippetKinds = ['duckdb', 'polars', 'pandas', 'athena'] as const

export type SnippetKind = (typeof snippetKinds)[number]

/**
 * @param place of processed/
 * @param region what the environment says, for a place that says none
 * @throws {VaultError} `usage` for Athena on a local folder
 */
export function snippet(
  kind: SnippetKind,
  place: Place,
  region: string | null,
  venue: string,
  numberType: NumberType,
): string {
  const root = `${placeName(place).replaceAll('\\', '/')}/${processed(venue)}`.replace(/\/$/, '')
  const s3 = place.backend === 's3' ? { ...place, region: place.region ?? region } : null
  switch (kind) {
    case 'duckdb':
      return duckdbSnippet(root, s3)
    case 'polars':
      return polarsSnippet(root, s3)
    case 'pandas':
      return pandasSnippet(root, s3)
    case 'athena':
      if (s3 !== null) return athenaSnippet(root, venue, numberType)
      throw new VaultError('usage', 'Athena reads S3 only, and this vault lies in a local folder', {
        remedy: 'one of duckdb, polars, pandas; or "mdv sync" the vault to a bucket',
      })
    default:
      return unreachable(kind)
  }
}

/** Two levels of folders, product and date: `_staging` and `_receipts` lie beside the tables and are not matched. */
const files = '*/*/*.parquet'

const credentialsFrom =
  'credentials: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY (AWS_SESSION_TOKEN), a profile or a role'

function duckdbSnippet(root: string, s3: S3Place | null): string {
  const views = tableNames.map(
    (table) => `CREATE OR REPLACE VIEW ${table} AS
  SELECT *, make_timestamptz(recv_ns // 1000) AS recv_time
  FROM read_parquet(${sqlText(`${root}/${table}/${files}`)}, union_by_name = true,
    hive_partitioning = true, hive_types = {'product_id': VARCHAR, 'date': VARCHAR});`,
  )
  return [
    ...(s3 === null ? [] : [duckdbSecret(s3)]),
    '-- a table without rows yet has no files: leave its view out',
    ...views,
    `FROM level2 WHERE product_id = 'BTC-USD' LIMIT 10;`,
    '',
  ].join('\n')
}

function duckdbSecret(s3: S3Place): string {
  const endpoint = s3.endpointUrl === null ? null : new URL(s3.endpointUrl)
  const path = endpoint === null ? '' : endpoint.pathname.replace(/\/$/, '')
  const settings = [
    'TYPE s3',
    'PROVIDER credential_chain',
    `SCOPE ${sqlText(`${placeName(s3)}/`)}`,
    ...(s3.region === null ? [] : [`REGION ${sqlText(s3.region)}`]),
    ...(endpoint === null ? [] : [`ENDPOINT ${sqlText(endpoint.host + path)}`]),
    ...(endpoint?.protocol === 'http:' ? ['USE_SSL false'] : []),
    ...(s3.forcePathStyle ? [`URL_STYLE 'path'`] : []),
  ]
  return `-- ${credentialsFrom}
INSTALL httpfs; INSTALL aws; LOAD httpfs; LOAD aws;
CREATE OR REPLACE SECRET mdv (${settings.join(', ')});`
}

function polarsSnippet(root: string, s3: S3Place | null): string {
  const options: Record<string, string> = {}
  if (s3?.region != null) options['aws_region'] = s3.region
  if (s3?.endpointUrl != null) options['aws_endpoint_url'] = s3.endpointUrl
  if (s3?.endpointUrl?.startsWith('http:') === true) options['aws_allow_http'] = 'true'
  if (s3 !== null) options['aws_virtual_hosted_style_request'] = String(!s3.forcePathStyle)
  return `import polars as pl

root = ${python(root)}
${s3 === null ? '' : `# ${credentialsFrom}\n`}storage_options = ${s3 === null ? 'None' : pythonDict(options)}


def scan(table):
    """ticker, level2, market_trades or other"""
    return pl.scan_parquet(
        f"{root}/{table}/${files}",
        hive_partitioning=True,
        hive_schema={"product_id": pl.String, "date": pl.String},
        storage_options=storage_options,
    )


print(scan("level2").filter(pl.col("product_id") == "BTC-USD").head(10).collect())
`
}

function pandasSnippet(root: string, s3: S3Place | null): string {
  const where = s3 === null ? root : root.slice('s3://'.length)
  return `import pyarrow as pa
import pyarrow.dataset as ds
from pyarrow import fs

root = ${python(where)}
${s3 === null ? 'filesystem = fs.LocalFileSystem()' : `# ${credentialsFrom}\nfilesystem = fs.S3FileSystem(${arrowArguments(s3).join(', ')})`}
partitions = ds.partitioning(pa.schema([("product_id", pa.string()), ("date", pa.string())]), flavor="hive")


def read(table, where=None, columns=None):
    """ticker, level2, market_trades or other, as a DataFrame of pandas; \`where\`: an expression of ds.field()"""
    dataset = ds.dataset(f"{root}/{table}", filesystem=filesystem, format="parquet", partitioning=partitions)
    return dataset.to_table(filter=where, columns=columns).to_pandas()


print(read("level2", where=ds.field("product_id") == "BTC-USD").head(10))
`
}

function arrowArguments(s3: S3Place): string[] {
  const endpoint = s3.endpointUrl === null ? null : new URL(s3.endpointUrl)
  return [
    ...(s3.region === null ? [] : [`region=${python(s3.region)}`]),
    ...(endpoint === null
      ? []
      : [
          `endpoint_override=${python(endpoint.host + endpoint.pathname.replace(/\/$/, ''))}`,
          `scheme=${python(endpoint.protocol.replace(':', ''))}`,
        ]),
    ...(endpoint === null || s3.forcePathStyle ? [] : ['force_virtual_addressing=True']),
  ]
}

const athenaTypes: Readonly<Record<string, string>> = {
  VARCHAR: 'string',
  'TIMESTAMP WITH TIME ZONE': 'timestamp',
  INTEGER: 'int',
}

/** Partitions are computed from the question: nothing has to be added as days pass. It has to name product and date. */
function athenaSnippet(root: string, venue: string, numberType: NumberType): string {
  const tables = tableNames.map((table) => {
    const columns = tableColumns(table, numberType).map(
      ({ name, type }) => `  \`${name}\` ${athenaTypes[type] ?? type.toLowerCase()}`,
    )
    return `CREATE EXTERNAL TABLE \`${venue}_${table}\` (
${columns.join(',\n')}
)
PARTITIONED BY (\`product_id\` string, \`date\` string)
STORED AS PARQUET
LOCATION '${root}/${table}/'
TBLPROPERTIES (
  'projection.enabled' = 'true',
  'projection.product_id.type' = 'injected',
  'projection.date.type' = 'date',
  'projection.date.format' = 'yyyy-MM-dd',
  'projection.date.range' = '2015-01-01,NOW',
  'storage.location.template' = '${root}/${table}/product_id=\${product_id}/date=\${date}/'
);`
  })
  return `-- run one statement at a time; each question names its products: WHERE product_id = 'BTC-USD' AND "date" >= '2025-12-03'
${tables.join('\n\n')}
`
}

/** JSON's escapes are Python's too. */
function python(text: string): string {
  return JSON.stringify(text)
}

function pythonDict(values: Readonly<Record<string, string>>): string {
  const entries = Object.entries(values).map(([name, value]) => `    ${python(name)}: ${python(value)},\n`)
  return entries.length === 0 ? '{}' : `{\n${entries.join('')}}`
}
