/** A vault from store to store: whole at every moment, whatever kills it, and nothing overwritten. */

import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { VaultError } from '../../src/core/errors.ts'
import { LayeredStore } from '../../src/storage/layered.ts'
import { openLocalStore } from '../../src/storage/local.ts'
import { readySegmentKey, receiptKey, segmentLabel } from '../../src/storage/keys.ts'
import type { LocalObjectStore, ObjectInfo, ObjectStore, PutOutcome } from '../../src/storage/object-store.ts'
import { keyFilter } from '../../src/sync/globs.ts'
import { smallBytes } from '../../src/sync/transfer.ts'
import { localStand } from '../crash/stand.ts'
import { sweep, thin } from '../crash/sweep.ts'
import { syncScenarios } from '../crash/sync-scenarios.ts'
import { MemoryStore } from '../storage/memory-store.ts'
import {
  assertWhole,
  copyable,
  job,
  merge,
  paperVault,
  put,
  sealedActive,
  swap,
  sync,
  syncRoundOnce,
  venue,
} from './paper-vault.ts'

async function folder(t: TestContext): Promise<LocalObjectStore> {
  const path = await mkdtemp(join(tmpdir(), 'mdv-sync-'))
  t.after(() => rm(path, { recursive: true, force: true }))
  return openLocalStore(path)
}

/** Passes everything on; tests change what they are about. */
class Passing implements ObjectStore {
  readonly inner: ObjectStore
  readonly location: string
  constructor(inner: ObjectStore) {
    this.inner = inner
    this.location = inner.location
  }
  putIfAbsent(key: string, body: Uint8Array): Promise<PutOutcome> {
    return this.inner.putIfAbsent(key, body)
  }
  publishFile(path: string, key: string): Promise<PutOutcome> {
    return this.inner.publishFile(path, key)
  }
  get(key: string): Promise<Buffer | undefined> {
    return this.inner.get(key)
  }
  head(key: string): Promise<ObjectInfo | undefined> {
    return this.inner.head(key)
  }
  read(key: string, from: number, until: number, signal: AbortSignal): AsyncIterable<Buffer> {
    return this.inner.read(key, from, until, signal)
  }
  list(prefix: string, signal: AbortSignal): AsyncIterable<readonly ObjectInfo[]> {
    return this.inner.list(prefix, signal)
  }
  delete(key: string): Promise<boolean> {
    return this.inner.delete(key)
  }
  scratch(name: string): Promise<string> {
    return this.inner.scratch(name)
  }
  fileOf(key: string): string | undefined {
    return this.inner.fileOf(key)
  }
}

const stores: Readonly<Record<string, (t: TestContext) => Promise<ObjectStore>>> = {
  local: folder,
  memory: () => Promise.resolve(new MemoryStore()),
  layered: async (t) => new LayeredStore(await folder(t), new MemoryStore()),
}

for (const [from, openSource] of Object.entries(stores))
  for (const [to, openTarget] of Object.entries(stores))
    test(`${from} to ${to}: everything but leases, claims and growing segments, and nothing at the second run`, async (t) => {
      const [source, target] = [await openSource(t), await openTarget(t)]
      await paperVault(source)
      const first = await sync({ source, target })
      assert.deepEqual(await copyable(target), await copyable(source))
      await assertWhole(target, 'after')
      assert.deepEqual(
        first.events.filter((event) => 'detail' in event),
        [],
      )
      assert.equal(first.tally.active, 1)
      assert.equal(first.tally.copied, first.tally.found)
      assert.equal(await target.get('raw/active/coinbase/recorder.1.lease.json'), undefined)
      const again = await sync({ source, target })
      assert.deepEqual([again.tally.copied, again.tally.skipped], [0, first.tally.copied])
    })

test('large objects go through scratch, which is empty again', async (t) => {
  const [source, target] = [await folder(t), await folder(t)]
  const key = readySegmentKey(venue, segmentLabel('20251203T14', 1))
  const body = Buffer.alloc(smallBytes + 4_500_000, 'abcdefg')
  await source.putIfAbsent(key, body)
  await sync({ source, target })
  assert.ok(body.equals((await target.get(key))!))
  assert.deepEqual(await readdir(await target.scratch('sync')), [])
})

for (const scenario of syncScenarios)
  test(`${scenario.story}, dying at a step: receipts name only what is there, and the next run ends as if it had not; all steps: test-full/`, async () => {
    const { steps, reached } = await sweep(scenario, localStand, thin(6))
    assert.ok(steps > 20 && reached.landed === 6, `${steps} steps, ${JSON.stringify(reached)}`)
  })

