import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { bindingKey } from '../../src/storage/keys.ts'
import { openLocalStore } from '../../src/storage/local.ts'
import type { LocalObjectStore } from '../../src/storage/object-store.ts'
import { bind, readBindings, type Binding } from '../../src/table/bindings.ts'
import {
  jobId,
  jobIdAgain,
  parseJobId,
  parsePartKey,
  partDigits,
  partKey,
} from '../../src/table/part-name.ts'

let store: LocalObjectStore
let folder: string

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mdv-bindings-'))
  store = await openLocalStore(folder)
})
after(() => rm(folder, { recursive: true, force: true }))

const segment = { recorder: 'abcdefghij', firstN: 12345 }
const job = jobId('segment_20251203T14_00002', segment.recorder, segment.firstN)

function binding(generation: number, writer: string): Binding {
  return {
    format: 1,
    job,
    generation,
    receipt_generation: 1,
    digits: partDigits(job, generation, 8),
    software: 'mdv test',
    number_type: 'decimal',
    compression: 'zstd',
    writer,
  }
}

test('whoever finds a segment bound follows that binding', async () => {
  assert.deepEqual(await readBindings(store, 'coinbase', segment), [])
  const first = binding(1, 'writer-a')
  assert.deepEqual(await bind(store, 'coinbase', segment, first), first)
  assert.deepEqual(await bind(store, 'coinbase', segment, binding(1, 'writer-b')), first)
  const second = binding(2, 'writer-b')
  assert.deepEqual(await bind(store, 'coinbase', segment, second), second)
  assert.deepEqual(await readBindings(store, 'coinbase', segment), [first, second])
})

test('a binding that was damaged stops its job, with the field named', async () => {
  const other = { recorder: 'jihgfedcba', firstN: 1 }
  const key = bindingKey('coinbase', other.recorder, 1, 1)
  await store.putIfAbsent(key, Buffer.from(JSON.stringify({ ...binding(1, 'a'), job: '../x' })))
  await assert.rejects(readBindings(store, 'coinbase', other), /"job" is "..\/x"/)
})

test('a part is named by its job and plan, and a slice only where there are several', () => {
  assert.equal(job, 'segment_20251203T14_00002_abcdefghij_12345')
  assert.deepEqual(parseJobId(job), { label: 'segment_20251203T14_00002', ...segment })
  assert.equal(parseJobId('segment_20251203T14_00002'), undefined)
  const digits = partDigits(job, 1, 8)
  assert.match(digits, /^[0-9a-f]{8}$/)
  assert.notEqual(digits, partDigits(job, 2, 8))
  assert.ok(partDigits(job, 1, 16).startsWith(digits))
  const place = { table: 'level2', productId: 'BTC-USD', date: '2025-12-03' }
  const key = partKey('coinbase', job, digits, place, null)
  assert.equal(
    key,
    `processed/coinbase/level2/product_id=BTC-USD/date=2025-12-03/part_20251203T14_${digits}.parquet`,
  )
  assert.deepEqual(parsePartKey(key), { hour: '20251203T14', digits })
  assert.deepEqual(parsePartKey(partKey('coinbase', job, digits, place, 3)), { hour: '20251203T14', digits })
  assert.equal(
    parsePartKey('processed/coinbase/level2/product_id=BTC-USD/date=2025-12-03/mine.parquet'),
    undefined,
  )
})

test('the first segment of a batch says what else belongs to it', async () => {
  const first = { recorder: 'abcdefghij', firstN: 777 }
  const members = [{ first_n: 800, label: 'segment_20251203T15_00001' }]
  await bind(store, 'coinbase', first, { ...binding(1, 'writer-a'), members })
  assert.deepEqual((await readBindings(store, 'coinbase', first))[0]?.members, members)
  const odd = { ...binding(2, 'writer-a'), members: [{ first_n: 800, label: '../../elsewhere' }] }
  await bind(store, 'coinbase', first, odd)
  await assert.rejects(readBindings(store, 'coinbase', first), /"label" is "\.\.\/\.\.\/elsewhere"/)
})

test('a segment that its batch missed has a job of its own, told apart by its binding', () => {
  const again = jobIdAgain('segment_20251203T14_00002', segment, 2)
  assert.notEqual(again, job)
  assert.deepEqual(parseJobId(again), parseJobId(job))
})
