/** The built program, as a user meets it: exit codes, help, errors of one line, pipes that close, an end on demand. */

import assert from 'node:assert/strict'
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { DuckDBInstance } from '@duckdb/node-api'
import { commands } from '../../src/cli/registry.ts'

const main = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'mdv-cli-'))
after(() => rmSync(folder, { recursive: true, force: true }))

interface Ended {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

function start(args: readonly string[], env: Record<string, string> = {}): ChildProcess {
  const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('MDV_')))
  return spawn(process.execPath, [main, ...args], { cwd: folder, env: { ...clean, ...env }, stdio: 'pipe' })
}

async function mdv(args: readonly string[], env: Record<string, string> = {}): Promise<Ended> {
  const child = start(args, env)
  child.stdin!.end()
  const ended = once(child, 'close') as Promise<[number | null]>
  const [out, err] = await Promise.all([text(child.stdout!), text(child.stderr!)])
  return { code: (await ended)[0], out, err }
}

test('--help names every command once, with begin, precedence and exit codes', async () => {
  const { code, out, err } = await mdv(['--help'])
  assert.deepEqual([code, err], [0, ''])
  for (const { name, summary } of commands) {
    const words = out.replaceAll(/\s+/g, ' ')
    assert.ok(words.includes(` ${name} `) && words.includes(summary), name)
  }
  assert.match(out, /flag > environment .* > file .* > default/)
  assert.match(out, /8 held elsewhere/)
})

test('mdv status with the bucket out of reach tells what waits in the spool, then the failure', async () => {
  const ready = join(folder, 'spool', 'raw', 'ready', 'coinbase')
  mkdirSync(ready, { recursive: true })
  writeFileSync(join(ready, 'segment_20261203T14_00001.ndjson'), 'x'.repeat(1500))
  const env = {
    MDV_STORAGE_S3_AWS_ACCESS_KEY_ID: 'a',
    MDV_STORAGE_S3_AWS_SECRET_ACCESS_KEY: 'b',
    MDV_STORAGE_CACHE_DIR: join(folder, 'cache'),
  }
  const away = ['--backend', 's3', '--s3-bucket', 'vault', '--s3-endpoint-url', 'https://127.0.0.1:1']
  const { code, out, err } = await mdv(['status', ...away], env)
  assert.equal(code, 5)
  assert.match(out, /^recorder   none is running\nspool {6}1 segments, 1\.5 kB, oldest \d+ s old\n$/)
  assert.match(err, /cannot be reached \(ECONNREFUSED\)\n {2}→ /)
  const json = await mdv(['status', '--json', ...away], env)
  assert.equal((JSON.parse(json.out) as { spool: { segments: number } }).spool.segments, 1)
})

test('a layer of Parquet in a place of its own is empty before the first conversion, and no reason to refuse', async () => {
  mkdirSync(join(folder, 'raw-only', 'raw', 'ready', 'coinbase'), { recursive: true })
  const layers = {
    MDV_STORAGE_BASE_DIR: join(folder, 'raw-only'),
    MDV_STORAGE_ETL_STORAGE_OUTPUT_BASE_DIR: join(folder, 'parquet-only'),
  }
  for (const args of [['status'], ['verify'], ['segments', 'ls'], ['query', 'SELECT * FROM level2']]) {
    const { code, err } = await mdv(args, layers)
    assert.equal(code, 0, `${args.join(' ')}: ${err}`)
    assert.ok(!existsSync(join(folder, 'parquet-only')), `${args.join(' ')} made the folder`)
  }
  assert.equal((await mdv(['etl', '--once'], layers)).code, 0)
  const mistyped = await mdv(['status'], { ...layers, MDV_STORAGE_BASE_DIR: join(folder, 'raw-olny') })
  assert.deepEqual([mistyped.code, existsSync(join(folder, 'raw-olny'))], [4, false])
})

test('the help of a command shows its example, its settings and the global flags', async () => {
  const { code, out } = await mdv(['help', 'ingest'])
  assert.equal(code, 0)
  assert.match(out, /Usage: mdv ingest/)
  assert.match(out, /Configuration \(ingestion\):[^]*--segment-max-mb <MB>[^]*MDV_INGESTION_SEGMENT_MAX_MB/)
  assert.match(out, /Example:\n {2}mdv ingest/)
  assert.match(out, /--config <path>/)
  assert.doesNotMatch(out, /aws_secret|secret-access/)
})

