/**
 * Everything that reads bytes of others, as functions of bytes: what comes back is a value, or a VaultError that says what is wrong. Whatever
 * else is thrown is a hole. Targets with an account check it themselves: of a segment each byte belongs to one line, good or bad.
 */

import assert from 'node:assert/strict'
import { VaultError } from '../../src/core/errors.ts'
import { parseConfig } from '../../src/cli/config-file.ts'
import { decodeFrame } from '../../src/dataset/decode.ts'
import { isJson, sameJson } from '../../src/dataset/json-text.ts'
import { readLine } from '../../src/query/adopt/read-line.ts'
import { namedMappings, parseMapping } from '../../src/query/adopt/mapping.ts'
import { readChunkFolder } from '../../src/segment/chunk-folder.ts'
import { peekSegment } from '../../src/segment/peek.ts'
import { SegmentScanner, type ScanResult } from '../../src/segment/scan.ts'
import {
  bindingKey,
  chunkFolder,
  chunkKey,
  parseChunkKey,
  parseReceiptKey,
  parseSegmentLabel,
  tryEncodeProductId,
} from '../../src/storage/keys.ts'
import { leaseHolder } from '../../src/storage/lease.ts'
import { compileGlob } from '../../src/sync/globs.ts'
import { readBindings } from '../../src/table/bindings.ts'
import { readMergePlan } from '../../src/table/compaction.ts'
import { parseJobId, parsePartKey } from '../../src/table/part-name.ts'
import { parseReceipt } from '../../src/table/receipts.ts'
import { coinbase } from '../../src/venue/coinbase.ts'
import { venueScan } from './venue-scan.ts'
import { MemoryStore } from '../storage/memory-store.ts'

export interface Target {
  readonly name: string
  /** Inputs that are right, or nearly, and those that once were a hole: files of test/fuzz/corpus with this name before the dash. */
  readonly corpus: string
  run(bytes: Buffer): unknown
  /** false: it may not even throw a VaultError: a socket or a reader of damaged files stands behind it. */
  readonly mayRefuse: boolean
}

const never = new AbortController().signal
const recorder = 'abcdefghij'
const label = 'segment_20251203T14_00001'
const job = `${label}_${recorder}_1`

/** Good lines, bad lines, header and seal together are the whole file, in order and without overlap. */
function scanAccounted(bytes: Buffer): ScanResult {
  let at = -1
  let accounted = 0
  const scanner = new SegmentScanner({
    line: (line) => {
      assert.ok(line.offset > at, 'lines are in order')
      at = line.offset
      accounted += line.until - line.from + 1
    },
    bad: (_reason, offset, sizeBytes) => {
      assert.ok(offset > at, 'bad lines are in order')
      at = offset
      accounted += sizeBytes
    },
  })
  const cut = bytes.length >> 1
  scanner.push(bytes.subarray(0, cut))
  scanner.push(bytes.subarray(cut))
  const result = scanner.end()
  assert.equal(result.sizeBytes, bytes.length)
  assert.ok(accounted <= bytes.length, `${accounted} of ${bytes.length} bytes in lines`)
  const whole = new SegmentScanner({})
  whole.push(bytes)
  assert.deepEqual(whole.end(), result, 'wherever the chunks are cut')
  return result
}

async function inStore<T>(key: string, bytes: Buffer, read: (store: MemoryStore) => Promise<T>): Promise<T> {
  const store = new MemoryStore()
  await store.putIfAbsent(key, bytes)
  return read(store)
}

function jsonEqualsItself(bytes: Buffer): void {
  const text = bytes.toString('utf8')
  if (isJson(text)) assert.ok(sameJson(text, text))
}

function keysOf(text: string): unknown {
  const id = tryEncodeProductId(text)
  if (id !== undefined) assert.match(id, /^[A-Za-z0-9._%-]+$/, 'a folder name and nothing more')
  return [
    parseSegmentLabel(text),
    parseChunkKey(text),
    parseReceiptKey(text),
    parseJobId(text),
    parsePartKey(text),
  ]
}

