import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { adoptFile } from '../../src/query/adopt/adopt-file.ts'
import {
  adoptedSegmentBytes,
  type AdoptDeps,
  type AdoptOptions,
  type AdoptOutcome,
} from '../../src/query/adopt/adopt-run.ts'
import { adoptFolder } from '../../src/query/adopt/adopt-folder.ts'
import { parseMapping } from '../../src/query/adopt/mapping.ts'
import type { Clock } from '../../src/core/clock.ts'
import { VaultError } from '../../src/core/errors.ts'
import { readSegment } from '../../src/segment/read.ts'
import { openLocalStore } from '../../src/storage/local.ts'
import { listAll, type LocalObjectStore } from '../../src/storage/object-store.ts'
import { adoptedFileKey } from '../../src/table/adopted.ts'
import { CrashingStore, CrashNow } from '../storage/crashing-store.ts'

let folder: string
let deps: AdoptDeps
const signal = new AbortController().signal
const clock: Clock = {
  nowMs: () => 1_764_770_400_000,
  nowNs: () => 1_764_770_400_000_000_000n,
  monotonicMs: () => 0,
  monotonicNs: () => 0n,
  after: () => ({ cancel: () => undefined }),
  sleep: async () => undefined,
}

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mdv-adopt-'))
  const store = await openLocalStore(join(folder, 'vault'))
  deps = { store, clock, venue: 'coinbase', software: 'mdv test' }
})
afterEach(() => rm(folder, { recursive: true, force: true }))

async function adopt(text: string | Buffer, mapping = 'bare', name = 'old.ndjson'): Promise<AdoptOutcome> {
  const path = join(folder, name)
  await writeFile(path, text)
  return adoptFile(
    deps,
    path,
    {
      mapping: parseMapping(mapping),
      isDryRun: false,
      segmentBytesMax: adoptedSegmentBytes,
      onProgress: () => undefined,
    },
    signal,
  )
}

async function readyNames(): Promise<string[]> {
  return readdir(join(folder, 'vault/raw/ready/coinbase')).catch(() => [])
}

/** Lines of the one segment in ready, without their crc. */
async function segmentLines(): Promise<string[]> {
  const [name, ...others] = await readyNames()
  assert.equal(others.length, 0)
  const text = await readFile(join(folder, 'vault/raw/ready/coinbase', name!), 'utf8')
  return text
    .trimEnd()
    .split('\n')
    .map((line) => line.replace(/,"crc":"[0-9a-f]{8}"\}$/, ''))
}

const frame = '{"channel":"ticker", "timestamp":"2024-06-01T10:00:00.123456789Z","price":1.50}'