const refusals: readonly (readonly [args: string, code: number, err: RegExp])[] = [
  ['stauts', 2, /^mdv: unknown command 'stauts' \(Did you mean status\?\)\n {2}→ mdv --help\n$/],
  [
    'status --basedir x',
    2,
    /^mdv: unknown option '--basedir' \(Did you mean --base-dir\?\)\n {2}→ mdv status --help\n$/,
  ],
  ['query', 2, /^mdv: missing required argument 'sql'\n/],
  ['config shwo', 2, /^mdv: mdv config shwo: no such command\n/],
  ['ingest --segment-max-mb lots', 2, /^mdv: --segment-max-mb: "lots" is not a number of MB\n/],
  ['status --config none.yaml', 3, /^mdv: none\.yaml: no such file\n {2}→ /],
  ['status --base-dir nothing', 4, /^mdv: .*nothing: there is no vault here\n {2}→ /],
  ['etl --once --base-dir nothing', 4, /^mdv: .*nothing: there is no vault here\n {2}→ /],
  ['segments recover --base-dir nothing', 4, /^mdv: .*nothing: there is no vault here\n {2}→ /],
  [
    'etl --once --base-dir inplace',
    4,
    /^mdv: cannot use .*inplace.raw.ready.coinbase.*: ENOTDIR\n {2}→ a file stands /,
  ],
  [
    'ingest --base-dir inplace',
    4,
    /^mdv: cannot use .*inplace.raw.ready.coinbase.*: ENOTDIR\n {2}→ a file stands /,
  ],
  [
    'etl --once --from 2025-12-04 --until 2025-12-04',
    2,
    /^mdv: --from 2025-12-04 --until 2025-12-04: no hour lies between them\n {2}→ /,
  ],
  ['simulate --port 99999', 2, /^mdv: --port "99999": not a port\n {2}→ /],
  ['init --yes --config file/c.yaml', 4, /^mdv: file.c\.yaml: cannot be written: .*\n {2}→ /],
  ['ingest --base-dir file/x', 4, /^mdv: .*file.*\n {2}→ /],
  ['demo --seconds 0', 2, /^mdv: --seconds 0: not a whole number from 1 to 86400\n$/],
  ['demo --dir full', 4, /^mdv: .*full: not empty\n {2}→ /],
]

test('what is wrong is one line with the way out, and a code that says what to do', async () => {
  writeFileSync(join(folder, 'file'), 'x')
  await mdv(['init', '--yes', '--config', 'full/c.yaml'])
  mkdirSync(join(folder, 'inplace/raw'), { recursive: true })
  writeFileSync(join(folder, 'inplace/raw/ready'), 'x')
  const ends = await Promise.all(refusals.map(([args]) => mdv(args.split(' '))))
  for (const [i, [args, code, err]] of refusals.entries()) {
    assert.match(ends[i]!.err, err, args)
    assert.deepEqual([ends[i]!.code, ends[i]!.out], [code, ''], args)
  }
})

test('every problem of a configuration is listed with its place, exit code 3', async () => {
  writeFileSync(join(folder, 'bad.yaml'), 'storage:\n  s3:\n    buckett: x\netl: {archive: perhaps}\n')
  const { code, err } = await mdv(['config', 'validate', '--config', 'bad.yaml'])
  assert.equal(code, 3)
  assert.deepEqual(err.split('\n').slice(0, 2), [
    'mdv: bad.yaml:3:5 storage.s3: unknown key "buckett" (did you mean "bucket"?)',
    'mdv: bad.yaml:4:16 etl.archive: "perhaps" is not true or false',
  ])
})