export const targets: readonly Target[] = [
  { name: 'segment', corpus: 'segment', mayRefuse: false, run: scanAccounted },
  {
    name: 'peek',
    corpus: 'segment',
    mayRefuse: false,
    run: (bytes) =>
      inStore('raw/ready/coinbase/x.ndjson', bytes, (store) =>
        peekSegment(
          store,
          { key: 'raw/ready/coinbase/x.ndjson', sizeBytes: bytes.length, modifiedMs: 0 },
          true,
          never,
        ),
      ),
  },
  { name: 'frame', corpus: 'frame', mayRefuse: false, run: venueScan },
  {
    name: 'rows',
    corpus: 'frame',
    mayRefuse: false,
    run: (bytes) => decodeFrame(bytes.toString('utf8'), (id) => tryEncodeProductId(id) !== undefined),
  },
  {
    name: 'same',
    corpus: 'frame',
    mayRefuse: false,
    run: jsonEqualsItself,
  },
  {
    name: 'products',
    corpus: 'products',
    mayRefuse: true,
    run: (bytes) => coinbase.readProducts(bytes.toString('utf8')),
  },
  {
    name: 'receipt',
    corpus: 'receipt',
    mayRefuse: true,
    run: (bytes) => parseReceipt(`processed/coinbase/_receipts/${job}.json`, bytes),
  },
  {
    name: 'binding',
    corpus: 'binding',
    mayRefuse: true,
    run: (bytes) =>
      inStore(bindingKey('coinbase', recorder, 1, 1), bytes, (store) =>
        readBindings(store, 'coinbase', { recorder, firstN: 1 }),
      ),
  },
  {
    name: 'merge',
    corpus: 'merge',
    mayRefuse: true,
    run: (bytes) =>
      inStore('processed/coinbase/_jobs/compact_20251203T14_h_0123456789abcdef.plan.json', bytes, (store) =>
        readMergePlan(store, 'coinbase', 'compact_20251203T14_h_0123456789abcdef'),
      ),
  },
  {
    name: 'lease',
    corpus: 'lease',
    mayRefuse: true,
    run: (bytes) => inStore('x.1.json', bytes, (store) => leaseHolder(store, 'x', '.json', never)),
  },
  {
    name: 'chunk',
    corpus: 'chunk',
    mayRefuse: true,
    run: (bytes) => {
      const folder = chunkFolder('coinbase', label, recorder, 1)
      return inStore(chunkKey(folder, 1), bytes, (store) => readChunkFolder(store, folder, never))
    },
  },
  {
    name: 'config',
    corpus: 'config',
    mayRefuse: true,
    run: (bytes) => parseConfig('config.yaml', bytes.toString('utf8')),
  },
  { name: 'keys', corpus: 'keys', mayRefuse: false, run: (bytes) => keysOf(bytes.toString('utf8')) },
  {
    name: 'globs',
    corpus: 'globs',
    mayRefuse: true,
    run: (bytes) => compileGlob(bytes.toString('utf8'))('processed/coinbase/level2/x'),
  },
  {
    name: 'mapping',
    corpus: 'mapping',
    mayRefuse: true,
    run: (bytes) => parseMapping(bytes.toString('utf8')),
  },
  {
    name: 'adopted',
    corpus: 'adopted',
    mayRefuse: false,
    run: (bytes) => namedMappings.map((mapping) => readLine(bytes, mapping)),
  },
]

/** @returns why this input is a hole, null when it was taken or refused as it should be */
export async function judge(target: Target, bytes: Buffer): Promise<string | null> {
  try {
    await target.run(bytes)
    return null
  } catch (error) {
    if (error instanceof VaultError && target.mayRefuse)
      return error.message === '' ? 'refused without a word' : null
    return error instanceof Error ? (error.stack ?? error.message) : String(error)
  }
}
