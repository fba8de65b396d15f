/**
 * Four `mdv etl` processes with nothing in common but the vault, on disk and in a bucket: they share the work, and one that is frozen past
 * its claim and woken changes nothing.
 */

import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { writeBenchSegment } from '../bench/etl-segment.ts'
import { openLocalStore } from '../src/storage/local.ts'
import { readReceipts } from '../src/table/receipts.ts'
import { S3Server, testAccount } from '../test/storage/s3-server/server.ts'
import { MdvProcess, mdv } from './processes.ts'

const workers = 4
const segments = 40
const segmentBytes = Number(process.env['MDV_SEGMENT_BYTES'] ?? 4_000_000)
/** Longer than a claim lasts. */
const frozenMs = 36_000

/** Fills raw/ready of a folder with what one recorder wrote. @returns lines */
async function record(vault: string): Promise<number> {
  const ready = join(vault, 'raw', 'ready', 'coinbase')
  await mkdir(ready, { recursive: true })
  let lines = 0
  for (let counter = 1; counter <= segments; counter++) {
    const path = join(ready, `segment_20251203T14_${String(counter).padStart(5, '0')}.ndjson`)
    lines += writeBenchSegment(path, { sizeBytes: segmentBytes, firstN: lines + 1, products: 10 })
  }
  return lines
}

/** Segments by the worker that committed them; each has to be there once. */
async function sharesOf(vault: string): Promise<number[]> {
  const receipts = await readReceipts(await openLocalStore(vault), 'coinbase', new AbortController().signal)
  const shares = new Map<string, number>()
  for (const { writer, sources } of receipts) shares.set(writer, (shares.get(writer) ?? 0) + sources.length)
  const labels = receipts.flatMap(({ sources }) => sources.map(({ label }) => label))
  assert.equal(labels.length, segments, 'each segment is in one receipt')
  assert.equal(new Set(labels).size, segments)
  return [...shares.values()].sort((a, b) => b - a)
}

/** Starts all at once and waits for all. */
async function convertAll(args: readonly string[]): Promise<void> {
  const processes = Array.from({ length: workers }, () => new MdvProcess(['etl', '--once', ...args]))
  for (const process of processes) {
    const code = await process.ended()
    assert.equal(code, 0, process.errors.slice(-5).join('\n'))
  }
}

/** @param claims bodies of all claims that are there now */
async function convertAllButOneFrozen(
  args: readonly string[],
  claims: () => Promise<readonly string[]>,
): Promise<void> {
  const sleeper = new MdvProcess(['etl', '--once', ...args])
  const isClaimed = async (): Promise<boolean> =>
    (await claims()).some((body) => body.includes(`"pid":${sleeper.child.pid},`))
  while (!(await isClaimed())) await sleep(5)
  // In the middle of its conversion, or of publishing what came of it.
  await sleep(150)
  sleeper.child.kill('SIGSTOP')
  const frozenAt = Date.now()
  const others = Array.from({ length: workers - 1 }, () => new MdvProcess(['etl', '--once', ...args]))
  for (const other of others) assert.equal(await other.ended(), 0, other.errors.slice(-5).join('\n'))
  await sleep(Math.max(0, frozenAt + frozenMs - Date.now()))
  sleeper.child.kill('SIGCONT')
  const code = await sleeper.ended()
  assert.ok(code === 0, `the sleeper ended with ${code}: ${sleeper.errors.slice(-5).join('\n')}`)
}

/** Leaves a claim, half a conversion and its copies behind. */
async function killOne(claims: () => Promise<readonly string[]>): Promise<void> {
  const worker = new MdvProcess(['etl', '--once'])
  while ((await claims()).length === 0) await sleep(5)
  await sleep(300)
  await worker.end('SIGKILL')
}

async function assertShared(t: TestContext, vault: string, where: string): Promise<void> {
  const shares = await sharesOf(vault)
  t.diagnostic(`${where}: segments of each worker ${shares.join(', ')} of ${segments}`)
  // How even the shares are is up to the machine: a process that starts a second late has a second's worth less.
  assert.equal(shares.length, workers, 'each worker had some')
}

