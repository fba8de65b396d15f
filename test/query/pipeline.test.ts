import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { crc32, gzipSync } from 'node:zlib'
import { adoptFile } from '../../src/query/adopt/adopt-file.ts'
import { adoptedSegmentBytes } from '../../src/query/adopt/adopt-run.ts'
import { parseMapping } from '../../src/query/adopt/mapping.ts'
import { systemClock } from '../../src/cli/system-clock.ts'
import type { Finding } from '../../src/query/verify/finding.ts'
import { makePrinter } from '../../src/query/output.ts'
import { unpacked } from '../../src/storage/unpack.ts'
import { runQuery } from '../../src/query/run.ts'
import { rebuildCheck } from '../../src/query/verify/rebuild.ts'
import { verifyVault, type VerifySummary } from '../../src/query/verify/verify.ts'
import { openLocalStore } from '../../src/storage/local.ts'
import { listAll, type LocalObjectStore, type ObjectStore } from '../../src/storage/object-store.ts'
import { FarStore } from '../storage/far-store.ts'
import { convertAll } from './convert-all.ts'
import { proofOptions } from './proof-options.ts'
import { cached, reading, sealedSegment, SmallVault } from './small-vault.ts'

let folder: string
let store: LocalObjectStore
const signal = new AbortController().signal

/** Frames as the venue sends them, with what is unusual in each: a second product, an unknown field, numbers with trailing zeros, an unknown channel. */
const frames = [
  '{"channel":"l2_data","client_id":"","timestamp":"2026-06-23T20:08:02.9174521Z","sequence_num":0,"events":[{"type":"snapshot","product_id":"BTC-USD","updates":[{"side":"bid","event_time":"2026-06-23T20:08:02.632901Z","price_level":"62416.02","new_quantity":"0.11432512"},{"side":"offer","event_time":"2026-06-23T20:08:02.632901Z","price_level":"62416.030","new_quantity":"1e-5"}]}]}',
  '{"channel":"l2_data","client_id":"","timestamp":"2026-06-23T23:59:59.5Z","sequence_num":1,"events":[{"type":"update","product_id":"BTC-USD","updates":[]}]}',
  '{"channel":"l2_data","client_id":"","timestamp":"2026-06-23T23:59:59.999999999Z","sequence_num":2,"events":[{"type":"update","product_id":"ETH-USD","depth":7,"updates":[{"side":"bid","event_time":"2026-06-23T20:08:02.672588Z","price_level":"1","new_quantity":"0","x":{"y":[1.0]}}]}]}',
  '{"channel":"market_trades","client_id":"","timestamp":"2026-06-24T00:00:00.1Z","sequence_num":2,"events":[{"type":"snapshot","trades":[{"product_id":"ETH-USD","trade_id":"22381691","price":"2375.56","size":"0.5","time":"2026-06-23T23:59:59.088388Z","side":"BUY"},{"product_id":"ETH-USD","trade_id":"22381690","price":"2375.56","size":"0.25","time":"2026-06-23T23:59:58Z","side":"SELL"}]}]}',
  '{"channel":"market_trades","client_id":"","timestamp":"2026-06-24T00:00:01Z","sequence_num":3,"events":[{"type":"update","trades":[{"product_id":"ETH-USD","trade_id":"22381691","price":"2375.56","size":"0.5","time":"2026-06-23T23:59:59.088388Z","side":"BUY"}]}]}',
  '{"channel":"ticker","client_id":"","timestamp":"2026-06-24T00:00:02Z","sequence_num":4,"events":[{"type":"update","tickers":[{"type":"ticker","product_id":"BTC-USD","price":"64281.7","volume_24_h":"3974.98800786","low_24_h":"63454","high_24_h":"64727.27","low_52_w":"59073.01","high_52_w":"126296","price_percent_chg_24_h":"-1.21471769193719","best_bid":"64281.7","best_ask":"64281.71","best_bid_quantity":"0.21558849","best_ask_quantity":"0.1"}]}]}',
  '{"channel":"heartbeats","client_id":"","timestamp":"2026-06-24T00:00:03Z","sequence_num":5,"events":[{"current_time":"2026-06-24 00:00:03.1 +0000 UTC m=+9","heartbeat_counter":9}]}',
  '{"channel":"tomorrow","timestamp":"2026-06-24T00:00:04Z","events":[{"n":12345678901234567890}]}',
  '{"channel":"l2_data","timestamp":"2026-06-24T00:00:05Z","events":"not a list"}',
]

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mdv-pipeline-'))
  store = await openLocalStore(join(folder, 'vault'))
  const path = join(folder, 'old.ndjson')
  await writeFile(path, frames.join('\n') + '\n')
  const deps = { store, clock: systemClock, venue: 'coinbase', software: 'mdv test' }
  await adoptFile(
    deps,
    path,
    {
      mapping: parseMapping('bare'),
      isDryRun: false,
      segmentBytesMax: adoptedSegmentBytes,
      onProgress: () => undefined,
    },
    signal,
  )
  assert.equal(await convertAll(store, { archive: true }), 1)
})
after(() => rm(folder, { recursive: true, force: true }))

