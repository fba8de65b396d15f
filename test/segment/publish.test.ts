/** Under which label a sealed file becomes visible. */

import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { publishFromElsewhere } from '../../src/segment/publish.ts'
import { archivedSegmentKey, readySegmentKey, receiptKey } from '../../src/storage/keys.ts'
import { listAll } from '../../src/storage/object-store.ts'
import { MemoryStore } from '../storage/memory-store.ts'

const signal = new AbortController().signal
const label = 'segment_20251203T14_00002'

/** What it is published as beside objects that are there already. */
async function published(...keys: readonly string[]): Promise<string> {
  const store = new MemoryStore()
  for (const key of keys) await store.putIfAbsent(key, Buffer.from('another'))
  const path = join(await store.scratch('publish'), 'sealed')
  await writeFile(path, 'sealed')
  const got = await publishFromElsewhere(store, 'coinbase', path, label, signal)
  assert.equal((await store.get(readySegmentKey('coinbase', got)))?.toString(), 'sealed')
  for (const { key } of await listAll(store, '', signal))
    if (keys.includes(key)) assert.equal((await store.get(key))?.toString(), 'another')
  return got
}

test('a sealed segment keeps its label while nobody else has borne it', async () => {
  assert.equal(await published(), label)
  assert.equal(await published(readySegmentKey('coinbase', 'segment_20251203T14_00001')), label)
  assert.equal(await published(receiptKey('coinbase', 'segment_20251203T14_00001_abcdefghij_1', 1)), label)
})

test('a label that a ready, archived or converted segment bears is not given a second time', async () => {
  const next = 'segment_20251203T14_00003'
  assert.equal(await published(readySegmentKey('coinbase', label)), next)
  for (const ending of ['zst', 'gz'] as const)
    assert.equal(await published(archivedSegmentKey('coinbase', '2025-12-03', label, ending)), next)
  assert.equal(await published(receiptKey('coinbase', `${label}_abcdefghij_1`, 1)), next)
  assert.equal(await published(receiptKey('coinbase', `${label}_abcdefghij_1`, 2)), next)
})
