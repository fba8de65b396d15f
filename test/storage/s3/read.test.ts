/** Reading from connections that break and objects that change. */

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { S3Store } from '../../../src/storage/s3/store.ts'
import { openOn, startServer } from './bucket.ts'

const never = new AbortController().signal

async function readAll(store: S3Store, from: number, until: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of store.read('x', from, until, never)) chunks.push(Buffer.from(chunk))
  return Buffer.concat(chunks)
}

test('a read goes on from where each answer was cut short', async (t) => {
  const server = await startServer(t)
  const store = await openOn(t, server)
  const bytes = randomBytes(5_000_000)
  await store.putIfAbsent('x', bytes)
  server.faults.next('truncated', 'GetObject', 3)
  assert.deepEqual(await readAll(store, 100, 4_000_000), bytes.subarray(100, 4_000_000))
  assert.equal(server.counts.get('GetObject'), 4)
})

test('a read whose connections all break before a byte gives up', async (t) => {
  const server = await startServer(t)
  const store = await openOn(t, server)
  await store.putIfAbsent('x', Buffer.from('0123456789'))
  server.faults.next('reset-after', 'GetObject', 1000)
  await assert.rejects(readAll(store, 0, 10), { kind: 'unavailable', message: /broke off the connection/ })
})

test('an object replaced between two answers is noticed', async (t) => {
  const server = await startServer(t)
  const store = await openOn(t, server)
  await store.putIfAbsent('x', randomBytes(4_000_000))
  server.faults.next('truncated', 'GetObject')
  const objects = server.buckets.get('vault')!.objects
  await assert.rejects(
    async () => {
      for await (const _ of store.read('x', 0, 4_000_000, never)) {
        const stored = objects.get('some/where/x')!
        objects.set('some/where/x', { ...stored, etag: '"another"' })
      }
    },
    { kind: 'unavailable', message: /was replaced while it was read/ },
  )
})

test('a read that nobody goes on with lets go of its connection', async (t) => {
  const server = await startServer(t)
  const store = await openOn(t, server)
  await store.putIfAbsent('x', Buffer.alloc(4_000_000))
  for (let i = 0; i < 70; i++) for await (const _ of store.read('x', 0, 4_000_000, never)) break
  assert.equal((await store.head('x'))?.sizeBytes, 4_000_000)
})

test('an aborted read throws why, also between two answers', async (t) => {
  const server = await startServer(t)
  const store = await openOn(t, server)
  await store.putIfAbsent('x', Buffer.alloc(100))
  server.faults.next('hang', 'GetObject')
  const stop = new AbortController()
  const first = store.read('x', 0, 100, stop.signal).next()
  while (server.counts.get('GetObject') === undefined) await new Promise(setImmediate)
  stop.abort(new Error('asked to stop'))
  await assert.rejects(first, { message: 'asked to stop' })
})

test('an abort or the end of the store stops a read in the middle of its bytes', async (t) => {
  const server = await startServer(t)
  const store = await openOn(t, server)
  await store.putIfAbsent('x', Buffer.alloc(20_000_000))
  const stop = new AbortController()
  const readUntil = async (end: () => void) => {
    for await (const _ of store.read('x', 0, 20_000_000, stop.signal)) end()
  }
  await assert.rejects(
    readUntil(() => stop.abort(new Error('asked to stop'))),
    { message: 'asked to stop' },
  )
  const other = await openOn(t, server)
  const reading = (async () => {
    for await (const _ of other.read('x', 0, 20_000_000, never)) other.close()
  })()
  await assert.rejects(reading, { kind: 'closed' })
})

test('a hundred requests at once are no warning', async (t) => {
  const server = await startServer(t)
  const store = await openOn(t, server)
  const warnings: Error[] = []
  const remember = (warning: Error) => warnings.push(warning)
  process.on('warning', remember)
  t.after(() => process.off('warning', remember))
  await Promise.all(Array.from({ length: 100 }, (_, i) => store.putIfAbsent(`x${i}`, Buffer.from('x'))))
  await Promise.all(Array.from({ length: 100 }, (_, i) => store.read(`x${i}`, 0, 1, never).next()))
  await new Promise(setImmediate)
  assert.deepEqual(warnings, [])
})

test('a silent server is given up after its time, attempt by attempt', async (t) => {
  const server = await startServer(t)
  const store = await openOn(t, server, 'read', {}, { timeouts: { connectMs: 1000, idleMs: 30 } })
  server.faults.next('hang', 'HeadObject', 6)
  await assert.rejects(store.head('x'), { kind: 'unavailable', message: /does not answer in time/ })
  assert.equal(await store.head('x'), undefined)
})

test('a download in parallel ranges survives faults and is verified', async (t) => {
  const server = await startServer(t)
  const store = await openOn(t, server)
  const bytes = randomBytes(30_000_001)
  await store.putIfAbsent('x', bytes)
  const path = join(await store.scratch('test'), 'copy')
  for (const kind of ['truncated', 'reset-after', 'slow-down'] as const) server.faults.next(kind, 'GetObject')
  const downloaded = await store.download('x', path, never)
  assert.deepEqual([downloaded.sizeBytes, downloaded.wasVerified], [bytes.length, true])
  assert.ok(bytes.equals(await readFile(path)))
})

test('a download that is not what was stored is corrupt', async (t) => {
  const server = await startServer(t)
  const store = await openOn(t, server)
  await store.putIfAbsent('x', randomBytes(1000))
  server.faults.next('damaged', 'GetObject')
  const path = join(await store.scratch('test'), 'copy')
  await assert.rejects(store.download('x', path, never), { kind: 'corrupt' })
})

test('an empty object is downloaded, one that is not there is invalid', async (t) => {
  const server = await startServer(t)
  const store = await openOn(t, server)
  const path = join(await store.scratch('test'), 'copy')
  await writeFile(path, 'old')
  await store.putIfAbsent('empty', Buffer.alloc(0))
  assert.equal((await store.download('empty', path, never)).sizeBytes, 0)
  assert.equal((await readFile(path)).length, 0)
  await assert.rejects(store.download('none', path, never), { kind: 'invalid' })
  assert.equal((await store.get('empty'))?.length, 0)
})
