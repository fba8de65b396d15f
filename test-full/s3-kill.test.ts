/**
 * Recorder and worker are killed at random moments while a bucket fails one request in twenty. At the end the bucket is moved to disk and read
 * by a second reader, against the simulator's account.
 */

import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { seededRandom } from '../src/core/random.ts'
import { S3Server } from '../test/storage/s3-server/server.ts'
import { bucket, useBucket } from './bucket.ts'
import { compareWithAccount } from './compare.ts'
import { Exchange } from './exchange.ts'
import { MdvProcess, mdv } from './processes.ts'
import { readReadySegments } from './segment-lines.ts'

const kills = Number(process.env['MDV_KILLS'] ?? 50)
const seed = Number(process.env['MDV_SEED'] ?? Date.now() % 1_000_000)
test(`${kills} kills of recorder and worker on a bucket that fails one request in twenty (MDV_SEED=${seed})`, async (t) => {
  const random = seededRandom(seed)
  const folder = await mkdtemp(join(tmpdir(), 'mdv-s3-kill-'))
  const server = await S3Server.start({ buckets: [bucket], seed })
  useBucket(server, folder, {
    MDV_INGESTION_SEGMENT_MAX_MB: '1',
    // What was converted stays to be compared; the last conversion removes it.
    MDV_ETL_DELETE_AFTER_PROCESSING: 'false',
    MDV_ETL_POLL_INTERVAL_SECONDS: '0.5',
  })
  const rate = ['--rate', '3000', '--products', '8', '--book-depth', '200', '--unconflated']
  const exchange = await Exchange.start(...rate, '--seed', String(seed))
  const ingest = ['ingest', '--watermark', ...exchange.flags]
  try {
    const each = 0.05 / 5
    server.faults.byChance({
      'slow-down': each,
      internal: each,
      'reset-before': each,
      'reset-after': each,
      truncated: each,
    })
    const watermarks: number[] = []
    let worker = new MdvProcess(['etl', '--watch'])
    for (let kill = 0; kill < kills; kill++) {
      const recorder = new MdvProcess(ingest)
      await recorder.line(/^durable_n=/)
      await new Promise((resolve) => setTimeout(resolve, random() * 1500))
      if (random() < 0.5) {
        await worker.end('SIGKILL')
        worker = new MdvProcess(['etl', '--watch'])
      }
      await recorder.end('SIGKILL')
      const last = recorder.lines.findLast((line) => line.startsWith('durable_n='))
      watermarks.push(Number(last?.slice('durable_n='.length)))
    }
    let recorders = kills
    const spooled = join(folder, 'spool', 'raw', 'ready', 'coinbase')
    // A stop waits for the bucket a quarter of a minute and leaves the rest to the next start: a slow machine needs several.
    do {
      const last = new MdvProcess(ingest)
      recorders++
      await last.line(/^durable_n=/)
      await exchange.pause()
      assert.equal(await last.end('SIGINT'), 0, last.errors.slice(-5).join(' | '))
    } while ((await readdir(spooled)).length > 0 && recorders < kills + 10)
    await worker.end('SIGTERM')

    await mdv('etl', '--once')
    const verified = await mdv('verify')
    t.diagnostic(`${watermarks.length} kills, ${verified.lines.join(' ')}`)
    const local = join(folder, 'moved')
    await mdv('sync', 'vault', local)
    const segments = readReadySegments(local)
    const comparison = compareWithAccount(segments, await exchange.sent())
    assert.deepEqual(comparison.differences, [])
    assert.equal(new Set(segments.map(({ recorder }) => recorder)).size, recorders)
    assert.ok(comparison.recorded > kills * 100, 'the recorders recorded')
    const promised = watermarks.reduce((total, n) => total + n, 0)
    const lines = segments.reduce((total, each) => total + each.frames.length + each.events.length, 0)
    assert.ok(lines >= promised, `${promised} lines were promised, ${lines} are there`)
    t.diagnostic(
      `sent ${comparison.sent}, recorded ${comparison.recorded}, lost and named by gaps ${comparison.lost}, segments ${segments.length}`,
    )

    process.env['MDV_ETL_DELETE_AFTER_PROCESSING'] = 'true'
    await mdv('etl', '--once')
    await mdv('verify')
    const left = server.buckets.get(bucket)!
    const keys = left.objects.names().filter((key) => /raw\/(ready|active|processing)\//.test(key))
    assert.deepEqual(keys, [], 'nothing is left of raw segments, chunks and claims')
    assert.deepEqual(left.uploads.names(), [], 'no multipart upload is left')
    t.diagnostic(`requests ${[...server.counts].map(([kind, count]) => `${kind} ${count}`).join(' ')}`)
  } finally {
    await exchange.stop()
    await server.down()
    await rm(folder, { recursive: true, force: true })
  }
})
