/** Sixty products, all channels, every fault of the exchange at random, with conversion running beside. */

import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { compareWithAccount } from './compare.ts'
import { Exchange } from './exchange.ts'
import { MdvProcess, mdv } from './processes.ts'
import { readReadySegments } from './segment-lines.ts'

const seconds = Number(process.env['MDV_CHAOS_SECONDS'] ?? 240)
const seed = Number(process.env['MDV_SEED'] ?? Date.now() % 1_000_000)

test(`${seconds} s of every fault at once: what is missing is exactly what gaps name (MDV_SEED=${seed})`, async (t) => {
  const baseDir = await mkdtemp(join(tmpdir(), 'mdv-chaos-'))
  const exchange = await Exchange.start(
    '--rate',
    '1500',
    '--products',
    '60',
    '--book-depth',
    '300',
    '--faults',
    'all',
    '--fault-rate',
    '1',
    '--seed',
    String(seed),
  )
  const recorder = new MdvProcess([
    'ingest',
    '--watermark',
    '--base-dir',
    baseDir,
    '--segment-max-seconds',
    '20',
    '--channels',
    'ticker,ticker_batch,level2,market_trades,candles,status',
    ...exchange.flags,
  ])
  const converter = new MdvProcess([
    'etl',
    '--watch',
    '--poll-interval-seconds',
    '5',
    '--no-delete-after-processing',
    '--base-dir',
    baseDir,
  ])
  try {
    await recorder.line(/^durable_n=/)
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000))
    await exchange.pause()
    assert.ok([0, 130].includes((await recorder.end('SIGINT')) ?? -1), recorder.errors.slice(-5).join(' | '))
    await converter.end('SIGINT')
    await mdv('etl', '--once', '--no-delete-after-processing', '--base-dir', baseDir)

    const segments = readReadySegments(baseDir)
    const comparison = compareWithAccount(segments, await exchange.sent())
    const causes = new Set(
      segments
        .flatMap((one) => one.events)
        .filter((one) => one.kind === 'gap')
        .map((one) => String(one.body['cause'])),
    )
    t.diagnostic(
      `sent ${comparison.sent}, recorded ${comparison.recorded}, lost ${comparison.lost}, gap causes ${[...causes].join(' ')}`,
    )
    assert.deepEqual(comparison.differences, [])
    // The run must have reached its faults, or it proves nothing.
    if (seconds >= 60)
      for (const cause of ['sequence', 'resubscribe', 'closed'])
        assert.ok(causes.has(cause), `no gap of cause ${cause}`)
    assert.ok(segments.length > 1, 'segments were rotated')
    const verify = await mdv('verify', '--deep', '--base-dir', baseDir)
    t.diagnostic(verify.lines.join(' '))
  } finally {
    recorder.child.kill('SIGKILL')
    converter.child.kill('SIGKILL')
    await exchange.stop()
    await rm(baseDir, { recursive: true, force: true })
  }
})
