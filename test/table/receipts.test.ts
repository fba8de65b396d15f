import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { VaultError } from '../../src/core/errors.ts'
import { receiptKey } from '../../src/storage/keys.ts'
import { openLocalStore } from '../../src/storage/local.ts'
import type { LocalObjectStore, ObjectStore } from '../../src/storage/object-store.ts'
import type { Receipt } from '../../src/table/receipt.ts'
import {
  commitReceipt,
  currentReceipt,
  encodeReceipt,
  parseReceipt,
  readReceipts,
  ReceiptCache,
} from '../../src/table/receipts.ts'
import { partLocation, stagedPartKey } from '../../src/table/staged.ts'
import { FarStore } from '../storage/far-store.ts'

const never = new AbortController().signal
let store: LocalObjectStore
let folder: string

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mdv-receipts-'))
  store = await openLocalStore(folder)
})
after(() => rm(folder, { recursive: true, force: true }))

function receipt(job: string, generation = 1, writer = 'writer-a'): Receipt {
  const partKey = `processed/coinbase/ticker/product_id=BTC-USD/date=2025-12-03/part_20251203T14_${job.slice(-8)}.parquet`
  return {
    format: 1,
    job,
    generation,
    venue: 'coinbase',
    software: 'mdv test',
    number_type: 'decimal',
    sources: [
      {
        key: 'raw/ready/coinbase/segment_20251203T14_00001.ndjson',
        label: 'segment_20251203T14_00001',
        recorder: 'abcdefghij',
        first_n: 1,
        last_n: null,
        lines: 0,
        size_bytes: 400,
        file_sha256: 'a'.repeat(64),
        seal_sha256: null,
        first_recv_ns: null,
        last_recv_ns: '1764770400015964031',
      },
    ],
    parts: [
      {
        key: partKey,
        table: 'ticker',
        product_id: 'BTC-USD',
        date: '2025-12-03',
        rows: 3,
        size_bytes: 3,
        sha256: 'b'.repeat(64),
        min_time_ns: '-1',
        max_time_ns: '1764770400015964031',
      },
    ],
    lines: { total: 3, frames: 3, events: 0, rejected: 0 },
    rejects_key: null,
    writer,
    committed_ms: 1_764_770_500_000,
  }
}

test('a receipt is read as it was written, whatever a newer version added to it', () => {
  const original = receipt('job-aaaaaaaa')
  const key = receiptKey('coinbase', original.job, 1)
  assert.deepEqual(parseReceipt(key, encodeReceipt(original)), original)
  const extended = { ...original, more: { than: 'known' } }
  assert.deepEqual(parseReceipt(key, Buffer.from(JSON.stringify(extended))), original)
})

test('a receipt with a wrong shape is refused with the field named', () => {
  const whole = receipt('job-aaaaaaaa')
  const key = receiptKey('coinbase', whole.job, 1)
  const refused = (changed: object, pattern: RegExp, kind = 'corrupt'): void =>
    assert.throws(
      () => parseReceipt(key, Buffer.from(JSON.stringify({ ...whole, ...changed }))),
      (error) => error instanceof VaultError && error.kind === kind && pattern.test(error.message),
    )
  refused({ writer: 7 }, /"writer" is 7, not text/)
  refused({ sources: 'none' }, /"sources" is "none", not a list/)
  refused({ parts: [{ ...whole.parts[0], sha256: 'abc' }] }, /parts\[0\]: "sha256"/)
  refused({ parts: [{ ...whole.parts[0], rows: -1 }] }, /parts\[0\]: "rows"/)
  refused({ parts: [{ ...whole.parts[0], max_time_ns: '9223372036854775808' }] }, /parts\[0\]: "max_time_ns"/)
  refused({ parts: [null] }, /parts\[0\]: is not a JSON object/)
  refused({ lines: { ...whole.lines, total: 1.5 } }, /lines: "total" is 1.5/)
  refused({ number_type: 'float' }, /one of decimal, double/)
  refused({ committed_ms: undefined }, /"committed_ms" is nothing/)
  refused({ generation: 2 }, /holds the receipt of job-aaaaaaaa generation 2/)
  refused({ format: 2 }, /written by a newer version/, 'invalid')
  assert.throws(() => parseReceipt(key, Buffer.from('{"format":1')), /is not JSON/)
})

