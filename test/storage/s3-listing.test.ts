/** Listings of a server that is broken, or hostile. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { infosOf } from '../../src/storage/s3/list.ts'
import { readAdoptedFolders } from '../../src/table/adopted.ts'
import { openLocalStore } from '../../src/storage/local.ts'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const unavailable = { name: 'VaultError', kind: 'unavailable' }

test('a key that is no valid encoding of UTF-8 is an error that names it', () => {
  const page = { EncodingType: 'url' as const, Contents: [{ Key: 'raw/%E0%A4%A' }] }
  assert.throws(() => infosOf(page, '', 's3://bucket/raw/'), { ...unavailable, message: /raw\/%E0%A4%A/ })
})

test('an object without a key is an error, never one less in the list', () => {
  assert.throws(() => infosOf({ Contents: [{ Size: 1 }] }, '', 's3://bucket/'), unavailable)
})

test('keys are decoded once, and lose their prefix', () => {
  const page = { EncodingType: 'url' as const, Contents: [{ Key: 'vault/a+b%2520c', Size: 3 }] }
  assert.deepEqual(infosOf(page, 'vault/', 's3://bucket/vault/'), [
    { key: 'a b%20c', sizeBytes: 3, modifiedMs: 0 },
  ])
})

test('a note of adopted Parquet whose name or path is made to lead elsewhere is refused', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'mdv-adopted-'))
  t.after(() => rm(dir, { recursive: true, force: true }))
  const store = await openLocalStore(dir)
  const note = {
    format: 1,
    kind: 'parquet',
    name: 'ticks',
    generation: 1,
    path: '/data/ticks',
    files: [{ path: 'a.parquet', size_bytes: 1 }],
    rows: 1,
    columns: [],
    software: 'mdv test',
    adopted_ms: 1,
  }
  const key = 'processed/coinbase/_adopted/parquet_ticks.g1.json'
  for (const hostile of [
    { name: 'ticks"; ATTACH' },
    { files: [{ path: '../../etc/passwd', size_bytes: 1 }] },
    { files: [{ path: '/etc/passwd', size_bytes: 1 }] },
    { files: 7 },
    { generation: 2 },
  ]) {
    await store.delete(key)
    await store.putIfAbsent(key, Buffer.from(JSON.stringify({ ...note, ...hostile })))
    await assert.rejects(readAdoptedFolders(store, 'coinbase', new AbortController().signal), {
      name: 'VaultError',
      kind: 'corrupt',
    })
  }
})
