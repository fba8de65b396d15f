/** Vaults of more objects than a call takes arguments (some 125,000): a year of a segment a minute, or of a few hundred products. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { planCompaction } from '../../src/etl/compact-plan.ts'
import { listStrays } from '../../src/query/verify/strays.ts'
import { nextOf, type Known } from '../../src/segment/known-segments.ts'
import { emptyStore } from '../../src/storage/empty-store.ts'
import type { ObjectStore } from '../../src/storage/object-store.ts'
import type { Receipt } from '../../src/table/receipt.ts'

const many = 200_000

/** As many objects under each prefix, in batches as listings come. */
const crowded: ObjectStore = {
  ...emptyStore('crowded'),
  async *list(prefix) {
    for (let i = 0; i < many; i += 1000)
      yield Array.from({ length: 1000 }, (_, k) => ({
        key: `${prefix}${i + k}`,
        sizeBytes: 1,
        modifiedMs: 0,
      }))
  },
}

test('a proof lists them all', async () => {
  const { files, bindings } = await listStrays(crowded, 'coinbase', new AbortController().signal)
  assert.deepEqual([files.length, bindings.length], [4 * many, many])
})

test('a recovery finds which segment follows', () => {
  const header = {
    format: 1,
    venue: 'coinbase',
    url: 'wss://example.test',
    software: 'mdv test',
    recorder: 'abcdefghij',
    n: 1,
    prev: null,
    opened_ns: '1',
  } as const
  const known = new Map(
    Array.from({ length: many }, (_, i): [string, Known] => [
      String(i),
      { recorder: header.recorder, n: many - i + 1, isPublished: true, key: null, openedNs: 0n },
    ]),
  )
  assert.equal(nextOf(header, known), 2)
})

test('a merge of a day with as many receipts is planned', () => {
  const receipts = Array.from({ length: many }, (_, i) => ({
    job: `segment_20251203T14_00001_abcdefghij_${i}`,
    generation: 1,
    number_type: 'decimal',
    sources: [],
    parts: [{ size_bytes: 1 }],
  })) as unknown as Receipt[]
  const settings = { software: 'mdv test', compression: 'zstd' } as const
  const limits = { bytesMax: 1e9, graceMs: 0 }
  const plans = planCompaction(receipts, new Set(), settings, Date.UTC(2026, 0, 1), limits)
  assert.deepEqual(
    plans.map(({ inputs }) => inputs.length),
    [many],
  )
})