function asReadersSee(what: LocalObjectStore): ObjectStore {
  return reading.isFar ? cached(new FarStore(what), join(folder, 'cache')) : what
}

async function ask(sql: string): Promise<string> {
  let printed = ''
  let printer: ReturnType<typeof makePrinter> | undefined
  const options = { memoryLimitMb: 512, scratchDir: join(folder, 'spill'), allowFiles: false }
  const sink = {
    note: () => undefined,
    fetching: () => undefined,
    begin: async (names: readonly string[]) => {
      printer = makePrinter('ndjson', names, { rowsMax: 1, terminalColumns: null })
    },
    rows: async (rows: Parameters<NonNullable<typeof printer>['rows']>[0]) => {
      printed += printer!.rows(rows)
      return true
    },
  }
  await runQuery(asReadersSee(store), 'coinbase', sql, options, sink, signal)
  return printed
}

async function verify(
  what = store,
): Promise<{ readonly findings: readonly Finding[]; readonly summary: VerifySummary }> {
  const findings: Finding[] = []
  const options = proofOptions(async (finding) => void findings.push(finding), { rebuild: rebuildCheck })
  return { summary: await verifyVault(asReadersSee(what), 'coinbase', options, signal), findings }
}

test('adopted lines, converted: every one is accounted for and can be made again from Parquet', async () => {
  const { findings, summary } = await verify()
  assert.deepEqual(findings, [])
  assert.equal(summary.lines, frames.length + 1)
  assert.equal(summary.framesRebuilt, frames.length + 1)
})

test('a trade told in a snapshot and again in an update is summed once', async () => {
  assert.equal(
    await ask('SELECT count(*) AS n, sum(size) AS volume FROM market_trades_unique'),
    '{"n":2,"volume":"0.75"}\n',
  )
  assert.equal(await ask('SELECT count(*) AS n FROM market_trades'), '{"n":3}\n')
})

test('rows lie under the exchange’s date and their own product', async () => {
  assert.equal(
    await ask('SELECT product_id, "date", count(*) AS n FROM level2 GROUP BY ALL ORDER BY ALL'),
    '{"product_id":"BTC-USD","date":"2026-06-23","n":2}\n{"product_id":"ETH-USD","date":"2026-06-23","n":1}\n',
  )
  assert.equal(await ask(`SELECT count(*) AS n FROM other WHERE kind = 'event'`), '{"n":1}\n')
})

test('a kept segment whose frame differs from what Parquet gives is found, even where its checksums hold', async () => {
  const archived = (await listAll(store, 'raw/archive/coinbase/', signal))[0]!
  const path = store.pathOf(archived.key)
  const kept = await readFile(path)
  const whole = Buffer.concat(await unpackedBytes(archived.key, archived.sizeBytes))
  await rm(path)
  await writeFile(path.replace(/\.(gz|zst)$/, '.gz'), gzipSync(withOtherPrice(whole.toString('utf8'))))
  const kinds = (await verify()).findings.map((finding) => finding.kind)
  await rm(path.replace(/\.(gz|zst)$/, '.gz'))
  await writeFile(path, kept)
  assert.ok(kinds.includes('segment_damaged'))
  assert.ok(kinds.includes('rebuild_differs'))
})

async function unpackedBytes(key: string, sizeBytes: number): Promise<Buffer[]> {
  const chunks: Buffer[] = []
  for await (const chunk of unpacked(key, store.read(key, 0, sizeBytes, signal), 1e9, signal))
    chunks.push(chunk)
  return chunks
}

/** One frame's price changed, its line's checksum made to fit. */
function withOtherPrice(segment: string): string {
  return segment.replace(/^(.*"64281\.7".*),"crc":"[0-9a-f]{8}"\}$/m, (_, head: string) => {
    const changed = head.replace('"price":"64281.7"', '"price":"64281.8"')
    return `${changed},"crc":"${crc32(changed).toString(16).padStart(8, '0')}"}`
  })
}

test('a segment whose last line is damaged leaves no hole before the next one', async () => {
  const vault = await SmallVault.make()
  const [first, second] = ['segment_20251203T14_00001', 'segment_20251203T14_00002'] as const
  const whole = sealedSegment(1, [{ clock_step: { step_ns: '1' } }, { clock_step: { step_ns: '2' } }])
  await vault.write(`raw/ready/coinbase/${first}.ndjson`, whole.replace('"step_ns":"2"', '"step_ns":"3"'))
  await vault.readySegment(second, 3, [{ clock_step: { step_ns: '4' } }], sealOf(whole))
  assert.equal(await convertAll(vault.store, { archive: true }), 2)
  const { findings, summary } = await verify(vault.store)
  assert.ok(findings.every((finding) => finding.severity === 'warning' && finding.kind === 'segment_damaged'))
  assert.equal(summary.rejected, 1)
  await vault.remove()
})

function sealOf(segment: string): string {
  return /"sha256":"([0-9a-f]{64})"/.exec(segment)![1]!
}
