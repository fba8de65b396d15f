/** Buckets as ends of a sync: there and back byte for byte, from bucket to bucket by the server, with requests that fail. */

import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { openLocalStore } from '../../src/storage/local.ts'
import { rawArchive, readySegmentKey, segmentLabel } from '../../src/storage/keys.ts'
import type { LocalObjectStore } from '../../src/storage/object-store.ts'
import { hideCredentials, type S3Place } from '../../src/storage/place.ts'
import { smallBytes } from '../../src/sync/transfer.ts'
import { failOften, openOn, startServer } from '../storage/s3/bucket.ts'
import { testAccount, type S3Server } from '../storage/s3-server/server.ts'
import { ManualClock } from '../segment/manual-clock.ts'
import { MemoryStore } from '../storage/memory-store.ts'
import { assertWhole, copyable, job, paperVault, sync, venue } from './paper-vault.ts'

async function folder(t: TestContext): Promise<LocalObjectStore> {
  const path = await mkdtemp(join(tmpdir(), 'mdv-sync-'))
  t.after(() => rm(path, { recursive: true, force: true }))
  return openLocalStore(path)
}

function placeOn({ url }: S3Server, bucket: string): S3Place {
  const credentials = hideCredentials({ ...testAccount, sessionToken: null })
  const server = { region: null, endpointUrl: url, forcePathStyle: true, singleWriter: false }
  return { backend: 's3', bucket, prefix: 'some/where', ...server, credentials }
}

/** Takes several parts to upload, and several ranges to fetch. */
async function addLarge(store: LocalObjectStore): Promise<void> {
  const body = Buffer.alloc(2 * smallBytes + 1_234_567, 'market data ')
  await store.putIfAbsent(
    `${rawArchive(venue)}date=2025-12-03/${segmentLabel('20251203T15', 1)}.ndjson.gz`,
    body,
  )
  await store.putIfAbsent(
    readySegmentKey(venue, segmentLabel('20251203T15', 2)),
    body.subarray(0, smallBytes + 1),
  )
}

test('a vault in a folder goes to a bucket and back byte for byte, also when one request in twenty fails', async (t) => {
  const seed = Date.now() % 1_000_000
  t.diagnostic(`seed ${seed}`)
  const server = await startServer(t, { seed })
  const [source, back] = [await folder(t), await folder(t)]
  await paperVault(source)
  await addLarge(source)
  const bucket = await openOn(t, server, 'shared')
  failOften(server)
  await sync({ source, target: bucket })
  await assertWhole(bucket, 'after')
  assert.deepEqual(await copyable(bucket), await copyable(source))
  await sync({ source: bucket, target: back })
  assert.deepEqual(await copyable(back), await copyable(source))
  const { tally } = await sync({ source, target: bucket }, { isChecking: true })
  assert.deepEqual([tally.copied, tally.conflicts], [0, 0])
})

test('from bucket to bucket data is copied by the server, records by put-if-absent', async (t) => {
  const server = await startServer(t, { buckets: ['vault', 'second'] })
  const local = await folder(t)
  await paperVault(local)
  await addLarge(local)
  const source = await openOn(t, server, 'shared')
  const target = await openOn(t, server, 'shared', { bucket: 'second' })
  await sync({ source: local, target: source })
  server.counts.clear()
  const trip = {
    source,
    target,
    sourcePlace: placeOn(server, 'vault'),
    targetPlace: placeOn(server, 'second'),
  }
  const { tally } = await sync(trip)
  const requests = Object.fromEntries(server.counts)
  assert.deepEqual(await copyable(target), await copyable(local))
  const records = Object.keys(await copyable(local)).filter((key) =>
    /_jobs|_receipts|_adopted/.test(key),
  ).length
  assert.deepEqual([requests['CopyObject'], requests['PutObject']], [tally.copied - records, records])
})

test('where the server may not copy, the bytes pass through here', async (t) => {
  const server = await startServer(t, { buckets: ['vault', 'second'] })
  const local = new MemoryStore()
  await job(local, 1)
  const source = await openOn(t, server, 'shared')
  const target = await openOn(t, server, 'shared', { bucket: 'second' })
  await sync({ source: local, target: source })
  server.denied.add('CopyObject')
  await sync({
    source,
    target,
    sourcePlace: placeOn(server, 'vault'),
    targetPlace: placeOn(server, 'second'),
  })
  assert.deepEqual(await copyable(target), await copyable(local))
})

test('what a sync that died had begun to upload is removed a day later, and nothing else', async (t) => {
  const server = await startServer(t, {})
  const source = await folder(t)
  await paperVault(source)
  const target = await openOn(t, server, 'shared')
  const { uploads } = server.buckets.get('vault')!
  const nowMs = new ManualClock().nowMs()
  const begin = (id: string, key: string, hoursAgo: number): void =>
    uploads.set(id, { id, key, startedMs: nowMs - hoursAgo * 3_600_000, headers: {} })
  begin('ours', 'some/where/raw/archive/coinbase/x', 25)
  begin('under way', 'some/where/raw/archive/coinbase/y', 23)
  begin('foreign', 'elsewhere/raw/archive/coinbase/x', 25)
  const { tally } = await sync({ source, target }, { isSweeping: true })
  assert.equal(tally.uploadsRemoved, 1)
  assert.deepEqual(uploads.names(), ['under way', 'foreign'])
})