async function assertWhole(args: readonly string[], lines: number): Promise<void> {
  await mdv('verify', ...args)
  const sql =
    'SELECT count(*), count(DISTINCT n) FROM (SELECT DISTINCT n FROM level2 UNION ALL SELECT DISTINCT n FROM ticker UNION ALL SELECT DISTINCT n FROM market_trades UNION ALL SELECT DISTINCT n FROM other)'
  const { lines: out } = await mdv('query', ...args, '--output', 'csv', sql)
  assert.equal(out[1], `${lines},${lines}`)
}

async function localClaims(vault: string): Promise<string[]> {
  const folder = join(vault, 'raw', 'processing', 'coinbase')
  const names = await readdir(folder).catch(() => [])
  return Promise.all(names.map((name) => readFile(join(folder, name), 'utf8').catch(() => '')))
}

test('four workers on one folder share the work', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'mdv-workers-'))
  try {
    const args = ['--base-dir', folder]
    const lines = await record(folder)
    await convertAll(args)
    await assertWhole(args, lines)
    await assertShared(t, folder, 'on disk')
    assert.deepEqual(await readdir(join(folder, 'raw', 'ready', 'coinbase')), [])
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
})

test('a worker that is frozen past its claim and woken changes nothing', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'mdv-workers-'))
  try {
    const args = ['--base-dir', folder]
    const lines = await record(folder)
    await convertAllButOneFrozen(args, () => localClaims(folder))
    await assertWhole(args, lines)
    t.diagnostic(`on disk, one frozen: segments of each worker ${(await sharesOf(folder)).join(', ')}`)
    assert.deepEqual(await readdir(join(folder, 'raw', 'ready', 'coinbase')), [])
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
})

for (const isFrozen of [false, true])
  test(`four workers on one bucket share the work${isFrozen ? ', one frozen past its claim and woken' : ''}`, async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'mdv-workers-'))
    const server = await S3Server.start({ buckets: ['vault'] })
    const bucket = server.buckets.get('vault')!
    try {
      const lines = await record(join(folder, 'recorded'))
      Object.assign(process.env, {
        MDV_STORAGE_BACKEND: 's3',
        MDV_STORAGE_S3_BUCKET: 'vault',
        MDV_STORAGE_S3_REGION: 'us-east-1',
        MDV_STORAGE_S3_ENDPOINT_URL: server.url,
        MDV_STORAGE_S3_FORCE_PATH_STYLE: 'true',
        MDV_STORAGE_S3_AWS_ACCESS_KEY_ID: testAccount.accessKeyId,
        MDV_STORAGE_S3_AWS_SECRET_ACCESS_KEY: testAccount.secretAccessKey,
        MDV_STORAGE_CACHE_DIR: join(folder, 'cache'),
      })
      await mdv('sync', join(folder, 'recorded'), 'vault')
      server.counts.clear()
      if (isFrozen) await killOne(async () => claimsIn(bucket))
      if (isFrozen) await convertAllButOneFrozen([], async () => claimsIn(bucket))
      else await convertAll([])
      t.diagnostic(`requests ${[...server.counts].map(([kind, count]) => `${kind} ${count}`).join(' ')}`)
      await assertWhole([], lines)
      await mdv('sync', 'vault', join(folder, 'moved'))
      if (isFrozen)
        t.diagnostic(`segments of each worker ${(await sharesOf(join(folder, 'moved'))).join(', ')}`)
      else await assertShared(t, join(folder, 'moved'), 'in a bucket')
      assert.deepEqual(
        bucket.objects.names().filter((key) => key.startsWith('raw/')),
        [],
        'neither raw segments nor claims are left',
      )
      assert.deepEqual(await readdir(join(folder, 'cache', 'work', 'scratch', 'etl')), [], 'no copies stay')
    } finally {
      for (const name of Object.keys(process.env))
        if (name.startsWith('MDV_STORAGE_')) delete process.env[name]
      await server.down()
      await rm(folder, { recursive: true, force: true })
    }
  })

function claimsIn(bucket: NonNullable<ReturnType<S3Server['buckets']['get']>>): string[] {
  return bucket.objects
    .names()
    .filter((key) => key.startsWith('raw/processing/'))
    .map((key) => bucket.objects.get(key)?.body.toString('utf8') ?? '')
}
