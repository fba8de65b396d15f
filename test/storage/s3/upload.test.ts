/** Large transfers: parts that fail, uploads that are lost, orphans, copies. */

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { connectToBucket } from '../../../src/storage/s3/region.ts'
import { copyObject } from '../../../src/storage/s3/copy.ts'
import { partRanges } from '../../../src/storage/s3/upload.ts'
import { openOn, settingsFor, startServer, testDeps } from './bucket.ts'

const never = new AbortController().signal
const bytes = randomBytes(20_000_003)

async function setUp(t: TestContext) {
  const server = await startServer(t)
  const store = await openOn(t, server)
  const scratch = await store.scratch('test')
  const path = join(scratch, 'large')
  await writeFile(path, bytes)
  return { server, store, path, copy: join(scratch, 'copy'), uploads: server.buckets.get('vault')!.uploads }
}

test('a large file arrives in parts, each tried again by itself, and comes back verified', async (t) => {
  const { server, store, path, copy, uploads } = await setUp(t)
  server.faults.next('slow-down', 'UploadPart')
  server.faults.next('reset-after', 'UploadPart', 1, 1)
  await store.uploadLarge(path, 'large', never)
  assert.equal(server.counts.get('UploadPart'), 3 + 2)
  assert.equal((await store.download('large', copy, never)).wasVerified, true)
  assert.ok(bytes.equals(await readFile(copy)))
  assert.deepEqual(uploads.names(), [])
})

test('an upload that completed and whose answer was lost is done', async (t) => {
  const { server, store, path } = await setUp(t)
  server.faults.next('reset-after', 'CompleteMultipartUpload')
  await store.uploadLarge(path, 'large', never)
  assert.equal(server.counts.get('CreateMultipartUpload'), 1)
})

test('a part the server lost is found at the end, and the upload is done anew', async (t) => {
  const { server, store, path, uploads } = await setUp(t)
  server.faults.next('wrong-etag', 'UploadPart')
  await store.uploadLarge(path, 'large', never)
  assert.equal(server.counts.get('CreateMultipartUpload'), 2)
  assert.deepEqual(uploads.names(), [])
})

test('an upload that fails is aborted, and nothing shows', async (t) => {
  const { server, store, path, uploads } = await setUp(t)
  server.faults.next('internal', 'UploadPart', 1000)
  await assert.rejects(store.uploadLarge(path, 'large', never), { kind: 'unavailable' })
  assert.equal(server.counts.get('AbortMultipartUpload'), 1)
  assert.deepEqual(uploads.names(), [])
  assert.equal(await store.head('large'), undefined)
})

test('uploads nobody finished are found over pages by age and prefix, and removed', async (t) => {
  const { server, store, uploads } = await setUp(t)
  server.pageSize = 2
  for (let i = 0; i < 5; i++)
    uploads.set(`u${i}`, { id: `u${i}`, key: `some/where/k${i}`, startedMs: i * 1000, headers: {} })
  uploads.set('foreign', { id: 'foreign', key: 'elsewhere', startedMs: 0, headers: {} })
  const stale = await store.staleUploads('', 4000, never)
  assert.deepEqual(
    stale.map(({ uploadId }) => uploadId),
    ['u0', 'u1', 'u2', 'u3'],
  )
  for (const upload of stale) await store.abortUpload(upload)
  await store.abortUpload(stale[0]!)
  assert.deepEqual(uploads.names(), ['u4', 'foreign'])
})

test('a copy takes checksum and metadata along, at once or in parts', async (t) => {
  const { server, store, path, copy } = await setUp(t)
  await store.uploadLarge(path, 'large', never)
  const sha256 = (await store.download('large', copy, never)).sha256
  const source = { bucket: 'vault', fullKey: store.fullKey('large'), sizeBytes: bytes.length, sha256 }
  await store.copyFrom(source, 'copies/at once', never)
  const connection = await connectToBucket(await settingsFor(t, server), testDeps)
  t.after(() => connection.close())
  await copyObject(connection, source, connection.full('copies/parts'), never, 8_000_000)
  assert.equal(server.counts.get('UploadPartCopy'), 3)
  for (const key of ['copies/at once', 'copies/parts']) {
    const back = await store.download(key, copy, never)
    assert.deepEqual([back.sha256, back.wasVerified], [sha256, true])
  }
})

test('parts cover a file once, and are never more than 10,000', () => {
  for (const sizeBytes of [0, 1, 8, 9, 16, 200_000_000_000, 5_000_000_000_000]) {
    const ranges = partRanges(sizeBytes, 8)
    assert.ok(ranges.length <= 10_000)
    assert.equal(ranges[0]![0], 0)
    assert.equal(ranges.at(-1)![1], sizeBytes)
    for (let i = 1; i < ranges.length; i++) assert.equal(ranges[i]![0], ranges[i - 1]![1])
  }
})