test('what lies there with another size is a conflict and stays', async () => {
  const [source, target] = [new MemoryStore(), new MemoryStore()]
  const { parts, job: name } = await job(source, 1)
  await put(target, parts[0]!.key, 'something else')
  const { tally, events } = await sync({ source, target })
  assert.deepEqual([tally.conflicts, tally.heldBack], [1, 1])
  assert.match(JSON.stringify(events), /bytes at the source, 14 at the target/)
  assert.equal((await target.get(parts[0]!.key))!.toString(), 'something else')
  assert.equal(await target.get(receiptKey(venue, name, 1)), undefined, 'its receipt is held back')
})

test('--check finds other bytes of the same size, in parts by their receipts', async () => {
  const [source, target] = [new MemoryStore(), new MemoryStore()]
  await paperVault(source)
  const { parts } = await job(source, 20)
  const ready = readySegmentKey(venue, segmentLabel('20251203T14', 30))
  await put(source, ready, 'abc')
  await put(target, ready, 'abd')
  await put(target, parts[0]!.key, Buffer.alloc(parts[0]!.size_bytes, 'x'))
  assert.equal((await sync({ source, target })).tally.conflicts, 0)
  const { tally, events } = await sync({ source, target }, { isChecking: true })
  assert.equal(tally.conflicts, 2)
  assert.match(JSON.stringify(events), /sha256 [0-9a-f]{12}… in the source's receipt/)
  assert.match(JSON.stringify(events), /sha256 [0-9a-f]{12}… at the source,/)
})

/** Does something when an object of it is looked at for the first time. */
class Meanwhile extends Passing {
  readonly #key: string
  #then: (() => Promise<void>) | undefined
  constructor(inner: ObjectStore, key: string, then: () => Promise<void>) {
    super(inner)
    this.#key = key
    this.#then = then
  }
  override async *read(
    key: string,
    from: number,
    until: number,
    signal: AbortSignal,
  ): AsyncGenerator<Buffer> {
    const then = key === this.#key ? this.#then : undefined
    if (then !== undefined) {
      this.#then = undefined
      await then()
    }
    yield* super.read(key, from, until, signal)
  }
}

test('a segment that is converted while it is copied arrives as rows', async () => {
  const [source, target] = [new MemoryStore(), new MemoryStore()]
  await paperVault(source)
  const ready = readySegmentKey(venue, segmentLabel('20251203T14', 9))
  const living = new Meanwhile(source, ready, async () => {
    await job(source, 9)
    await source.delete(ready)
  })
  const { tally } = await syncRoundOnce({ source: living, target })
  assert.equal(tally.vanished, 1)
  assert.equal(tally.failed + tally.heldBack + tally.conflicts, 0)
  await assertWhole(target, 'after')
  assert.deepEqual(await copyable(target), await copyable(source))
})

test('a job that is committed while others are copied brings its parts, binding and rejects with its receipt', async () => {
  const [source, target] = [new MemoryStore(), new MemoryStore()]
  await paperVault(source)
  const living = new Meanwhile(
    source,
    receiptKey(venue, `${segmentLabel('20251203T14', 3)}_abcdefghij_300`, 1),
    () => Promise.resolve(),
  )
  let isDone = false
  living.list = async function* (prefix, signal) {
    if (prefix.includes('_receipts') && !isDone) {
      isDone = true
      await job(source, 8)
    }
    yield* source.list(prefix, signal)
  }
  await syncRoundOnce({ source: living, target })
  await assertWhole(target, 'after')
  assert.deepEqual(await copyable(target), await copyable(source))
})

test('jobs that are merged while they are copied are there by their merge', async () => {
  const [source, target] = [new MemoryStore(), new MemoryStore()]
  const inputs = [await job(source, 1), await job(source, 2)]
  const living = new Meanwhile(source, inputs[1]!.parts[1]!.key, async () => {
    await merge(source, 'compact_20251203T14_h_0000000000000001', inputs)
  })
  await sync({ source: living, target })
  await assertWhole(target, 'after')
  const { tally } = await sync({ source, target }, { isDeleting: true })
  assert.equal(tally.kept, 0)
  assert.deepEqual(await copyable(target), await copyable(source))
})

test('an unfinished swap goes over as it is, and its end with --delete', async () => {
  const [source, target] = [new MemoryStore(), new MemoryStore()]
  const inputs = [await job(source, 1), await job(source, 2)]
  await sync({ source, target })
  const merged = await merge(source, 'compact_20251203T14_h_0000000000000001', inputs, 'staged')
  await sync({ source, target })
  await assertWhole(target, 'staged')
  assert.deepEqual(await copyable(target), await copyable(source))
  await swap(source, merged, inputs)
  const { tally } = await sync({ source, target }, { isDeleting: true })
  await assertWhole(target, 'swapped')
  assert.equal(tally.deleted, 4 + 2 + 1, 'parts of two jobs, staged parts, the mark')
  assert.deepEqual(await copyable(target), await copyable(source))
})

test('a merge of merges whose jobs lost their parts long ago goes over whole', async () => {
  const [source, target] = [new MemoryStore(), new MemoryStore()]
  const jobs = [await job(source, 1), await job(source, 2)]
  const hour = await merge(source, 'compact_20251203T14_h_0000000000000001', jobs)
  const day = await merge(source, 'compact_20251203T14_z_0000000000000002', [hour, await job(source, 3)])
  assert.ok(day.job > hour.job, 'the one that holds the other is listed after it')
  const { tally } = await syncRoundOnce({ source, target })
  assert.equal(tally.heldBack, 0)
  assert.deepEqual(await copyable(target), await copyable(source))
})

test('a receipt whose part the source has lost is held back, also after looking again', async () => {
  const [source, target] = [new MemoryStore(), new MemoryStore()]
  const { parts, job: name } = await job(source, 1)
  await source.delete(parts[0]!.key)
  const { tally, events } = await sync({ source, target })
  assert.equal(tally.heldBack, 1)
  assert.equal(await target.get(receiptKey(venue, name, 1)), undefined)
  assert.match(JSON.stringify(events), /names parts that the source has not/)
})

test('--delete removes what the source has not, keeps what is at home at the target, and says what', async () => {
  const [source, target] = [new MemoryStore(), new MemoryStore()]
  await paperVault(source)
  await sync({ source, target })
  const ready = readySegmentKey(venue, segmentLabel('20251203T14', 9))
  await source.delete(ready)
  await put(target, 'raw/active/coinbase/recorder.1.lease.json', '{}')
  await put(target, 'config.yaml', 'x')
  const dry = await sync({ source, target }, { isDeleting: true, isDryRun: true })
  assert.deepEqual(dry.events, [{ kind: 'would_delete', key: ready, sizeBytes: 1683 }])
  assert.ok((await target.head(ready)) !== undefined)
  assert.equal((await sync({ source, target })).tally.deleted, 0)
  const { tally } = await sync({ source, target }, { isDeleting: true })
  assert.equal(tally.deleted, 1)
  assert.deepEqual(await copyable(target), await copyable(source))
  assert.ok((await target.head('config.yaml')) !== undefined)
  assert.ok((await target.head('raw/active/coinbase/recorder.1.lease.json')) !== undefined)
})

test('--delete does not take from a copy what its receipts name and the source has lost', async () => {
  const [source, target] = [new MemoryStore(), new MemoryStore()]
  await paperVault(source)
  const { parts } = await job(source, 20)
  await sync({ source, target })
  await source.delete(parts[0]!.key)
  const { tally } = await sync({ source, target }, { isDeleting: true })
  assert.deepEqual([tally.deleted, tally.kept], [0, 1])
  await assertWhole(target, 'after')
})

test('--delete from an empty place is refused', async () => {
  const [source, target] = [new MemoryStore(), new MemoryStore()]
  await paperVault(target)
  const before = await copyable(target)
  await assert.rejects(sync({ source, target }, { isDeleting: true }), { kind: 'preflight' })
  assert.deepEqual(await copyable(target), before)
})

for (const side of ['source', 'target'] as const)
  test(`a listing of the ${side} that fails half way ends the run; nothing is removed`, async () => {
    const [source, target] = [new MemoryStore(), new MemoryStore()]
    await paperVault(source)
    await paperVault(target)
    await put(target, 'processed/coinbase/ticker/extra.parquet', 'x')
    const failing = new Passing(side === 'source' ? source : target)
    failing.list = async function* (prefix, signal) {
      for await (const batch of failing.inner.list(prefix, signal)) yield batch.slice(0, 3)
      throw new VaultError('unavailable', 'the listing broke off')
    }
    const trip = side === 'source' ? { source: failing, target } : { source, target: failing }
    await assert.rejects(sync(trip, { isDeleting: true }), /broke off/)
    assert.ok((await target.head('processed/coinbase/ticker/extra.parquet')) !== undefined)
  })

test('a listing out of order is refused before anything is removed', async () => {
  const [source, target] = [new MemoryStore(), new MemoryStore()]
  await paperVault(source)
  await sync({ source, target })
  const shuffled = new Passing(source)
  shuffled.list = async function* (prefix, signal) {
    for await (const batch of source.list(prefix, signal)) yield batch.toReversed()
  }
  await assert.rejects(sync({ source: shuffled, target }, { isDeleting: true }), /not the order of keys/)
  assert.deepEqual(await copyable(target), await copyable(source))
})

test('a store that fails now and then is asked again; one object that always fails holds back its receipt only', async () => {
  const [source, target] = [new MemoryStore(), new MemoryStore()]
  await paperVault(source)
  const { parts, job: name } = await job(source, 20)
  let puts = 0
  const flaky = new Passing(target)
  flaky.putIfAbsent = (key, body) =>
    key === parts[0]!.key || ++puts % 3 === 0
      ? Promise.reject(new VaultError('unavailable', 'slow down'))
      : target.putIfAbsent(key, body)
  const { tally } = await syncRoundOnce({ source, target: flaky })
  // Once by itself, once for its receipt.
  assert.deepEqual([tally.failed, tally.heldBack], [2, 1])
  await assertWhole(target, 'after')
  assert.equal(await target.get(receiptKey(venue, name, 1)), undefined)
  await sync({ source, target })
  assert.deepEqual(await copyable(target), await copyable(source))
})

test('a full disk ends the run at once', async () => {
  const [source, target] = [new MemoryStore(), new MemoryStore()]
  await paperVault(source)
  let puts = 0
  const full = new Passing(target)
  full.putIfAbsent = () => (puts++, Promise.reject(new VaultError('preflight', 'ENOSPC')))
  await assert.rejects(sync({ source, target: full }), { kind: 'preflight' })
  assert.ok(puts <= 4, `${puts} puts`)
})

test('told to stop, it finishes what is under way and begins nothing more', async () => {
  const [source, target] = [new MemoryStore(), new MemoryStore()]
  await paperVault(source)
  const stop = new AbortController()
  const stopping = new Passing(target)
  stopping.putIfAbsent = async (key, body) => {
    stop.abort(new Error('enough'))
    await new Promise((resolve) => setImmediate(resolve))
    return target.putIfAbsent(key, body)
  }
  await assert.rejects(sync({ source, target: stopping }, {}, undefined, stop.signal), /enough/)
  const there = Object.keys(await copyable(target))
  assert.ok(there.length >= 1 && there.length <= 4, there.join())
})

test('a dry run tells the same objects that the run then copies, and writes none', async () => {
  const [source, target] = [new MemoryStore(), new MemoryStore()]
  await paperVault(source)
  const dry = await sync({ source, target }, { isDryRun: true })
  assert.deepEqual(await copyable(target), {})
  const wet = await sync({ source, target })
  const keys = (synced: typeof dry) => synced.events.map((event) => event.key).sort()
  assert.deepEqual(keys(dry), keys(wet))
})

test('patterns choose; a receipt whose parts were left out stays behind', async () => {
  const [source, target] = [new MemoryStore(), new MemoryStore()]
  await paperVault(source)
  const one = await sync({ source, target }, { isSelected: keyFilter([], ['**/product_id=BTC-USD/**']) })
  const keys = Object.keys(await copyable(target))
  assert.ok(keys.some((key) => key.includes('product_id=ETH-USD')))
  assert.ok(!keys.some((key) => key.includes('product_id=BTC-USD') || key.includes('_receipts')), keys.join())
  assert.ok(one.tally.heldBack > 0)
  await assertWhole(target, 'after')
  await sync({ source, target })
  assert.deepEqual(await copyable(target), await copyable(source))
})

test('a sealed file under raw/active goes to a folder, where recovery publishes it, and a growing one does not', async (t) => {
  const [source, target] = [await folder(t), await folder(t)]
  await paperVault(source)
  const key = await sealedActive(source, 11)
  assert.equal((await sync({ source, target })).tally.active, 1)
  assert.deepEqual(await target.get(key), await source.get(key))
  const bucket = new MemoryStore()
  await sync({ source, target: bucket })
  assert.equal(await bucket.get(key), undefined)
})

test('a receipt that names keys outside of the vault takes nothing along', async () => {
  const [source, target] = [new MemoryStore(), new MemoryStore()]
  const { job: name } = await job(source, 1)
  const key = receiptKey(venue, name, 1)
  const body = (await source.get(key))!.toString()
  await source.delete(key)
  await put(
    source,
    key,
    body.replace(/processed\/coinbase\/ticker[^"]+/, 'processed/coinbase/../../etc/passwd'),
  )
  const { tally } = await sync({ source, target })
  assert.equal(tally.failed + tally.heldBack, 1)
  assert.equal(await target.get(key), undefined)
})