test('bare frames become a sealed segment with their bytes as they were, received when they say', async () => {
  const { record } = await adopt(`${frame}\n\n{"timestamp":"2024-06-01T09:59:59Z"}\n`)
  const lines = await segmentLines()
  assert.equal(lines.length, 5)
  assert.match(lines[1]!, /^\{"n":1,"recv_ns":"1717236000123456789","event":\{"adopted":\{"sha256":/)
  assert.equal(
    lines[2],
    `{"n":2,"recv_ns":"1717236000123456789","conn":"${record.recorder}-1","len":${frame.length},"msg":${frame}`,
  )
  const seal = JSON.parse(lines[4]!) as {
    seal: { lines: number; first_n: number; last_n: number; sha256: string }
  }
  assert.equal(seal.seal.lines, 3)
  assert.deepEqual(await readyNames(), ['segment_20240601T10_00001.ndjson'])
  assert.equal(record.frames, 2)
})

test('an envelope is taken off; a frame kept as a string is decoded to the bytes the exchange sent', async () => {
  const inner = '{"type":"ticker","note":"a\\"b"}'
  const lines = [
    `{"received_at":"2024-06-01T12:00:00+02:00","data":${frame}}`,
    `{"ts":1717236000.5,"raw":${JSON.stringify(inner)}}`,
    `{"timestamp":1717236000123,"message":{"data":[1,{"x":"}"}]}}`,
  ]
  await adopt(lines.join('\n'), 'recorder-v0')
  const [, , first, second, third] = await segmentLines()
  assert.ok(first!.includes('"recv_ns":"1717236000000000000"') && first!.endsWith(`"msg":${frame}`))
  assert.ok(second!.includes('"recv_ns":"1717236000500000000"') && second!.endsWith(`"msg":${inner}`))
  assert.ok(
    third!.includes('"recv_ns":"1717236000123000000"') && third!.endsWith('"msg":{"data":[1,{"x":"}"}]}'),
  )
})

test('a mapping can be spelled out, and is refused when it makes no sense', async () => {
  await adopt(
    `{"meta":{"t":"1717236000123456"},"body":{"frame":{"a":1}}}\n`,
    'raw=body.frame,recv=meta.t,unit=us',
  )
  const [, , line] = await segmentLines()
  assert.match(line!, /"recv_ns":"1717236000123456000".*"msg":\{"a":1\}$/)
  for (const text of ['nonsense', 'raw=a', 'raw=a,recv=b,unit=weeks', 'recv=b'])
    assert.throws(
      () => parseMapping(text),
      (error) => error instanceof VaultError && error.kind === 'usage',
    )
})

test('lines without a frame are kept whole in raw/rejected with their place and reason', async () => {
  const bad = [
    '{"received_at":"2024-06-01T10:00:00Z"}',
    'not json',
    '{"received_at":"soon","data":{}}',
    '{"received_at":1,"data":[1]}',
    '{"data":{}}',
  ]
  const good = `{"received_at":"2024-06-01T10:00:00Z","data":{"ok":1}}`
  const text = Buffer.concat([Buffer.from([...bad, good, ''].join('\n')), Buffer.from([0xff, 0xfe, 0x0a])])
  const { record, rejects } = await adopt(text, 'recorder-v0')
  assert.equal(record.frames, 1)
  assert.deepEqual(rejects, {
    no_frame: 1,
    not_json: 1,
    bad_time: 1,
    frame_not_json: 1,
    no_time: 1,
    not_utf8: 1,
  })
  const kept = (await readFile(deps.store.fileOf(record.rejects_key!)!, 'utf8')).trimEnd().split('\n')
  const parsed = kept.map(
    (line) => JSON.parse(line) as { line: number; offset: number; text?: string; base64?: string },
  )
  assert.deepEqual(
    parsed.slice(0, 5).map((reject) => reject.text),
    bad,
  )
  assert.equal(parsed[1]!.offset, bad[0]!.length + 1)
  assert.equal(parsed[5]!.base64, Buffer.from([0xff, 0xfe]).toString('base64'))
})

test('the file is only read, and the same bytes are adopted once, whatever they are called', async () => {
  await adopt(`${frame}\n`)
  const before = await stat(join(folder, 'old.ndjson'))
  const again = await adopt(`${frame}\n`, 'bare', 'copy.jsonl')
  assert.equal(again.kind, 'known')
  assert.equal((await readyNames()).length, 1)
  assert.equal((await stat(join(folder, 'old.ndjson'))).mtimeMs, before.mtimeMs)
})

test('a run that died before it said it was done is brought to its end without a second segment', async () => {
  const first = await adopt(`${frame}\n`)
  await rm(deps.store.fileOf(adoptedFileKey('coinbase', first.record.sha256))!)
  const second = await adopt(`${frame}\n`)
  assert.equal(second.kind, 'adopted')
  assert.equal(second.segmentsFound, 1)
  assert.deepEqual(second.record.segments, first.record.segments)
  assert.equal((await readyNames()).length, 1)
})

test('nothing is left behind by a file without a single frame, and the way out is said', async () => {
  await assert.rejects(
    adopt('{"data":{"x":1}}\n', 'raw=body,recv=t,unit=s'),
    (error) =>
      error instanceof VaultError &&
      error.kind === 'invalid' &&
      /1 no_frame/.test(error.message) &&
      /--mapping/.test(error.remedy!),
  )
  assert.deepEqual(await readyNames(), [])
  assert.equal((await adopt('{"data":{"x":1},"ts":1}\n', 'recorder-v0')).kind, 'adopted')
})

test('gzip is read as it is; a bomb and a torn file are refused', async () => {
  assert.equal((await adopt(gzipSync(`${frame}\n`), 'bare', 'a.ndjson.gz')).record.frames, 1)
  await assert.rejects(
    adopt(gzipSync(Buffer.alloc(90_000_000)), 'bare', 'b.ndjson.gz'),
    /inflates to more than 200 times/,
  )
  await assert.rejects(
    adopt(gzipSync(`${frame}\n`.repeat(1000)).subarray(0, 60), 'bare', 'c.ndjson.gz'),
    /not readable as gzip/,
  )
})

test('one of our own segments is not adopted', async () => {
  await assert.rejects(adopt('{"segment":{"format":1}}\n'), /segment of mdv itself/)
})

test('a dry run counts and writes nothing', async () => {
  const path = join(folder, 'old.ndjson')
  await writeFile(path, `${frame}\nno\n`)
  const options = {
    mapping: parseMapping('bare'),
    isDryRun: true,
    segmentBytesMax: adoptedSegmentBytes,
    onProgress: () => undefined,
  }
  const outcome = await adoptFile(deps, path, options, signal)
  assert.equal(outcome.kind, 'dry_run')
  assert.deepEqual([outcome.record.frames, outcome.record.rejected], [1, 1])
  assert.deepEqual(
    await readdir(join(folder, 'vault')).then((names) => names.filter((name) => !name.startsWith('.'))),
    [],
  )
})

test('a folder of Parquet is catalogued by file and column, again only when it has changed', async () => {
  const { DuckDBInstance } = (await import('../../src/storage/duckdb.ts')).duckdb
  const connection = await (await DuckDBInstance.create(':memory:')).connect()
  const trades = join(folder, 'My Trades')
  for (const symbol of ['BTC', 'ETH']) {
    await mkdir(join(trades, `symbol=${symbol}`), { recursive: true })
    await connection.run(
      `COPY (SELECT 1.5 AS price) TO '${join(trades, `symbol=${symbol}`)}/a.parquet' (FORMAT parquet)`,
    )
  }
  const first = await adoptFolder(deps, trades, null, false, signal)
  assert.equal(first.kind, 'adopted')
  assert.equal(first.record.name, 'my_trades')
  assert.equal(first.record.rows, 2)
  assert.deepEqual(
    first.record.files.map((file) => file.path),
    ['symbol=BTC/a.parquet', 'symbol=ETH/a.parquet'],
  )
  assert.deepEqual(
    first.record.columns.map((column) => column.name),
    ['price', 'symbol'],
  )
  assert.equal((await adoptFolder(deps, trades, null, false, signal)).kind, 'known')
  await rm(join(trades, 'symbol=ETH/a.parquet'))
  const second = await adoptFolder(deps, trades, null, false, signal)
  assert.deepEqual([second.kind, second.record.generation, second.record.rows], ['adopted', 2, 1])
})

test('killed at any step, landed or lost, and run again: each frame is in the vault once', async () => {
  const path = join(folder, 'old.ndjson')
  const frames = Array.from({ length: 12 }, (_, i) => `{"timestamp":"2024-06-01T10:00:00Z","i":${i}}`)
  await writeFile(path, [...frames, 'no frame', ''].join('\n'))
  // Small enough for several segments.
  const options = {
    mapping: parseMapping('bare'),
    isDryRun: false,
    segmentBytesMax: 900,
    onProgress: () => undefined,
  }
  const wantedSteps = await stepsOf(path, options)
  assert.ok(wantedSteps > 8)
  for (let step = 1; step <= wantedSteps; step++)
    for (const kind of ['landed', 'lost'] as const) {
      await rm(join(folder, 'vault'), { recursive: true })
      const store = await openLocalStore(join(folder, 'vault'))
      const crashing = new CrashingStore(store, step, kind)
      await assert.rejects(adoptFile({ ...deps, store: crashing }, path, options, signal), CrashNow)
      await forgetLeases(store)
      await adoptFile({ ...deps, store }, path, options, signal)
      assert.deepEqual(await framesIn(store), frames, `step ${step} ${kind}`)
      assert.equal((await adoptFile({ ...deps, store }, path, options, signal)).kind, 'known')
    }
})

async function stepsOf(path: string, options: AdoptOptions): Promise<number> {
  const counting = new CrashingStore(await openLocalStore(join(folder, 'vault')), Infinity, 'lost')
  await adoptFile({ ...deps, store: counting }, path, options, signal)
  return counting.steps
}

/** The crashed run was this process, which lives: its lease would hold. */
async function forgetLeases(store: LocalObjectStore): Promise<void> {
  for (const { key } of await listAll(store, 'raw/active/', signal)) await store.delete(key)
}

async function framesIn(store: LocalObjectStore): Promise<string[]> {
  const found: string[] = []
  for (const { key, sizeBytes } of await listAll(store, 'raw/ready/', signal))
    for await (const batch of readSegment(store, key, sizeBytes, signal))
      for (const line of batch) if (line.kind === 'frame') found.push(line.frame.toString('utf8'))
  return found
}
