/** A vault whose keys, receipts and records are right and whose parts are mere bytes: all that a sync looks at. */

import assert from 'node:assert/strict'
import { sha256Hex } from '../../src/core/ids.ts'
import {
  activeSegmentKey,
  archivedSegmentKey,
  bindingKey,
  partitionPrefix,
  rawActive,
  rawProcessing,
  rawRejected,
  readySegmentKey,
  receiptKey,
  segmentLabel,
} from '../../src/storage/keys.ts'
import { listAll, type ObjectStore } from '../../src/storage/object-store.ts'
import type { LocalPlace, Place } from '../../src/storage/place.ts'
import { endOf } from '../../src/sync/end.ts'
import { keyFilter } from '../../src/sync/globs.ts'
import { vaultPrefixes } from '../../src/sync/key-class.ts'
import { Tally, type SyncEvent } from '../../src/sync/report.ts'
import type { SyncOptions } from '../../src/sync/round.ts'
import { syncOnce, syncUntilStill, type SyncDeps } from '../../src/sync/run.ts'
import type { Receipt, ReceiptPart } from '../../src/table/receipt.ts'
import { encodeReceipt, readReceipts } from '../../src/table/receipts.ts'
import { partLocation, stagedPartKey, swapMarkKey } from '../../src/table/staged.ts'
import { sealedSegment } from '../query/small-vault.ts'
import { ManualClock } from '../segment/manual-clock.ts'

export const never = new AbortController().signal
export const venue = 'coinbase'
const recorder = 'abcdefghij'
const products = ['BTC-USD', 'ETH-USD']

export const everything: SyncOptions = {
  prefixes: vaultPrefixes,
  isSelected: keyFilter([], []),
  isDryRun: false,
  isChecking: false,
  isDeleting: false,
  isSweeping: false,
  atOnce: 4,
}

export const somewhere: LocalPlace = { backend: 'local', baseDir: '/somewhere' }

export interface Synced {
  readonly tally: Tally
  readonly events: readonly SyncEvent[]
}

export interface Trip {
  readonly source: ObjectStore
  readonly target: ObjectStore
  readonly sourcePlace?: Place
  readonly targetPlace?: Place
}

export function syncDeps({ source, target, sourcePlace, targetPlace }: Trip): SyncDeps {
  const clock = new ManualClock()
  // What a sync waits for is over at once: its retries are tried, not its patience.
  clock.sleep = () => Promise.resolve()
  return {
    source: endOf(source, sourcePlace ?? somewhere),
    target: endOf(target, targetPlace ?? somewhere),
    clock,
    random: () => 0.5,
  }
}

export async function sync(
  trip: Trip,
  options: Partial<SyncOptions> = {},
  run = syncUntilStill,
  signal = never,
): Promise<Synced> {
  const tally = new Tally()
  const events: SyncEvent[] = []
  await run(
    syncDeps(trip),
    { ...everything, ...options },
    { event: (event) => void events.push(event) },
    tally,
    signal,
  )
  return { tally, events }
}

export const syncRoundOnce = (trip: Trip, options: Partial<SyncOptions> = {}): Promise<Synced> =>
  sync(trip, options, syncOnce)

/** What a finished copy has of a vault: everything but what belongs to one place and moment. */
export async function copyable(store: ObjectStore): Promise<Record<string, string>> {
  const digests: Record<string, string> = {}
  for (const { key } of await listAll(store, '', never)) {
    if (/^raw\/(?:active|processing)\/|^config\.yaml$/.test(key)) continue
    digests[key] = sha256Hex((await store.get(key))!)
  }
  return digests
}

/** Whoever follows the receipts finds every part of them. */
export async function assertWhole(store: ObjectStore, when: string): Promise<void> {
  for (const receipt of await readReceipts(store, venue, never))
    for (const part of receipt.parts) {
      const at = await partLocation(store, receipt, part)
      assert.ok(at !== undefined, `${when}: ${receipt.job} names ${part.key}, which is nowhere`)
      assert.equal(sha256Hex((await store.get(at))!), part.sha256, `${when}: ${at}`)
    }
}

/** Converts counter `counter`: ready, binding, parts, receipt, ready gone. */
export async function job(store: ObjectStore, counter: number, keepRaw = false): Promise<Receipt> {
  const label = segmentLabel('20251203T14', counter)
  const n = counter * 100
  const name = `${label}_${recorder}_${n}`
  await put(store, bindingKey(venue, recorder, n, 1), JSON.stringify({ job: name }))
  const parts = await Promise.all(products.map((product) => part(store, name, product, counter)))
  const rejects = counter % 2 === 0 ? `${rawRejected(venue)}${name}.g1.ndjson` : null
  if (rejects !== null) await put(store, rejects, `rejects of ${name}\n`)
  if (keepRaw) await put(store, readySegmentKey(venue, label), `segment ${label}\n`)
  const receipt = { ...receiptOf(name, 1, parts, label, n), rejects_key: rejects }
  await put(store, receiptKey(venue, name, 1), encodeReceipt(receipt))
  return receipt
}

