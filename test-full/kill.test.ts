/** The recorder is killed at random moments, many times in a row, while the exchange keeps sending. */

import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { seededRandom } from '../src/core/random.ts'
import { compareWithAccount } from './compare.ts'
import { Exchange } from './exchange.ts'
import { MdvProcess, mdv } from './processes.ts'
import { readReadySegments, type RecordedSegment } from './segment-lines.ts'

const kills = Number(process.env['MDV_KILLS'] ?? 50)
const seed = Number(process.env['MDV_SEED'] ?? Date.now() % 1_000_000)

/** The recorder's counters over its segments, which must be 1, 2, 3 … each once. */
function countersOf(segments: readonly RecordedSegment[]): number[] {
  return segments
    .flatMap((segment) => [...segment.frames, ...segment.events].map((line) => line.n))
    .sort((a, b) => a - b)
}

test(`${kills} kills: no flushed line is lost, none is doubled, every gap has its cause (MDV_SEED=${seed})`, async (t) => {
  const random = seededRandom(seed)
  const baseDir = await mkdtemp(join(tmpdir(), 'mdv-kill-'))
  const exchange = await Exchange.start(
    '--rate',
    '3000',
    '--products',
    '8',
    '--book-depth',
    '200',
    '--unconflated',
    '--seed',
    String(seed),
  )
  const ingest = ['ingest', '--watermark', '--base-dir', baseDir, '--segment-max-mb', '1', ...exchange.flags]
  const watermarks: number[] = []
  try {
    for (let kill = 0; kill < kills; kill++) {
      const recorder = new MdvProcess(ingest)
      await recorder.line(/^durable_n=/)
      await new Promise((resolve) => setTimeout(resolve, random() * 1500))
      await recorder.end('SIGKILL')
      const last = recorder.lines.findLast((line) => line.startsWith('durable_n='))
      watermarks.push(Number(last?.slice('durable_n='.length)))
    }
    const last = new MdvProcess(ingest)
    await last.line(/^durable_n=/)
    await exchange.pause()
    await last.end('SIGINT')

    const segments = readReadySegments(baseDir)
    const recorders = group(segments)
    const ends = [...recorders.values()].map((own) => {
      const counters = countersOf(own)
      assert.deepEqual(
        counters,
        counters.map((_, i) => i + 1),
        'counters of a recorder have no hole and no repetition',
      )
      return counters.length
    })
    // Recorders are found in the order of their names; each watermark needs one whose log reaches as far.
    const reached = [...ends].sort((a, b) => a - b)
    const promised = [...watermarks].sort((a, b) => a - b)
    assert.equal(recorders.size, kills + 1)
    promised.forEach((watermark, i) =>
      assert.ok(
        reached.filter((end) => end >= watermark).length >= promised.length - i,
        `durable_n=${watermark} was promised`,
      ),
    )
    const died = segments
      .flatMap((segment) => segment.events)
      .filter(({ kind, body }) => kind === 'gap' && body['cause'] === 'recorder_died')
    assert.ok(died.length >= kills, `${died.length} gaps name the death of a recorder`)

    const comparison = compareWithAccount(segments, await exchange.sent())
    assert.deepEqual(comparison.differences, [])
    assert.ok(comparison.recorded > kills * 100, 'the recorders recorded')
    t.diagnostic(
      `sent ${comparison.sent}, recorded ${comparison.recorded}, lost and named by gaps ${comparison.lost}, segments ${segments.length}`,
    )

    await mdv('etl', '--once', '--base-dir', baseDir)
    const verify = await mdv('verify', '--base-dir', baseDir)
    t.diagnostic(verify.lines.join(' '))
  } finally {
    await exchange.stop()
    await rm(baseDir, { recursive: true, force: true })
  }
})

/** By recorder. */
function group(segments: readonly RecordedSegment[]): Map<string, RecordedSegment[]> {
  const groups = new Map<string, RecordedSegment[]>()
  for (const segment of segments)
    groups.set(segment.recorder, [...(groups.get(segment.recorder) ?? []), segment])
  return groups
}