test('the highest generation of each job is what counts', async () => {
  for (const each of [receipt('job-bbbbbbbb'), receipt('job-bbbbbbbb', 2), receipt('job-cccccccc')])
    assert.deepEqual(await commitReceipt(store, each), { kind: 'committed' })
  const cache = new ReceiptCache()
  const read = await readReceipts(store, 'coinbase', never, { cache })
  assert.deepEqual(
    read.map((each) => [each.job, each.generation]),
    [
      ['job-bbbbbbbb', 2],
      ['job-cccccccc', 1],
    ],
  )
  assert.equal((await currentReceipt(store, 'coinbase', 'job-bbbbbbbb'))?.generation, 2)
  assert.equal(await currentReceipt(store, 'coinbase', 'job-zzzzzzzz'), undefined)
  await commitReceipt(store, receipt('job-cccccccc', 2))
  const again = await readReceipts(store, 'coinbase', never, { cache })
  assert.equal(again[0], read[0], 'a receipt read before is not read again')
  assert.equal(again[1]!.generation, 2)
  assert.equal(cache.receipts.size, 2)
})

test('what merges hold leaves the cache, and of a merge that is merged only the names it holds stay', async () => {
  const merges = await openLocalStore(join(folder, 'merges'))
  const counting = new FarStore(merges)
  const holding = (job: string, ...held: string[]): Receipt => ({
    ...receipt(job),
    supersedes: held.map((one) => ({ job: one, generation: 1 })),
  })
  const cache = new ReceiptCache()
  const look = async (isWanted?: (job: string) => boolean): Promise<string[]> => {
    counting.requests.get = 0
    const read = await readReceipts(counting, 'coinbase', never, { cache, ...(isWanted && { isWanted }) })
    return read.map(({ job }) => job)
  }
  for (const job of ['job-aaaaaaaa', 'job-bbbbbbbb', 'job-cccccccc'])
    await commitReceipt(merges, receipt(job))
  assert.deepEqual(await look((job) => job !== 'job-cccccccc'), ['job-aaaaaaaa', 'job-bbbbbbbb'])
  assert.equal(counting.requests.get, 2, 'what is not wanted is not read')
  await commitReceipt(merges, holding('compact_hour', 'job-aaaaaaaa', 'job-bbbbbbbb'))
  assert.deepEqual(await look(), ['compact_hour', 'job-cccccccc'])
  assert.equal(cache.receipts.size, 2)
  await commitReceipt(merges, holding('compact_day_', 'compact_hour', 'job-cccccccc'))
  assert.deepEqual(await look(), ['compact_day_'])
  assert.deepEqual([cache.receipts.size, cache.spent.size], [1, 1])
  assert.deepEqual([await look(), counting.requests.get], [['compact_day_'], 0], 'nothing is read twice')
})

test('of two workers that commit one job the second learns what the first committed', async () => {
  const ours = receipt('job-dddddddd', 1, 'writer-a')
  assert.deepEqual(await commitReceipt(store, ours), { kind: 'committed' })
  assert.deepEqual(await commitReceipt(store, receipt('job-dddddddd', 1, 'writer-b')), {
    kind: 'lost',
    winner: ours,
  })
})

test('a commit whose answer was lost is recognised as our own', async () => {
  const ours = receipt('job-eeeeeeee')
  await store.putIfAbsent(receiptKey('coinbase', ours.job, 1), encodeReceipt(ours))
  assert.deepEqual(await commitReceipt(store, ours), { kind: 'committed' })
})

test('a part is found staged, moved, and while it moves', async () => {
  const committed = receipt('job-ffffffff', 2)
  const part = committed.parts[0]!
  const staged = stagedPartKey(committed, part.key)
  assert.equal(await partLocation(store, committed, part), undefined)
  await store.putIfAbsent(staged, Buffer.from('abc'))
  assert.equal(await partLocation(store, committed, part), staged)
  // It moves just after the first look at its own place.
  const moving: ObjectStore = Object.create(store, {
    head: {
      value: async (key: string) => {
        const seen = await store.head(key)
        if (key !== part.key || seen !== undefined) return seen
        await store.putIfAbsent(part.key, Buffer.from('abc'))
        await store.delete(staged)
        return undefined
      },
    },
  }) as ObjectStore
  assert.equal(await partLocation(moving, committed, part), part.key)
})
