import assert from 'node:assert/strict'
import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { VaultError } from '../../src/core/errors.ts'
import { runEtlOnce } from '../../src/etl/run.ts'
import type { EtlEvent } from '../../src/etl/run-report.ts'
import { openWorkerScratch, sweepScratch } from '../../src/etl/sweep.ts'
import { partitionPrefix, rawReady } from '../../src/storage/keys.ts'
import { Bench, collect, etlOptions, never, segmentBytes, smallConvert } from './job-bench.ts'

test('files that are no segments are told once, with the way out, and left alone while others go on', async () => {
  const bench = await Bench.make()
  await bench.segment(1, 1, ['BTC-USD'])
  const whole = segmentBytes(10, ['BTC-USD', 'ETH-USD'])
  const strangers = {
    'segment_20251203T14_00002.ndjson': whole.slice(0, -30),
    'segment_20251203T14_00003.ndjson': '',
    'segment_20251203T14_00004.ndjson': '{"type":"ticker"}\n{"type":"ticker"}\n',
    'notes.txt': 'remember the milk',
    'mine.ndjson': whole,
    'folder/segment_20251203T14_00005.ndjson': whole,
    'segment_20251203T14_00006.ndjson': whole.replace('"recorder":"abcdefghij"', '"recorder":"../../../x"'),
    'segment_20251203T14_00007.ndjson': whole.replace('"format":1', '"format":2'),
    'segment_20251203T14_00008.ndjson': Buffer.from([0, 255, 254, 10, 13, 0]),
    'segment_20251203T14_00009.ndjson': whole.replace('"venue":"coinbase"', '"venue":"elsewhere"'),
  }
  for (const [name, body] of Object.entries(strangers)) await bench.write(rawReady('coinbase') + name, body)
  const report = collect()
  const summary = await runEtlOnce(await bench.worker(), etlOptions, report, never)
  assert.equal(summary.segments, 1)
  assert.equal(summary.foreign, Object.keys(strangers).length)
  const told = report.events.flatMap((event) => (event.kind === 'foreign' ? [event.file] : []))
  assert.deepEqual(
    told.map((file) => file.key.slice(rawReady('coinbase').length)).sort(),
    Object.keys(strangers).sort(),
  )
  for (const file of told) assert.ok(file.reason !== '' && file.remedy !== '', file.key)
  assert.match(told.find((file) => file.key.endsWith('00002.ndjson'))!.remedy, /segments repair/)
  assert.match(told.find((file) => file.key.endsWith('00004.ndjson'))!.remedy, /mdv adopt/)
  assert.match(told.find((file) => file.key.endsWith('00007.ndjson'))!.reason, /newer version/)
  assert.equal((await bench.state()).ready.length, Object.keys(strangers).length)
  await bench.remove()
})

test('a segment whose bytes are not those that were sealed is converted once, kept in any case, and told', async () => {
  const bench = await Bench.make()
  const body = segmentBytes(1, ['BTC-USD', 'ETH-USD']).replace('"test":"ETH-USD"', '"test":"ETH-EUR"')
  await bench.write(`${rawReady('coinbase')}segment_20251203T14_00001.ndjson`, body)
  const told = async (deleteRaw: boolean): Promise<string[]> => {
    const report = collect()
    const options = { ...etlOptions, deleteRaw, archive: true }
    await runEtlOnce(await bench.worker(), options, report, never)
    return report.events.map((event) => (event.kind === 'foreign' ? event.file.reason : event.kind))
  }
  const words = 'is converted, but the seal says another sha256'
  assert.deepEqual(await told(true), ['converted', words])
  assert.deepEqual(await told(true), [words])
  assert.deepEqual(await told(false), [words])
  const { ready, archive, receipts } = await bench.state()
  assert.deepEqual([ready.length, archive.length], [1, 0])
  assert.equal(receipts[0]!.sources[0]!.seal_problem, 'the seal says another sha256')
  assert.deepEqual(await bench.committed(), [1, 2])
  await bench.remove()
})

test('segments are converted oldest first, and only those of the hours asked for', async () => {
  const bench = await Bench.make()
  const labels = [
    'segment_20251203T14_00002',
    'segment_20251203T13_00001',
    'segment_20251204T00_00001',
    'segment_20251203T14_00010',
  ]
  for (const [i, label] of labels.entries())
    await bench.write(`${rawReady('coinbase')}${label}.ndjson`, segmentBytes(1 + i * 10, ['BTC-USD']))
  const converted = async (from: string | null, until: string | null): Promise<string[]> => {
    const report = collect()
    await runEtlOnce(await bench.worker(), { ...etlOptions, hours: { from, until } }, report, never)
    return report.events.flatMap((event) => (event.kind === 'converted' ? [event.label.slice(8)] : []))
  }
  assert.deepEqual(await converted('20251203T14', '20251204T00'), ['20251203T14_00002', '20251203T14_00010'])
  assert.deepEqual(await converted(null, null), ['20251203T13_00001', '20251204T00_00001'])
  await bench.remove()
})

test('raw that is to be kept stays in raw/ready and is not converted again', async () => {
  const bench = await Bench.make()
  await bench.segment(1, 1, ['BTC-USD'])
  const keeping = { ...etlOptions, deleteRaw: false }
  assert.equal((await runEtlOnce(await bench.worker(), keeping, collect(), never)).segments, 1)
  const again = await runEtlOnce(await bench.worker(), keeping, collect(), never)
  assert.deepEqual([again.segments, again.finished, (await bench.state()).ready.length], [0, 0, 1])
  const deleting = await runEtlOnce(await bench.worker(), etlOptions, collect(), never)
  assert.deepEqual([deleting.segments, deleting.finished, (await bench.state()).ready.length], [0, 1, 0])
  await bench.remove()
})

