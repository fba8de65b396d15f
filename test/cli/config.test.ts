/** Configuration: each mistake is one line with its place and the way out; flag outranks variable outranks file outranks default. */

import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { test } from 'node:test'
import { childEnv } from '../../src/cli/child-settings.ts'
import { parseConfig } from '../../src/cli/config-file.ts'
import { loadConfig, type LoadedConfig } from '../../src/cli/config-load.ts'
import { readConfigText } from '../../src/cli/config-read.ts'
import { settingsYaml } from '../../src/cli/config-text.ts'
import { configSchema } from '../../src/cli/config-schema.ts'
import { sections } from '../../src/cli/options.ts'
import { VaultError } from '../../src/core/errors.ts'
import { revealCredentials, type Place } from '../../src/storage/place.ts'

interface Given {
  readonly yaml?: string
  readonly env?: Record<string, string>
  readonly flags?: Record<string, unknown>
}

async function inFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'mdv-config-'))
  try {
    return await use(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

async function load({ yaml, env = {}, flags = {} }: Given): Promise<LoadedConfig> {
  return inFolder(async (folder) => {
    const path = join(folder, 'c.yaml')
    if (yaml !== undefined) writeFileSync(path, yaml)
    const loaded = await loadConfig({
      path: yaml === undefined ? undefined : path,
      readFile: yaml !== undefined,
      env,
      flags,
      sections,
    })
    const settings = loaded.settings.map((setting) => ({
      ...setting,
      origin: setting.origin.replace(path, 'c.yaml'),
    }))
    return { ...loaded, settings }
  })
}

async function refused(given: Given): Promise<VaultError> {
  try {
    await load(given)
  } catch (error) {
    assert.ok(error instanceof VaultError)
    return error
  }
  throw new Error('it was accepted')
}

const mistakes: readonly (readonly [yaml: string, ...lines: string[]])[] = [
  [
    'storage:\n  s3:\n    buckett: x\n',
    'c.yaml:3:5 storage.s3: unknown key "buckett" (did you mean "bucket"?)',
  ],
  ['storge:\n  base_dir: x\n', 'c.yaml:1:1 unknown key "storge" (did you mean "storage"?)'],
  ['base_dir: x\n', 'c.yaml:1:1 unknown key "base_dir" (did you mean "storage.base_dir"?)'],
  ['wholly: 1\n', 'c.yaml:1:1 unknown key "wholly": sections are coinbase, ingestion, etl, storage, cost'],
  [
    'ingestion:\n  segment_max_mb: "100"\n  queue_max_mb: lots\n',
    'c.yaml:2:19 ingestion.segment_max_mb: "100" is not a number of MB (remove the quotes)',
    'c.yaml:3:17 ingestion.queue_max_mb: "lots" is not a whole number of MB',
  ],
  [
    'ingestion:\n  batch_size: 1.5\n',
    'c.yaml:2:15 ingestion.batch_size: 1.5 is not a whole number of frames',
  ],
  [
    'ingestion:\n  segment_max_mb: -1\n',
    'c.yaml:2:19 ingestion.segment_max_mb: -1 is not between 0.01 and 5000 MB',
  ],
  ['ingestion:\n  segment_max_mb: .nan\n', 'c.yaml:2:19 ingestion.segment_max_mb: NaN is not a number of MB'],
  ['ingestion:\n  enable_fsync: maybe\n', 'c.yaml:2:17 ingestion.enable_fsync: "maybe" is not true or false'],
  [
    'etl:\n  compression: zstdd\n',
    'c.yaml:2:16 etl.compression: "zstdd" is not one of zstd, snappy, none (did you mean "zstd"?)',
  ],
  ['storage:\n  base_dir: *folder\n', 'c.yaml:2:13 *folder: nothing is named &folder before it'],
  ['cost: cheap\n', 'c.yaml:1:7 cost: expected keys below it: storage_gb_month, put_per_1000, get_per_1000'],
  ['- coinbase\n', 'c.yaml:1:1 expected the sections coinbase, ingestion, etl, storage, cost'],
  [
    'coinbase:\n  product_ids: [BTC-USD, btc-usd]\n',
    'c.yaml:2:26 coinbase.product_ids: product "btc-usd" is in lower case (did you mean "BTC-USD"?)',
  ],
  [
    'coinbase:\n  product_ids: [BTC/USD]\n',
    'c.yaml:2:17 coinbase.product_ids: "BTC/USD" is not a product id (did you mean "BTC-USD"?)',
  ],
  [
    'coinbase:\n  product_ids:\n    - ../x\n',
    'c.yaml:3:7 coinbase.product_ids: "../x" is not a product id like BTC-USD',
  ],
  [
    'coinbase:\n  product_ids: BTC-USD\n',
    'c.yaml:2:16 coinbase.product_ids: "BTC-USD" is not a list like [BTC-USD, ETH-USD], or all',
  ],
  [
    'coinbase:\n  product_ids: []\n',
    'c.yaml:2:16 coinbase.product_ids: the list is empty: give a list like [BTC-USD, ETH-USD], or all',
  ],
  [
    'coinbase:\n  channels: [ticker, levl2]\n',
    'c.yaml:2:22 coinbase.channels: unknown channel "levl2" (did you mean "level2"?)',
  ],
  [
    'coinbase:\n  ws_url: https://x\n',
    'c.yaml:2:11 coinbase.ws_url: "https://x" is not a URL that begins with wss:// or ws://',
  ],
  [
    'coinbase:\n  rest_url: https://me:pw@x\n',
    'c.yaml:2:13 coinbase.rest_url: the URL for x holds a user name or password: leave them out',
  ],
  ['coinbase:\n  api_key: k\n', 'c.yaml:2:12 coinbase.api_key: needs coinbase.api_secret_file beside it'],
  [
    'coinbase:\n  api_secret_file: k\n',
    'c.yaml:2:20 coinbase.api_secret_file: needs coinbase.api_key beside it',
  ],
  [
    'storage:\n  backend: s3\n  s3: {prefix: a}\n',
    'c.yaml:2:12 storage.backend: s3 needs a bucket: set storage.s3.bucket',
  ],
  [
    'storage:\n  etl_storage_output: {backend: s3}\n',
    'c.yaml:2:33 storage.etl_storage_output.backend: s3 needs a bucket: set storage.s3.bucket',
  ],
  [
    'storage:\n  backend: s3\n  s3: {bucket: a/b}\n',
    'c.yaml:3:16 storage.s3.bucket: "a/b" is no bucket name',
  ],
  [
    'storage:\n  backend: s3\n  s3: {bucket: abc, prefix: a/../b}\n',
    'c.yaml:3:29 storage.s3.prefix: "a/../b" is no prefix: letters, digits and . _ - = / between them',
  ],
  [
    'storage:\n  s3: {aws_access_key_id: a}\n',
    'c.yaml:2:27 storage.s3.aws_access_key_id: needs storage.s3.aws_secret_access_key beside it',
  ],
  ['etl:\n  archive: true\netl:\n  archive: no\n', 'c.yaml:3:1 duplicate key "etl": keep one of them'],
  [
    'etl:\n  archive: true\n---\netl:\n',
    'c.yaml:3:1 a second document begins here: keep one of them, without "---"',
  ],
  ['etl:\n\tarchive: true\n', 'c.yaml:2:1 a tab as indentation: use spaces'],
  [
    'storage:\n  s3: {aws_secret_access_key: [hush]}\n',
    'c.yaml:2:31 storage.s3.aws_secret_access_key: is not text',
  ],
]

for (const [yaml, ...lines] of mistakes)
  test(`a mistake has its line: ${lines[0]!}`, async () => {
    assert.deepEqual(parseProblems(yaml) ?? (await refused({ yaml })).message.split('\n').map(named), lines)
  })

function parseProblems(yaml: string): readonly string[] | undefined {
  const { problems } = parseConfig('c.yaml', yaml)
  return problems.length === 0 ? undefined : problems
}

const named = (line: string): string => line.replace(/^.*c\.yaml/, 'c.yaml')

test('broken YAML is one line with its place', () => {
  const { problems } = parseConfig('c.yaml', 'storage: {base_dir: x\n')
  assert.equal(problems.length, 1)
  assert.match(problems[0]!, /^c\.yaml:\d+:\d+ not valid YAML: /)
})

test('flag outranks variable, variable outranks file, file outranks default; each value knows its origin', async () => {
  const yaml = 'ingestion:\n  segment_max_mb: 1\n  queue_max_mb: 2\n  batch_size: 3\n'
  const env = { MDV_INGESTION_SEGMENT_MAX_MB: '10', MDV_INGESTION_QUEUE_MAX_MB: '20' }
  const { config, settings } = await load({ yaml, env, flags: { segmentMaxMb: '100' } })
  assert.deepEqual(
    [config.ingestion.segment_max_mb, config.ingestion.queue_max_mb, config.ingestion.batch_size],
    [100, 20, 3],
  )
  const origins = new Map(settings.map(({ spec, origin }) => [spec.path, origin]))
  assert.equal(origins.get('ingestion.segment_max_mb'), '--segment-max-mb')
  assert.equal(origins.get('ingestion.queue_max_mb'), 'environment MDV_INGESTION_QUEUE_MAX_MB')
  assert.equal(origins.get('ingestion.batch_size'), 'c.yaml:4:15')
  assert.equal(origins.get('ingestion.enable_fsync'), 'default')
})

test('a wrong variable is a wrong configuration, a wrong flag a wrong command line; all are listed', async () => {
  const env = { MDV_ETL_ARCHIVE: 'perhaps', MDV_COINBASE_PRODUCT_IDS: 'BTC-USD,../x' }
  const both = await refused({ env, flags: { segmentMaxMb: '100MB' } })
  assert.equal(both.kind, 'config')
  assert.deepEqual(both.message.split('\n'), [
    'MDV_COINBASE_PRODUCT_IDS: "../x" is not a product id like BTC-USD',
    'MDV_ETL_ARCHIVE: "perhaps" is not true or false',
    '--segment-max-mb: "100MB" is not a number of MB',
  ])
  assert.equal((await refused({ flags: { segmentMaxMb: '0x10' } })).kind, 'usage')
})

test('lists, switches and all can be written as text', async () => {
  const { config } = await load({
    env: { MDV_COINBASE_PRODUCT_IDS: 'ALL', MDV_ETL_ARCHIVE: 'on', MDV_STORAGE_BASE_DIR: '' },
    flags: { channels: 'ticker, level2,ticker', enableFsync: false },
  })
  assert.equal(config.coinbase.product_ids, 'all')
  assert.deepEqual(config.coinbase.channels, ['ticker', 'level2'])
  assert.equal(config.ingestion.enable_fsync, false)
  assert.equal(config.etl.archive, true)
  assert.deepEqual(config.storage.raw, { backend: 'local', baseDir: resolve('data') })
})

test('an unknown MDV_ variable is warned of with the nearest known one, ours for other purposes are not', async () => {
  const { warnings } = await load({
    env: { MDV_ETL_ARCHIV: '1', MDV_DEBUG: '1', MDV_TEST_PYTHON: 'x', PATH: 'x' },
  })
  assert.deepEqual(warnings, [
    'environment MDV_ETL_ARCHIV: no such setting (did you mean MDV_ETL_ARCHIVE?); it is ignored',
  ])
})

test('keys that a user already has keep working', async () => {
  const yaml = `coinbase: {ws_url: "wss://advanced-trade-ws.coinbase.com", product_ids: [BTC-USD, BIT-31OCT26-CDE, 00-USD], channels: [ticker, level2, market_trades]}
ingestion: {batch_size: 100, flush_interval_seconds: 5, enable_fsync: yes, segment_max_mb: 100, segment_max_seconds: 3600, queue_max_mb: 64, spool_dir: ./spool}
etl: {poll_interval_seconds: 30, compression: zstd, delete_after_processing: true, number_type: double}
storage:
  backend: local
  base_dir: ./data
  s3: {bucket: b, prefix: p, region: eu-west-1, endpoint_url: "http://localhost:9000", force_path_style: true, aws_access_key_id: a, aws_secret_access_key: s, aws_session_token: t}
  ingestion_storage: {backend: local, base_dir: data}
  etl_storage_input:
`
  const { config } = await load({ yaml })
  assert.equal(config.ingestion.enable_fsync, true)
  assert.equal(config.ingestion.flush_interval_seconds, 5)
  assert.equal(config.ingestion.spool_dir, resolve('spool'))
  assert.equal(config.etl.number_type, 'double')
})

/** Secrets as text: two of them are alike to a comparison, whatever they hold. */
function plain(place: Place) {
  if (place.backend === 'local' || place.credentials === null) return place
  return { ...place, credentials: revealCredentials(place.credentials) }
}

test('a layer takes its own keys first, its credentials as a pair, and base_dir as a bucket where it was set', async () => {
  const { config, warnings } = await load({
    yaml: `storage:
  backend: s3
  base_dir: my-bucket
  s3: {prefix: /a/b/, region: eu-west-1, aws_access_key_id: one, aws_secret_access_key: two}
  ingestion_storage: {backend: local, base_dir: spool}
  etl_storage_output: {s3: {bucket: other, aws_access_key_id: three, aws_secret_access_key: four}}
`,
  })
  const shared = {
    backend: 's3',
    prefix: 'a/b',
    region: 'eu-west-1',
    endpointUrl: null,
    forcePathStyle: false,
    singleWriter: false,
  }
  assert.deepEqual(config.storage.ingestion, { backend: 'local', baseDir: resolve('spool') })
  assert.deepEqual(plain(config.storage.raw), {
    ...shared,
    bucket: 'my-bucket',
    credentials: { accessKeyId: 'one', secretAccessKey: 'two', sessionToken: null },
  })
  assert.deepEqual(plain(config.storage.processed), {
    ...shared,
    bucket: 'other',
    credentials: { accessKeyId: 'three', secretAccessKey: 'four', sessionToken: null },
  })
  assert.match(warnings.join(), /nothing is converted until "mdv sync"/)
})

test('an empty file, an anchor and a home folder are understood', async () => {
  assert.deepEqual((await load({ yaml: '' })).config.storage.raw, {
    backend: 'local',
    baseDir: resolve('data'),
  })
  assert.equal((await load({ yaml: '# nothing\n' })).config.etl.compression, 'zstd')
  const { config } = await load({
    yaml: 'storage: {base_dir: &d ~/vault, etl_storage_input: {base_dir: *d}}\n',
  })
  assert.deepEqual(config.storage.raw, { backend: 'local', baseDir: join(homedir(), 'vault') })
})

test('a secret is never printed', async () => {
  const yaml = 'storage: {s3: {aws_access_key_id: a, aws_secret_access_key: canary-1}}\n'
  const { settings } = await load({ yaml, env: { MDV_STORAGE_S3_AWS_SESSION_TOKEN: 'canary-2' } })
  const text = settingsYaml(settings, true)
  assert.doesNotMatch(text, /canary/)
  assert.equal(text.match(/\[hidden\]/g)?.length, 2)
  const flags = { s3AwsSecretAccessKey: 'x' }
  const { settings: unset } = await load({ flags })
  assert.equal(unset.find(({ spec }) => spec.path === 'storage.s3.aws_secret_access_key')?.value, null)
})

const farFeed = 'ws://feed.example.com'

test('an unencrypted feed is for this machine only: with a key it is refused, without one warned of', async () => {
  const key = { apiKey: 'organizations/a', apiSecretFile: 'key.pem' }
  for (const wsUrl of [farFeed, 'ws://10.0.0.1:80', 'ws://127.0.0.1.example.com', 'ws://[2001:db8::1]']) {
    const error = await refused({ flags: { wsUrl, ...key } })
    assert.match(error.message, /^--ws-url coinbase\.ws_url: with coinbase\.api_key it has to be wss:/)
    assert.match((await load({ flags: { wsUrl } })).warnings.join(), /ws_url ws:.*not encrypted/)
  }
  for (const wsUrl of ['ws://127.0.0.1:8080', 'ws://localhost', 'ws://[::1]:1', 'wss://feed.example.com'])
    assert.deepEqual((await load({ flags: { wsUrl, ...key } })).warnings, [])
  const { warnings } = await load({ flags: { restUrl: 'http://api.example.com' } })
  assert.match(warnings.join(), /rest_url http:.*not encrypted/)
})

test('what config show prints is a file of the same effect', async () => {
  const { settings } = await load({ flags: { productIds: 'BTC-USD,X-USD', archive: true } })
  const again = await load({ yaml: settingsYaml(settings, true) })
  assert.deepEqual(
    again.settings.map(({ value }) => value),
    settings.map(({ value }) => value),
  )
})

test('a file that cannot be one is one clear line', async () => {
  await inFolder(async (folder) => {
    const kind = async (path: string): Promise<string> =>
      readConfigText(path).then(
        (text) => (text === undefined ? 'none' : 'read'),
        (error: VaultError) => `${error.kind} ${error.message.replace(folder, '')}`,
      )
    const path = (name: string): string => join(folder, name)
    mkdirSync(path('d'))
    writeFileSync(path('latin1'), Buffer.from('storage: {base_dir: caf\xe9}', 'latin1'))
    writeFileSync(path('utf16'), Buffer.from('\ufeffstorage:', 'utf16le'))
    writeFileSync(path('big'), '#'.repeat(1_000_001))
    assert.equal(await kind(path('none')), 'none')
    assert.match(await kind(path('d')), /^config .*: a folder, not a file$/)
    assert.match(await kind(path('latin1')), /^config .*: not UTF-8 text$/)
    assert.match(await kind(path('utf16')), /^config .*: not UTF-8 text$/)
    assert.match(await kind(path('big')), /^config .*: 1000001 bytes are too many for a configuration$/)
    if (process.getuid?.() === 0 || process.platform === 'win32') return
    writeFileSync(path('shut'), '')
    chmodSync(path('shut'), 0)
    assert.match(await kind(path('shut')), /^config .*: this user may not read it$/)
  })
})

test('a file that was named and is not there is an error; the default one may be missing', async () => {
  const sources = { env: {}, flags: {}, sections }
  await assert.rejects(
    loadConfig({ ...sources, path: '/nowhere/c.yaml' }),
    /\/nowhere\/c\.yaml: no such file/,
  )
})

test('the JSON Schema knows every key and allows no other', () => {
  const schema = configSchema() as {
    properties: Record<string, { additionalProperties: boolean; properties: object }>
  }
  assert.deepEqual(Object.keys(schema.properties), sections)
  assert.equal(schema.properties['etl']?.additionalProperties, false)
  assert.ok('archive' in schema.properties['etl'].properties)
})

test('a child process gets the flags of its parent as variables', () => {
  const env = childEnv(
    { HOME: 'h', MDV_ETL_ARCHIVE: 'no' },
    { baseDir: 'x', archive: true, config: 'c.yaml', json: true },
  )
  assert.deepEqual(env, {
    HOME: 'h',
    MDV_STORAGE_BASE_DIR: 'x',
    MDV_ETL_ARCHIVE: 'true',
    MDV_CONFIG: 'c.yaml',
  })
})
