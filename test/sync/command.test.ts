/** `mdv sync` as a user meets it: words and exit codes, a kill in the middle, an end on demand. */

import assert from 'node:assert/strict'
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { test, type TestContext } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { readySegmentKey, segmentLabel } from '../../src/storage/keys.ts'
import { openLocalStore } from '../../src/storage/local.ts'
import { openOn, startServer } from '../storage/s3/bucket.ts'
import { testAccount, type S3Server } from '../storage/s3-server/server.ts'
import { assertWhole, copyable, job, paperVault, venue } from './paper-vault.ts'

const main = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url))

async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'mdv-sync-'))
  t.after(() => rm(path, { recursive: true, force: true }))
  return path
}

function start(cwd: string, args: readonly string[], env: Record<string, string> = {}): ChildProcess {
  const clean = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(?:MDV|AWS)_/.test(name)),
  )
  return spawn(process.execPath, [main, 'sync', ...args], { cwd, env: { ...clean, ...env }, stdio: 'pipe' })
}

async function ended(child: ChildProcess) {
  child.stdin!.end()
  const end = once(child, 'close') as Promise<[number | null, string | null]>
  const [out, err] = await Promise.all([text(child.stdout!), text(child.stderr!)])
  return { code: (await end)[0], out, err }
}

function account(server: S3Server, cwd: string): Record<string, string> {
  return {
    MDV_STORAGE_S3_ENDPOINT_URL: server.url,
    MDV_STORAGE_S3_FORCE_PATH_STYLE: 'true',
    MDV_STORAGE_S3_AWS_ACCESS_KEY_ID: testAccount.accessKeyId,
    MDV_STORAGE_S3_AWS_SECRET_ACCESS_KEY: testAccount.secretAccessKey,
    MDV_STORAGE_CACHE_DIR: join(cwd, 'cache'),
  }
}

test('words, JSON and exit codes: copied, there already, conflict, deleted', async (t) => {
  const cwd = await folder(t)
  const source = await openLocalStore(join(cwd, 'data'))
  await paperVault(source)
  const dry = await ended(start(cwd, ['vault', 'copy', '--dry-run']))
  assert.equal(dry.code, 0, dry.err)
  assert.match(dry.out, /^would copy processed\/coinbase\/[^]*\nwould be copied: 28, .* there already: 0/m)
  const first = await ended(start(cwd, ['./data', 'copy', '--json']))
  assert.deepEqual([first.code, first.err], [0, ''])
  const { copied, conflicts, seconds } = JSON.parse(first.out) as Record<string, number>
  assert.deepEqual([copied, conflicts], [28, 0])
  assert.ok(seconds! > 0)
  const target = await openLocalStore(join(cwd, 'copy'))
  assert.deepEqual(await copyable(target), await copyable(source))

  const ready = readySegmentKey(venue, segmentLabel('20251203T14', 9))
  await source.delete(ready)
  const removing = await ended(start(cwd, ['data', 'copy', '--delete']))
  assert.match(
    removing.out,
    /^deleted raw\/ready\/.* \(1\.7 kB\)\ncopied: 0, 0 B · there already: 27 · deleted: 1/,
  )
  await source.putIfAbsent(ready, Buffer.from('one'))
  await target.putIfAbsent(ready, Buffer.from('other'))
  const conflict = await ended(start(cwd, ['data', 'copy']))
  assert.equal(conflict.code, 6)
  assert.match(conflict.err, /^conflict: raw\/ready\/.*: 3 bytes at the source, 5 at the target · .*\n$/)
})

test('a source without anything, and patterns that match nothing, are noted', async (t) => {
  const cwd = await folder(t)
  await paperVault(await openLocalStore(join(cwd, 'data')))
  await mkdir(join(cwd, 'empty'))
  const [empty, unmatched, matched] = await Promise.all([
    ended(start(cwd, ['empty', 'copy'])),
    ended(start(cwd, ['data', 'copy', '--include', '*.paruqet'])),
    ended(start(cwd, ['data', 'copy', '--include', '*.parquet', '--dry-run'])),
  ])
  assert.deepEqual([empty.code, unmatched.code, matched.code], [0, 0, 0])
  assert.match(empty.err, /^note: .*empty holds nothing of a vault\n$/)
  assert.match(unmatched.err, /^note: nothing in .*data matches the patterns\n$/)
  assert.equal(matched.err, '')
})