async function part(
  store: ObjectStore,
  name: string,
  product: string,
  seed: number,
  keyOf = (key: string): string => key,
): Promise<ReceiptPart> {
  const digits = sha256Hex(`${name} ${product}`).slice(0, 8)
  const key = `${partitionPrefix(venue, 'ticker', product, '2025-12-03')}part_20251203T14_${digits}.parquet`
  const body = Buffer.from(`${name} ${product} `.repeat(seed + 1))
  await put(store, keyOf(key), body)
  return {
    key,
    table: 'ticker',
    product_id: product,
    date: '2025-12-03',
    rows: 1,
    size_bytes: body.length,
    sha256: sha256Hex(body),
    min_time_ns: '0',
    max_time_ns: '1',
  }
}

function receiptOf(
  name: string,
  generation: number,
  parts: readonly ReceiptPart[],
  label: string,
  n: number,
): Receipt {
  return {
    format: 1,
    job: name,
    generation,
    venue,
    software: 'mdv test',
    number_type: 'decimal',
    sources: [
      {
        key: readySegmentKey(venue, label),
        label,
        recorder,
        first_n: n,
        last_n: n,
        lines: 1,
        size_bytes: 10,
        file_sha256: sha256Hex(label),
        seal_sha256: null,
        first_recv_ns: null,
        last_recv_ns: null,
      },
    ],
    parts,
    lines: { total: 1, frames: 1, events: 0, rejected: 0 },
    rejects_key: null,
    writer: 'test',
    committed_ms: 1,
  }
}

/** Merges jobs as `mdv compact` does. @param until `staged`: the receipt is there and the swap not begun */
export async function merge(
  store: ObjectStore,
  name: string,
  inputs: readonly Receipt[],
  until: 'staged' | 'done' = 'done',
): Promise<Receipt> {
  const jobs = `processed/${venue}/_jobs/`
  await put(store, `${jobs}${name}.plan.json`, JSON.stringify({ plan: name }))
  for (const { job: input } of inputs)
    await put(store, `${jobs}${input}.g1.next.json`, JSON.stringify({ format: 1, successor: name }))
  const target = { venue, job: name, generation: 1 }
  const staged = (key: string): string => stagedPartKey(target, key)
  await put(store, swapMarkKey(venue, name, 1), '{}')
  const parts = await Promise.all(products.map((product) => part(store, name, product, 50, staged)))
  const receipt: Receipt = {
    ...receiptOf(name, 1, parts, 'x', 0),
    sources: inputs.flatMap(({ sources }) => sources),
    supersedes: inputs.map(({ job: input }) => ({ job: input, generation: 1 })),
  }
  await put(store, receiptKey(venue, name, 1), encodeReceipt(receipt))
  if (until === 'done') await swap(store, receipt, inputs)
  return receipt
}

export async function swap(store: ObjectStore, receipt: Receipt, inputs: readonly Receipt[]): Promise<void> {
  for (const { parts } of inputs) for (const { key } of parts) await store.delete(key)
  for (const { key } of receipt.parts) {
    const body = await store.get(stagedPartKey(receipt, key))
    await put(store, key, body!)
    await store.delete(stagedPartKey(receipt, key))
  }
  await store.delete(swapMarkKey(receipt.venue, receipt.job, receipt.generation))
}

/** Every kind of object a vault has, and what must stay where it is. */
export async function paperVault(store: ObjectStore): Promise<void> {
  const receipts = []
  for (let counter = 1; counter <= 5; counter++) receipts.push(await job(store, counter, counter === 5))
  await merge(store, 'compact_20251203T14_h_0123456789abcdef', receipts.slice(0, 2))
  await put(store, readySegmentKey(venue, segmentLabel('20251203T14', 9)), 'a sealed segment\n'.repeat(99))
  await put(store, archivedSegmentKey(venue, '2025-12-03', segmentLabel('20251203T14', 1), 'gz'), 'packed')
  await put(store, activeSegmentKey(venue, segmentLabel('20251203T14', 10)), '{"segment":{}}\n')
  await put(store, `${rawActive(venue)}recorder.1.lease.json`, '{}')
  await put(store, `${rawProcessing(venue)}x.1.claim.json`, '{}')
  await put(store, `processed/${venue}/_adopted/${'0'.repeat(64)}.json`, '{}')
}

/** A sealed file that its recorder did not live to publish. */
export async function sealedActive(store: ObjectStore, counter: number): Promise<string> {
  const key = activeSegmentKey(venue, segmentLabel('20251203T14', counter))
  await put(store, key, sealedSegment(1, []))
  return key
}

export async function put(store: ObjectStore, key: string, body: string | Uint8Array): Promise<void> {
  assert.equal(await store.putIfAbsent(key, Buffer.from(body as string)), 'created', key)
}
