/** Listings: long ones, foreign ones, and those of servers that lose their way. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { listAll } from '../../../src/storage/object-store.ts'
import type { S3Server } from '../s3-server/server.ts'
import { openOn, startServer } from './bucket.ts'

const never = new AbortController().signal

function fill(server: S3Server, keys: readonly string[]): void {
  const { objects } = server.buckets.get('vault')!
  for (const key of keys)
    objects.set(key, { body: Buffer.from(key), etag: '"e"', modifiedMs: 1000, headers: {}, crc32: undefined })
}

test('2,500 keys come in three pages, in order and once', async (t) => {
  const server = await startServer(t)
  const keys = Array.from({ length: 2500 }, (_, i) => `raw/${String(i).padStart(5, '0')} a+b`)
  fill(
    server,
    keys.map((key) => `some/where/${key}`),
  )
  fill(server, ['some/where2/x', 'some/whera', 'other'])
  const store = await openOn(t, server)
  const found = await listAll(store, 'raw/', never)
  assert.deepEqual(
    found.map(({ key }) => key),
    keys,
  )
  assert.equal(found[7]!.sizeBytes, Buffer.byteLength(`some/where/${keys[7]}`))
  assert.equal(server.counts.get('ListObjectsV2'), 4)
})

test('keys beyond the basic plane are sorted as the interface says, over pages', async (t) => {
  const server = await startServer(t)
  server.pageSize = 2
  const keys = ['a', 'b\u{1f600}', 'b\uffee', 'b', 'c', '\u{1f600}', '\uffee']
  fill(
    server,
    keys.map((key) => `some/where/${key}`),
  )
  const store = await openOn(t, server)
  assert.deepEqual(
    (await listAll(store, '', never)).map(({ key }) => key),
    [...keys].sort(),
  )
})

test("folder markers and the store's own probes are not listed", async (t) => {
  const server = await startServer(t)
  fill(server, ['some/where/', 'some/where/raw/', 'some/where/raw/x', 'some/where/.mdv/probe/y'])
  const store = await openOn(t, server)
  assert.deepEqual(
    (await listAll(store, '', never)).map(({ key }) => key),
    ['raw/x'],
  )
})

test('a listing that fails throws, first page or later', async (t) => {
  const server = await startServer(t)
  server.pageSize = 1
  fill(server, ['some/where/a', 'some/where/b'])
  const store = await openOn(t, server)
  server.faults.next('internal', 'ListObjectsV2', 6)
  await assert.rejects(listAll(store, '', never), { kind: 'unavailable' })
  server.faults.next('internal', 'ListObjectsV2', 6, 1)
  await assert.rejects(listAll(store, '', never), { kind: 'unavailable' })
})

test('a listing with a page twice, or cut without a token, throws', async (t) => {
  const server = await startServer(t)
  server.pageSize = 1
  fill(server, ['some/where/a', 'some/where/b'])
  const store = await openOn(t, server)
  server.faults.next('repeated-page', 'ListObjectsV2', 1, 1)
  await assert.rejects(listAll(store, '', never), { kind: 'unavailable', message: /repeats a page/ })
  server.faults.next('lost-token', 'ListObjectsV2')
  await assert.rejects(listAll(store, '', never), { kind: 'unavailable', message: /more and not where/ })
})

test('a web page with 200, as a proxy or a console sends it, is no empty listing', async (t) => {
  const server = await startServer(t)
  fill(server, ['some/where/a'])
  const store = await openOn(t, server)
  server.faults.next('web-page', 'ListObjectsV2')
  assert.equal((await listAll(store, '', never)).length, 1)
  server.faults.next('web-page', 'ListObjectsV2', 6)
  await assert.rejects(listAll(store, '', never), { kind: 'unavailable', message: /is not S3/ })
})
