/** Streams of work, the memory of keys, and what the ends are called. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import * as fc from 'fast-check'
import type { S3Place } from '../../src/storage/place.ts'
import { overlap } from '../../src/sync/end.ts'
import { forEachOf, lookAhead, streamOf } from '../../src/sync/flow.ts'
import { SeenKeys } from '../../src/sync/seen-keys.ts'
import { parseWhere, type KnownPlaces } from '../../src/sync/where.ts'
import { never } from './paper-vault.ts'

async function* numbers(count: number, made: { count: number }): AsyncGenerator<number> {
  for (let i = 0; i < count; i++) {
    made.count++
    yield await Promise.resolve(i)
  }
}

test('items are found ahead of their reader, in order, within the bound', async () => {
  const made = { count: 0 }
  let next = 0
  let furthest = 0
  for await (const item of lookAhead(numbers(5000, made), 100)) {
    assert.equal(item, next++)
    furthest = Math.max(furthest, made.count - next)
    if (item % 500 === 0) await nextTurn()
  }
  assert.equal(next, 5000)
  assert.ok(furthest > 50 && furthest <= 101, String(furthest))
})

test('what the source throws comes after the items before it; a reader that leaves ends the source', async () => {
  const broken = async function* () {
    yield* numbers(3, { count: 0 })
    throw new Error('broke')
  }
  const taken: number[] = []
  await assert.rejects(async () => {
    for await (const item of lookAhead(broken(), 10)) taken.push(item)
  }, /broke/)
  assert.deepEqual(taken, [0, 1, 2])
  const made = { count: 0 }
  for await (const item of lookAhead(numbers(1e9, made), 10)) if (item === 5) break
  assert.ok(made.count < 20)
})

test('never more at once than told; after a failure nothing is begun, and what runs is waited for', async () => {
  let running = 0
  let most = 0
  let ended = 0
  const work = async (item: number): Promise<void> => {
    most = Math.max(most, ++running)
    await nextTurn()
    running--
    if (item === 20) throw new Error('item 20')
    await nextTurn()
    ended++
  }
  await forEachOf(streamOf(Array.from({ length: 20 }, (_, i) => i)), 4, never, work)
  assert.deepEqual([most, ended], [4, 20])
  await assert.rejects(forEachOf(numbers(1000, { count: 0 }), 4, never, work), /item 20/)
  assert.ok(ended < 60 && running === 0, `${ended} ${running}`)
})

test('keys that were seen are known, others are not, beyond the bound they are forgotten', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.string(), { maxLength: 300 }), (keys) => {
      const seen = new SeenKeys(10_000)
      const [known, unknown] = [keys.slice(0, keys.length / 2), keys.slice(keys.length / 2)]
      for (const key of [...known, ...known]) seen.add(key)
      assert.ok(known.every((key) => seen.has(key)))
      assert.ok(!unknown.some((key) => seen.has(key)))
    }),
  )
  const seen = new SeenKeys(5000)
  const keys = Array.from({ length: 20_000 }, (_, i) => `key ${i}`)
  for (const key of keys) seen.add(key)
  const kept = keys.filter((key) => seen.has(key)).length
  assert.ok(kept >= 5000 && kept < 11_000, String(kept))
})

const local = (baseDir: string) => ({ backend: 'local', baseDir }) as const
const s3 = {
  region: 'eu-west-1',
  endpointUrl: null,
  forcePathStyle: false,
  credentials: null,
  singleWriter: false,
}
const known: KnownPlaces = { ingestion: local('/i'), raw: local('/r'), processed: local('/p'), s3 }
const none = { endpointUrl: undefined, region: undefined }
const where = (text: string) => parseWhere(text, known, none, 'src', (folder) => `at ${folder}`)

test('folders of any system, buckets and names of layers', () => {
  for (const text of ['data', './raw', 'F:/vault', 'F:\\vault', '/x', '~/data', '\\\\server\\share', 'a:b'])
    assert.deepEqual(where(text).raw, local(`at ${text}`), text)
  assert.deepEqual(where('raw'), { raw: local('/r'), processed: local('/r'), prefixes: ['raw/'] })
  assert.deepEqual(where('processed').prefixes, ['processed/'])
  assert.deepEqual([where('vault').raw, where('vault').processed], [local('/r'), local('/p')])
  assert.deepEqual(where('s3://bucket/a/b/').raw, { backend: 's3', bucket: 'bucket', prefix: 'a/b', ...s3 })
  const flags = { endpointUrl: 'http://minio:9000', region: 'x' }
  const far = parseWhere('s3://bucket', known, flags, 'dst', String).processed as S3Place
  assert.deepEqual([far.prefix, far.endpointUrl, far.region], ['', 'http://minio:9000', 'x'])
  for (const text of [
    '',
    's3://',
    's3://b',
    's3://bucket//x',
    's3://bucket/../x',
    's3://bu cket/x',
    'gs://bucket/x',
  ])
    assert.throws(() => where(text), { kind: 'usage' }, text)
})

test('a vault is not copied into its own folders', () => {
  assert.match(overlap(local('/v'), local('/v'))!, /both ends/)
  assert.match(overlap(local('/v'), local('/v/raw/ready'))!, /inside/)
  assert.match(overlap(local('/v/processed'), local('/v'))!, /inside/)
  assert.equal(overlap(local('/v'), local('/v/backup')), undefined)
  const bucket = (prefix: string, endpointUrl: string | null = null): S3Place => ({
    ...s3,
    backend: 's3',
    bucket: 'b',
    prefix,
    endpointUrl,
  })
  assert.match(overlap(bucket(''), bucket('raw'))!, /inside/)
  assert.match(overlap(bucket('a'), bucket('a/processed/x'))!, /inside/)
  assert.equal(overlap(bucket('a'), bucket('a/raw', 'http://other')), undefined)
  assert.equal(overlap(bucket('raw'), local('raw')), undefined)
})
