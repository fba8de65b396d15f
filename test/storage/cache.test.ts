import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { appendFile, mkdir, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { systemClock } from '../../src/cli/system-clock.ts'
import { VaultError } from '../../src/core/errors.ts'
import { sha256Hex } from '../../src/core/ids.ts'
import { CachedStore } from '../../src/storage/cache-store.ts'
import type { KnownObject, LocalFiles, Trust } from '../../src/storage/download.ts'
import { openLocalStore } from '../../src/storage/local.ts'
import type { LocalObjectStore } from '../../src/storage/object-store.ts'
import { thisProcess } from '../../src/storage/process-identity.ts'
import { FarStore } from './far-store.ts'

const signal = new AbortController().signal
let folder: string
let near: LocalObjectStore
let far: FarStore
let nowMs: number

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mdv-cache-'))
  near = await openLocalStore(join(folder, 'bucket'))
  far = new FarStore(near)
  nowMs = Date.now()
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const cacheDir = (): string => join(folder, 'cache')

/** Each step of time is a second, so that uses have an order. */
function open(maxBytes = 1_000_000): CachedStore {
  const clock = { ...systemClock, nowMs: () => (nowMs += 1000) }
  return new CachedStore(far, 'bucket', { dir: cacheDir(), maxBytes, clock, random: Math.random })
}

async function part(k: number, sizeBytes = 1000): Promise<KnownObject> {
  const key = `processed/coinbase/level2/product_id=P${k}/date=2025-12-03/part_20251203T14_aaaaaaaa.parquet`
  const bytes = randomBytes(sizeBytes)
  await near.putIfAbsent(key, bytes)
  return { key, sizeBytes, sha256: sha256Hex(bytes) }
}

function fetch(
  store: CachedStore,
  objects: readonly KnownObject[],
  trust: Trust = 'size',
): Promise<LocalFiles> {
  return store.fetch(objects, { trust, onProgress: () => undefined }, signal)
}

async function fetchAndClose(store: CachedStore, ...objects: readonly KnownObject[]): Promise<void> {
  await (await fetch(store, objects))[Symbol.asyncDispose]()
}

/** Sizes of all files in the cache, by name. */
async function cachedFiles(): Promise<Map<string, number>> {
  const names = await readdir(cacheDir(), { recursive: true })
  const sizes = new Map<string, number>()
  for (const name of names) {
    const info = await stat(join(cacheDir(), name))
    if (info.isFile()) sizes.set(name.replaceAll('\\', '/'), info.size)
  }
  return sizes
}

async function cachedBytes(): Promise<number> {
  return [...(await cachedFiles()).values()].reduce((total, size) => total + size, 0)
}

test('a part is fetched once, whole and in its own folders; the next question asks nothing', async () => {
  const object = await part(1)
  const first = await fetch(open(), [object])
  const path = first.pathOf(object.key)!
  assert.match(path.replaceAll('\\', '/'), /\/product_id=P1\/date=2025-12-03\//)
  assert.equal(sha256Hex(await readFile(path)), object.sha256)
  await first[Symbol.asyncDispose]()
  const before = { ...far.requests }
  const second = await fetch(open(), [object])
  assert.deepEqual(far.requests, before)
  assert.deepEqual([second.progress.fetched, second.progress.cached], [0, 1])
  await second[Symbol.asyncDispose]()
})

test('the bound holds: what was used longest ago goes first, and its empty folders with it', async () => {
  const objects = await Promise.all([1, 2, 3, 4].map((k) => part(k)))
  const store = open(3500)
  await fetchAndClose(store, objects[0]!, objects[1]!)
  await fetchAndClose(store, objects[2]!)
  await fetchAndClose(store, objects[0]!)
  await fetchAndClose(store, objects[3]!)
  const kept = [...(await cachedFiles()).keys()].map((name) => /product_id=(P\d)/.exec(name)![1]!)
  assert.deepEqual(new Set(kept), new Set(['P1', 'P3', 'P4']))
  assert.ok((await cachedBytes()) <= 3500)
  const names = await readdir(cacheDir(), { recursive: true })
  assert.ok(!names.some((name) => name.includes('P2')))
})

test('what a running question holds is not removed: who needs the room is told so', async () => {
  const [one, two] = [await part(1, 2000), await part(2, 2000)]
  const running = await fetch(open(3000), [one])
  await assert.rejects(
    fetch(open(3000), [two]),
    (error) =>
      error instanceof VaultError && error.kind === 'preflight' && /cache_max_gb/.test(error.remedy!),
  )
  assert.equal((await readFile(running.pathOf(one.key)!)).length, 2000)
  await running[Symbol.asyncDispose]()
  await fetchAndClose(open(3000), two)
})

test('a question that can never fit is refused before anything is fetched', async () => {
  const objects = [await part(1), await part(2)]
  await assert.rejects(fetch(open(1500), objects), /2\.0 kB would have to be here at once/)
  assert.equal(far.requests.read, 0)
})

test('a copy of another size is fetched again; one spoilt in place is found by its digest', async () => {
  const object = await part(1)
  const files = await fetch(open(), [object])
  const path = files.pathOf(object.key)!
  await files[Symbol.asyncDispose]()
  for (const spoil of [() => appendFile(path, 'x'), () => writeFile(path, 'short')]) {
    await spoil()
    await fetchAndClose(open(), object)
    assert.equal(sha256Hex(await readFile(path)), object.sha256)
  }
  await writeFile(path, Buffer.alloc(object.sizeBytes))
  await (await fetch(open(), [object], 'digest'))[Symbol.asyncDispose]()
  assert.equal(sha256Hex(await readFile(path)), object.sha256)
})

test('a part that is not what its receipt says is damage, one that is gone is gone, and neither leaves anything', async () => {
  const object = await part(1)
  const wrong = [
    [{ ...object, sha256: '0'.repeat(64) }, 'corrupt'],
    [{ ...object, sizeBytes: 999 }, 'corrupt'],
    [{ ...object, sizeBytes: 1001 }, 'corrupt'],
    [{ ...object, key: `${object.key}x` }, 'unavailable'],
    [{ ...object, key: `processed/../../${object.key}` }, 'corrupt'],
  ] as const
  for (const [known, kind] of wrong)
    await assert.rejects(
      fetch(open(), [known]),
      (error) => error instanceof VaultError && error.kind === kind,
    )
  assert.equal(await cachedBytes(), 0)
})

test('proofs fetch anew, believe no copy and keep none', async () => {
  const object = await part(1)
  await fetchAndClose(open(), object)
  const before = await cachedFiles()
  const proof = await fetch(open(), [object], 'nothing')
  assert.equal(far.requests.read, 2)
  assert.equal(sha256Hex(await readFile(proof.pathOf(object.key)!)), object.sha256)
  await proof[Symbol.asyncDispose]()
  assert.deepEqual(await cachedFiles(), before)
})

test('what a killed question left is removed with the next fetch, what a living one has stays', async () => {
  const [one, two] = [await part(1), await part(2)]
  const living = await fetch(open(), [one])
  const left = join(cacheDir(), 'users', 'killedkilled')
  await mkdir(left, { recursive: true })
  await writeFile(join(left, '0.new'), Buffer.alloc(5000))
  const identity = { ...(await thisProcess()), pid: 2 ** 22 + 1 }
  await writeFile(join(left, 'owner.json'), JSON.stringify({ identity, held: [] }))
  const nameless = join(cacheDir(), 'users', 'namelessname')
  await mkdir(nameless)
  await writeFile(join(nameless, '0.new'), '')
  await utimes(nameless, 0, 0)
  await fetchAndClose(open(), two)
  assert.equal((await readdir(join(cacheDir(), 'users'))).length, 1)
  await living[Symbol.asyncDispose]()
})

test('eight objects come at a time, and what came is told', async () => {
  const objects = await Promise.all(Array.from({ length: 20 }, (_, k) => part(k)))
  let running = 0
  let most = 0
  let areEight = (): void => undefined
  const eight = new Promise<void>((resolve) => {
    areEight = resolve
  })
  far.onRead = async () => {
    most = Math.max(most, ++running)
    if (running === 8) areEight()
    await eight
    running--
  }
  const told: number[] = []
  const options = {
    trust: 'size',
    onProgress: ({ fetchedBytes }: { fetchedBytes: number }) => told.push(fetchedBytes),
  } as const
  const files = await open().fetch(objects, options, signal)
  await files[Symbol.asyncDispose]()
  assert.equal(most, 8)
  assert.deepEqual([told.length, told[0]], [21, 0])
  assert.equal(told.at(-1), 20_000)
})

test('processes at the same cache disturb each other in nothing and keep its bound', async () => {
  const objects = await Promise.all(Array.from({ length: 12 }, (_, k) => part(k, 20_000)))
  await writeFile(join(folder, 'objects.json'), JSON.stringify(objects))
  const script = fileURLToPath(new URL('cache-worker.js', import.meta.url))
  const run = (seed: number) =>
    promisify(execFile)(process.execPath, [
      script,
      join(folder, 'bucket'),
      cacheDir(),
      join(folder, 'objects.json'),
      String(seed),
    ])
  const answers = await Promise.all([1, 2, 3].map(run))
  for (const { stdout } of answers) assert.equal(stdout, '25 rounds\n')
  assert.ok((await cachedBytes()) <= 160_000 + 3000)
  assert.deepEqual(await readdir(join(cacheDir(), 'users')), [])
})

const receipts = (k: number): string => `processed/coinbase/_receipts/job_${k}.json`

async function readRecords(store: CachedStore): Promise<string[]> {
  const bodies: string[] = []
  for await (const batch of store.list('processed/coinbase/_receipts/', signal))
    for (const { key } of batch) bodies.push(String(await store.get(key)))
  return bodies
}

test('records are read once; a later listing that names the same ones costs no GET, a new one costs one', async () => {
  for (let k = 0; k < 50; k++) await near.putIfAbsent(receipts(k), Buffer.from(`{"k":${k}}`))
  const first = await readRecords(open())
  assert.equal(far.requests.get, 50)
  assert.deepEqual(await readRecords(open()), first)
  assert.equal(far.requests.get, 50)
  await near.putIfAbsent(receipts(50), Buffer.from('{}'))
  await readRecords(open())
  assert.equal(far.requests.get, 51)
})

test('a record put anew under its old name, one spoilt in the cache and one that was never listed are asked of the store', async () => {
  await near.putIfAbsent(receipts(1), Buffer.from('{"a":1}'))
  assert.deepEqual(await readRecords(open()), ['{"a":1}'])
  await rm(near.pathOf(receipts(1)))
  await near.putIfAbsent(receipts(1), Buffer.from('{"a":2,"b":0}'))
  assert.deepEqual(await readRecords(open()), ['{"a":2,"b":0}'])
  for (const name of (await cachedFiles()).keys()) {
    const bytes = await readFile(join(cacheDir(), name))
    bytes[bytes.length - 2]! ^= 1
    await writeFile(join(cacheDir(), name), bytes)
  }
  assert.deepEqual(await readRecords(open()), ['{"a":2,"b":0}'])
  const before = far.requests.get
  await open().get(receipts(1))
  assert.equal(far.requests.get, before + 1)
})

test('a cache that cannot be written costs requests for records, and is said for parts', async () => {
  await near.putIfAbsent(receipts(1), Buffer.from('{}'))
  await mkdir(dirname(cacheDir()), { recursive: true })
  await writeFile(cacheDir(), 'a file where the folder should be')
  assert.deepEqual(await readRecords(open()), ['{}'])
  await assert.rejects(
    fetch(open(), [await part(1)]),
    (error) => error instanceof VaultError && /storage\.cache_dir/.test(error.remedy!),
  )
})