const refusals: readonly (readonly [args: string, code: number, err: RegExp])[] = [
  ['nothing copy', 4, /^mdv: .*nothing: there is no such folder\n {2}→ /],
  ['data data', 2, /^mdv: .*data: is both ends\n {2}→ /],
  ['data data/raw/ready/x', 2, /^mdv: .*one lies inside the other\n {2}→ /],
  ['vault data', 2, /^mdv: .*data: is both ends\n/],
  ['raw processed', 2, /^mdv: raw segments have no place among processed ones/],
  ['data gs://x/y', 2, /^mdv: "gs:\/\/x\/y": neither a folder nor s3:\/\/bucket\/prefix\n {2}→ /],
  ['data s3://b/../x', 2, /^mdv: "s3:\/\/b\/\.\.\/x": not s3:\/\/bucket\/prefix\n {2}→ /],
  ['data copy --dst-region eu-west-1', 2, /^mdv: --dst-region: "copy" is no s3:\/\/ URL\n {2}→ /],
  [
    'data s3://bucket --dst-endpoint-url minio',
    2,
    /^mdv: --dst-endpoint-url "minio": no http or https URL\n/,
  ],
  ['data copy --include a//b', 2, /^mdv: pattern "a\/\/b": matches nothing\n {2}→ /],
  [
    'empty copy --delete',
    4,
    /^mdv: .*empty: holds nothing to copy\n {2}→ with --delete the target would be emptied/,
  ],
]

test('what is wrong is one line with the way out', async (t) => {
  const cwd = await folder(t)
  await mkdir(join(cwd, 'data'))
  await mkdir(join(cwd, 'empty'))
  const ends = await Promise.all(refusals.map(([args]) => ended(start(cwd, args.split(' ')))))
  for (const [i, [args, code, err]] of refusals.entries()) {
    assert.match(ends[i]!.err, err, args)
    assert.equal(ends[i]!.code, code, args)
  }
})

async function manyJobs(path: string): Promise<void> {
  const source = await openLocalStore(path)
  for (let counter = 1; counter <= 30; counter++) await job(source, counter, counter > 25)
}

for (const puts of [70])
  test(`killed at put ${puts}: the bucket is whole, and the next run does the rest`, async (t) => {
    const cwd = await folder(t)
    await manyJobs(join(cwd, 'data'))
    const server = await startServer(t)
    const env = account(server, cwd)
    const child = start(cwd, ['vault', 's3://vault/some/where'], env)
    const killed = ended(child)
    while ((server.counts.get('PutObject') ?? 0) < puts) await nextTurn()
    child.kill('SIGKILL')
    assert.equal((await killed).code, null)
    const bucket = await openOn(t, server)
    await assertWhole(bucket, 'killed')
    const again = await ended(start(cwd, ['vault', 's3://vault/some/where', '--json'], env))
    assert.deepEqual([again.code, again.err], [0, ''])
    assert.ok((JSON.parse(again.out) as { skipped: number }).skipped > 0)
    assert.deepEqual(await copyable(bucket), await copyable(await openLocalStore(join(cwd, 'data'))))
  })

if (process.platform !== 'win32') {
  test('Ctrl-C ends it after the objects under way, with what was done and code 130', async (t) => {
    const cwd = await folder(t)
    await manyJobs(join(cwd, 'data'))
    const server = await startServer(t)
    const child = start(cwd, ['vault', 's3://vault/some/where', '--json'], account(server, cwd))
    const end = ended(child)
    while ((server.counts.get('PutObject') ?? 0) < 20) await nextTurn()
    child.kill('SIGINT')
    const { code, out } = await end
    assert.equal(code, 130)
    const { copied } = JSON.parse(out) as { copied: number }
    assert.equal(Object.keys(await copyable(await openOn(t, server))).length, copied)
    assert.ok(copied > 0 && copied < 120, String(copied))
  })

  test('--watch goes on until it is told to stop, and has succeeded then', async (t) => {
    const cwd = await folder(t)
    await manyJobs(join(cwd, 'data'))
    await writeFile(join(cwd, 'config.yaml'), '{}')
    const child = start(cwd, ['data', 'copy', '--watch', '--json'])
    const [line] = (await once(child.stdout!, 'data')) as [Buffer]
    assert.match(line.toString(), /"copied":\d+/)
    child.kill('SIGTERM')
    assert.deepEqual(await once(child, 'exit'), [0, null])
  })
}
