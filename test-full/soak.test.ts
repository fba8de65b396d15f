/** A minute of the soak, in which slopes say nothing: that it reaches what it is to watch, and that levels are where they belong. */

import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { findings } from './soak/findings.ts'
import { Soak } from './soak/run.ts'
import { theilSen, trendOf } from './soak/slope.ts'

const seconds = Number(process.env['MDV_SOAK_SECONDS'] ?? 60)
const seed = Number(process.env['MDV_SEED'] ?? Date.now() % 1_000_000)

/** Levels that none of these processes comes near: the converter's share is DuckDB's, which may use a gigabyte. */
const highest: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  ingest: { 'RSS MB': 300, 'open files': 60, threads: 40, 'heap MB': 60 },
  etl: { 'RSS MB': 1400, 'open files': 300, threads: 60, 'heap MB': 100 },
  compact: { 'RSS MB': 1400, 'open files': 300, threads: 60, 'heap MB': 100 },
  vault: { 'scratch MB': 500, 'segments waiting': 30 },
}

test(`${seconds} s of recording, converting and merging: a silent socket is noticed, levels stay low, nothing is left (MDV_SEED=${seed})`, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'mdv-soak-'))
  const soak = await Soak.start(
    {
      seconds,
      rate: 2000,
      products: 30,
      seed,
      segmentSeconds: 3,
      sampling: { sampleMs: 2000, samplesPerCollection: 4 },
      every: { silence: 15, ask: 15, verify: 30, older: 10 },
    },
    folder,
    (text) => t.diagnostic(text),
  )
  try {
    const result = await soak.run()
    assert.deepEqual(findings(result, seconds), [])
    for (const [who, measures] of Object.entries(highest))
      for (const [measure, most] of Object.entries(measures)) {
        const row = result.rows.find((one) => one.who === who && one.measure === measure)
        assert.ok(row !== undefined, `${measure} of ${who} was not measured`)
        assert.ok(row.trend.max > 0 || who === 'vault', `${measure} of ${who} is 0: it was not measured`)
        assert.ok(row.trend.max <= most, `${measure} of ${who} reached ${row.trend.max}, ${most} are allowed`)
      }
    // The run must have reached what it is about.
    assert.ok(result.silenced >= 2, `${result.silenced} sockets fell silent`)
    assert.ok(result.questions >= 3, `${result.questions} questions were answered`)
    assert.match(result.verified, /every line accounted for once/)
  } finally {
    await soak.stop()
    await rm(folder, { recursive: true, force: true })
  }
})

const hour = Array.from({ length: 360 }, (_, i) => i * 10)
/** Swings as a heap does between collections, and five in a hundred samples are far off. */
const noisy = (s: number): number => 100 + (s % 70) / 10 + (s % 200 === 0 ? 80 : 0)
const memory = { share: 0.05, room: 10 }

test('a level that swings and now and then leaps is flat; with 12 MB an hour added it rises', () => {
  const flat = trendOf(
    hour.map((s) => ({ s, value: noisy(s) })),
    memory,
    3600,
  )
  const leaking = trendOf(
    hour.map((s) => ({ s, value: noisy(s) + (12 * s) / 3600 })),
    memory,
    3600,
  )
  assert.equal(flat?.isRising, false)
  assert.ok(Math.abs(flat?.slope ?? 99) < 1)
  assert.equal(leaking?.isRising, true)
  assert.ok(Math.abs((leaking?.slope ?? 0) - 12) < 1)
})

test('what fills in the first quarter is warm-up, what is left out on purpose has no slope', () => {
  const warming = hour.map((s) => ({ s, value: Math.min(s, 900) }))
  assert.equal(trendOf(warming, { share: 0, room: 1 }, 3600)?.isRising, false)
  const busyLater = warming.filter(({ s }) => s < 1800)
  assert.equal(trendOf(busyLater, memory, 3600)?.isTold, false)
  assert.equal(theilSen([{ s: 1, value: 5 }]), 0)
  assert.equal(trendOf([{ s: 1, value: 5 }], memory, 3600), undefined)
})
