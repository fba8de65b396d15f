/** The bucket goes away while the feed goes on: the spool takes what comes, and catches up by itself, oldest first. */

import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { S3Server } from '../test/storage/s3-server/server.ts'
import { bucket, useBucket } from './bucket.ts'
import { compareWithAccount } from './compare.ts'
import { Exchange } from './exchange.ts'
import { MdvProcess, mdv } from './processes.ts'
import { readReadySegments } from './segment-lines.ts'

/** A minute of small segments has as many as hours of usual ones. */
const outageMs = 45_000

interface Progress {
  readonly durableN: number
  readonly replicatedN: number
  readonly segmentsWaiting: number
  readonly bytesWaiting: number
}

function lastProgress(recorder: MdvProcess): Progress | undefined {
  const line = recorder.lines.findLast((text) => text.startsWith('{"progress"'))
  return line === undefined ? undefined : (JSON.parse(line) as { progress: Progress }).progress
}

async function until(recorder: MdvProcess, holds: (progress: Progress) => boolean): Promise<Progress> {
  for (;;) {
    const progress = lastProgress(recorder)
    if (progress !== undefined && holds(progress)) return progress
    await recorder.next(/^\{"progress"/)
  }
}

test(`an outage of ${outageMs / 1000} s: nothing is lost, and the bucket catches up`, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'mdv-outage-'))
  const server = await S3Server.start({ buckets: [bucket] })
  useBucket(server, folder, { MDV_INGESTION_SEGMENT_MAX_MB: '0.5', MDV_ETL_DELETE_AFTER_PROCESSING: 'false' })
  const exchange = await Exchange.start(
    '--rate',
    '2000',
    '--products',
    '8',
    '--book-depth',
    '200',
    '--unconflated',
  )
  try {
    const recorder = new MdvProcess(['ingest', '--json', ...exchange.flags])
    await until(recorder, ({ replicatedN }) => replicatedN > 0)
    await server.down()
    await sleep(outageMs)
    const behind = await until(recorder, ({ segmentsWaiting }) => segmentsWaiting > 10)
    await server.up()
    const startedMs = Date.now()
    const caughtUp = await until(recorder, ({ replicatedN }) => replicatedN >= behind.durableN)
    const seconds = (Date.now() - startedMs) / 1000
    t.diagnostic(
      `${behind.segmentsWaiting} segments, ${(behind.bytesWaiting / 1e6).toFixed(1)} MB behind; caught up in ${seconds.toFixed(1)} s, ` +
        `${(behind.bytesWaiting / 1e6 / seconds).toFixed(1)} MB/s, while ${caughtUp.durableN - behind.durableN} more lines came`,
    )
    assert.ok(recorder.errors.some((text) => text.includes('recording goes on in the spool')))

    // And a stop in the middle of an outage ends in time, with what waits said and kept.
    await server.down()
    await sleep(3000)
    await exchange.pause()
    assert.equal(await recorder.end('SIGINT'), 0)
    assert.match(recorder.errors.join('\n'), /\d+ segments \([^)]+\) wait in .*; the next start sends them/)
    await server.up()
    const last = new MdvProcess(['ingest', '--json', ...exchange.flags])
    await until(last, ({ replicatedN, segmentsWaiting }) => replicatedN > 0 && segmentsWaiting === 0)
    await last.end('SIGINT')

    await mdv('etl', '--once')
    t.diagnostic((await mdv('verify')).lines.join(' '))
    await mdv('sync', 'vault', join(folder, 'moved'))
    const comparison = compareWithAccount(readReadySegments(join(folder, 'moved')), await exchange.sent())
    assert.deepEqual(comparison.differences, [])
    assert.equal(comparison.lost, 0)
    t.diagnostic(`sent ${comparison.sent}, recorded ${comparison.recorded}, lost ${comparison.lost}`)
  } finally {
    await exchange.stop()
    await server.down()
    await rm(folder, { recursive: true, force: true })
  }
})