test('a segment that fails does not keep the others waiting; a full disk ends the run', async () => {
  const bench = await Bench.make()
  for (const counter of [1, 2, 3]) await bench.segment(counter, counter * 10, ['BTC-USD'])
  const failing = (error: Error) => {
    const convert = smallConvert('mdv test')
    return bench.worker(bench.store, {}, async (sources, plan, signal) => {
      if (sources[0]!.label.endsWith('2')) throw error
      return convert(sources, plan, signal)
    })
  }
  await assert.rejects(
    runEtlOnce(await failing(new VaultError('preflight', 'the disk is full')), etlOptions, collect(), never),
    /the disk is full/,
  )
  const report = collect()
  const summary = await runEtlOnce(
    await failing(new VaultError('corrupt', 'bad seal')),
    etlOptions,
    report,
    never,
  )
  assert.deepEqual([summary.segments, summary.failed], [1, 1])
  const failed = report.events.find((event) => event.kind === 'failed')
  assert.match(String((failed as { error: unknown } | undefined)?.error), /bad seal/)
  assert.equal((await bench.state()).ready.length, 1)
  await bench.remove()
})

test('a signal while converting ends the run with nothing half done, and one in a commit lets it end', async () => {
  for (const when of ['converting', 'committing']) {
    const bench = await Bench.make()
    await bench.segment(1, 1, ['BTC-USD'])
    await bench.segment(2, 10, ['BTC-USD'])
    const controller = new AbortController()
    const convert = smallConvert('mdv test')
    const store = Object.create(bench.store, {
      publishFile: {
        value: (path: string, key: string) => {
          if (when === 'committing') controller.abort(new Error('stop'))
          return bench.store.publishFile(path, key)
        },
      },
    }) as Bench['store']
    const worker = await bench.worker(
      when === 'committing' ? proxied(store, bench) : bench.store,
      {},
      async (sources, plan, signal) => {
        if (when === 'converting') controller.abort(new Error('stop'))
        signal.throwIfAborted()
        return convert(sources, plan, signal)
      },
    )
    const summary = await runEtlOnce(worker, etlOptions, collect(), controller.signal)
    assert.equal(summary.isStopped, true)
    const { receipts, ready, parts } = await bench.state()
    if (when === 'converting') assert.deepEqual([receipts.length, ready.length, parts.length], [0, 2, 0])
    else assert.deepEqual([receipts.length, ready.length, parts.length], [1, 1, 1])
    await bench.remove()
  }
})

/** Methods of the real store use its private state: they are called on it. */
function proxied(store: Bench['store'], bench: Bench): Bench['store'] {
  return new Proxy(bench.store, {
    get: (target, name) => {
      const own = Object.getOwnPropertyDescriptor(store, name)?.value as unknown
      const value = own ?? (Reflect.get(target, name, target) as unknown)
      return typeof value === 'function' ? (value.bind(target) as unknown) : value
    },
  })
}

test('the sweep removes a part that a job was committed without, and nothing that is not surely ours', async () => {
  const bench = await Bench.make()
  await bench.segment(1, 1, ['BTC-USD'])
  await runEtlOnce(await bench.worker(), etlOptions, collect(), never)
  const { receipts } = await bench.state()
  const real = receipts[0]!.parts[0]!.key
  const bytes = await bench.store.get(real)
  const place = partitionPrefix('coinbase', 'ticker', 'ETH-USD', '2025-12-03')
  const name = real.slice(real.lastIndexOf('/') + 1)
  const orphan = `${place}${name}`
  await bench.write(orphan, bytes!)
  const strangers = [
    `${place}mine.parquet`,
    `${place}part_20251203T14_ffffffff.parquet`,
    `${place}${name.replace('.parquet', '_2.parquet')}`,
  ]
  for (const key of strangers) await bench.write(key, 'somebody else wrote this')
  const report = collect()
  await runEtlOnce(await bench.worker(), etlOptions, report, never)
  const keysOf = (kind: EtlEvent['kind']): string[] =>
    report.events.flatMap((event) => (event.kind === kind && 'key' in event ? [event.key] : []))
  assert.deepEqual(keysOf('orphan_removed'), [orphan])
  assert.deepEqual(keysOf('foreign_part'), [strangers[0]])
  for (const key of [real, ...strangers]) assert.notEqual(await bench.store.head(key), undefined, key)
  await bench.remove()
})

test('scratch of dead workers goes, that of living ones stays', async () => {
  const bench = await Bench.make()
  const [living, dead, mine] = [await bench.worker(), await bench.worker(), await bench.worker()]
  const paths = await Promise.all([living, dead].map((each) => openWorkerScratch(bench.store, each.worker)))
  await mkdir(join(dirname(paths[0]!), 'being-made'), { recursive: true })
  await writeFile(join(paths[1]!, 'left.parquet'), 'x')
  // Listed, and gone when it is looked at: as one whose worker has just ended.
  await symlink(join(paths[0]!, 'gone'), join(dirname(paths[0]!), 'just-gone'), 'junction')
  bench.kill(dead.pid)
  const clock = { ...mine.clock, nowMs: () => 0 }
  assert.equal(await sweepScratch(bench.store, clock, mine.worker), 1)
  await bench.remove()
})
