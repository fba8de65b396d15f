/** Everything a vault holds in the end, found by its receipts, read with another reader than the vault's own. */

import assert from 'node:assert/strict'
import { parseChunkKey } from '../../src/storage/keys.ts'
import { listAll, type ObjectStore } from '../../src/storage/object-store.ts'
import type { Receipt } from '../../src/table/receipt.ts'
import { readReceipts } from '../../src/table/receipts.ts'
import { readLine, type RecordedSegment } from '../../test-full/segment-lines.ts'
import { sha256 } from '../etl/job-bench.ts'
import { linesOfPart } from './convert.ts'
import type { World } from './world.ts'

const never = new AbortController().signal

export interface Gathered {
  readonly receipts: readonly Receipt[]
  /** One a recorder, its lines in the order of their counters. */
  readonly recorded: readonly (RecordedSegment & { readonly counters: readonly number[] })[]
  readonly rejectedLines: number
  /** Every key of the vault but those of fences, which stay while their owner may come back (ARCHITECTURE.md). */
  readonly keys: readonly string[]
}

export async function isFence(store: ObjectStore, key: string): Promise<boolean> {
  if (parseChunkKey(key) === undefined) return false
  const body = await store.get(key)
  return body?.toString().startsWith('{"fence":') === true
}

export async function gather(world: World): Promise<Gathered> {
  const store = await world.vault()
  const receipts = await readReceipts(store, 'coinbase', never)
  const lines = new Map<string, Map<number, string>>()
  let rejectedLines = 0
  for (const receipt of receipts) {
    for (const part of receipt.parts) {
      const bytes = await store.get(part.key)
      assert.ok(bytes !== undefined, `${part.key} is named by a receipt and not there`)
      assert.equal(sha256(bytes), part.sha256, `${part.key} is not what was committed`)
      for (const { recorder, line } of linesOfPart(bytes)) take(lines, recorder, line)
    }
    rejectedLines += await rejectsOf(store, receipt)
  }
  const keys: string[] = []
  for (const { key } of await listAll(store, '', never)) if (!(await isFence(store, key))) keys.push(key)
  return {
    receipts,
    recorded: [...lines].map(([recorder, byN]) => recordedBy(recorder, byN)),
    rejectedLines,
    keys,
  }
}

async function rejectsOf(store: ObjectStore, { rejects_key: key }: Receipt): Promise<number> {
  if (key === null) return 0
  const body = await store.get(key)
  assert.ok(body !== undefined, `${key} is named by a receipt and not there`)
  return body.toString('latin1').split('\n').length - 1
}

function take(lines: Map<string, Map<number, string>>, recorder: string, line: string): void {
  const n = Number(/^\{"n":(\d+)/.exec(line)?.[1])
  const byN = lines.get(recorder) ?? new Map<number, string>()
  lines.set(recorder, byN)
  assert.ok(!byN.has(n), `line ${n} of ${recorder} is there twice`)
  byN.set(n, line)
}

function recordedBy(recorder: string, byN: ReadonlyMap<number, string>): Gathered['recorded'][number] {
  const counters = [...byN.keys()].sort((a, b) => a - b)
  const into = { name: recorder, recorder, frames: [], events: [], sealed: true, counters }
  for (const n of counters) readLine(`${recorder} ${n}`, Buffer.from(byN.get(n)!, 'latin1'), into)
  return into
}