test('MDV_CONFIG names a file, --config outranks it, an unknown variable is warned of', async () => {
  writeFileSync(join(folder, 'a.yaml'), 'storage: {base_dir: a}\n')
  writeFileSync(join(folder, 'b.yaml'), 'storage: {base_dir: b}\n')
  const env = { MDV_CONFIG: 'a.yaml', MDV_STORAGE_BASE_DIRR: 'x' }
  const byVariable = await mdv(['config', 'show', '--origin'], env)
  assert.match(byVariable.out, /base_dir: a +# a\.yaml:1:21\n/)
  assert.match(
    byVariable.err,
    /^mdv: warning: environment MDV_STORAGE_BASE_DIRR: .*did you mean MDV_STORAGE_BASE_DIR\?/,
  )
  const byFlag = await mdv(['config', 'show', '--json', '--config', 'b.yaml'], env)
  assert.deepEqual(JSON.parse(byFlag.out)['storage.base_dir'], { value: 'b', origin: 'b.yaml:1:21' })
})

test('init writes a valid file once and never again', async () => {
  const args = ['init', '--yes', '--config', 'new/c.yaml']
  const first = await mdv([...args, '--product-ids', 'SOL-USD'])
  assert.deepEqual([first.code, first.out], [0, ''])
  assert.match(first.err, /^wrote new\/c\.yaml\n/)
  const written = readFileSync(join(folder, 'new/c.yaml'), 'utf8')
  assert.match(written, /^ {2}product_ids: \[SOL-USD\]$/m)
  assert.equal((await mdv(['config', 'validate', '--config', 'new/c.yaml'])).out, 'valid: new/c.yaml\n')
  assert.equal((await mdv(args)).code, 0)
  const other = await mdv([...args, '--product-ids', 'BTC-USD'])
  assert.deepEqual([other.code, /nothing was written/.test(other.err)], [2, true])
  assert.equal(readFileSync(join(folder, 'new/c.yaml'), 'utf8'), written)
})

test('doctor names what is wrong with its remedy: 4 for the machine, 5 when only the network fails', async () => {
  const away = ['--ws-url', 'ws://127.0.0.1:9', '--rest-url', 'http://127.0.0.1:9']
  const network = await mdv(['doctor', ...away, '--base-dir', 'vault'])
  assert.equal(network.code, 5, network.out)
  assert.match(network.out, /^✓ fsync +median [\d.]+ ms/m)
  assert.match(network.out, /^✗ WebSocket +ws:\/\/127\.0\.0\.1:9: .*\n +→ /m)
  assert.ok(!existsSync(join(folder, 'vault')), 'it leaves nothing behind')
  writeFileSync(join(folder, 'inway'), '')
  const machine = await mdv(['doctor', ...away, '--base-dir', 'inway', '--json'])
  assert.equal(machine.code, 4)
  const checks = JSON.parse(machine.out) as { check: string; state: string; remedy?: string }[]
  assert.equal(checks.find(({ check }) => check === 'folder')?.state, 'fail')
  assert.ok(checks.every(({ state, remedy }) => state === 'ok' || remedy !== undefined))
})

test('doctor ends with 3 where the configuration is what is wrong', async () => {
  writeFileSync(join(folder, 'sick.yaml'), 'coinbase: {chanels: [ticker]}\n')
  const { code, out } = await mdv(['doctor', '--config', 'sick.yaml'])
  assert.equal(code, 3)
  assert.match(out, /^✗ configuration +sick\.yaml:1:12 coinbase: unknown key "chanels"/)
})

test('adopting Parquet says which files of lines it passed over', async () => {
  mkdirSync(join(folder, 'old'))
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  await connection.run(`COPY (SELECT 1 AS a) TO '${join(folder, 'old/a.parquet').replaceAll("'", "''")}'`)
  connection.closeSync()
  instance.closeSync()
  const plain = await mdv(['adopt', 'old', '--base-dir', 'adopting'])
  assert.deepEqual([plain.code, plain.err], [0, ''])
  for (const name of ['b.ndjson', 'c.jsonl.gz']) writeFileSync(join(folder, 'old', name), '')
  const mixed = await mdv(['adopt', 'old', '--base-dir', 'adopting'])
  assert.equal(mixed.code, 0)
  assert.match(mixed.err, /^note: old.b\.ndjson and 1 more passed over, as the folder holds Parquet too/)
})

test('a reader that leaves ends the command without a word', async () => {
  const child = start(['config', 'schema'])
  child.stdout!.destroy()
  const [err, [code]] = await Promise.all([text(child.stderr!), once(child, 'close') as Promise<[number]>])
  assert.deepEqual([err, code], ['', 0])
})

/** A long-running command, once it says that it is up. */
async function simulating(env: Record<string, string> = {}): Promise<ChildProcess> {
  const child = start(['simulate', '--json', '--products', 'BTC-USD', '--book-depth', '10'], env)
  await once(child.stdout!, 'data')
  return child
}

test('doctor is content with a venue that answers, and names a product it does not list', async () => {
  const venue = start(['simulate', '--json', '--products', 'BTC-USD', '--book-depth', '10'])
  const [line] = (await once(venue.stdout!, 'data')) as [Buffer]
  const { ws_url: ws, rest_url: rest } = JSON.parse(line.toString()) as { ws_url: string; rest_url: string }
  const args = ['doctor', '--ws-url', ws, '--rest-url', rest, '--base-dir', 'vault', '--product-ids']
  const [good, bad] = await Promise.all([mdv([...args, 'BTC-USD']), mdv([...args, 'BTC-USDX'])])
  assert.equal(good.code, 0, good.out)
  assert.match(good.out, /^✓ WebSocket +open in \d+ ms/m)
  assert.equal(bad.code, 4)
  assert.match(bad.out, /^✗ products +the venue does not list BTC-USDX \(did you mean BTC-USD\?\)/m)
  venue.kill()
})

if (process.platform !== 'win32')
  test('SIGTERM lets a command finish, and a finished command has succeeded', async () => {
    const child = await simulating()
    child.kill('SIGTERM')
    assert.deepEqual(await once(child, 'exit'), [0, null])
  })

test('a supervised process drains when its supervisor is gone', async () => {
  const child = await simulating({ MDV_SUPERVISED: '1' })
  child.stdin!.end()
  assert.deepEqual(await once(child, 'exit'), [0, null])
})
