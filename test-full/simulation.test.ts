/**
 * Simulated hours of the whole vault, by seed: five fixed ones and ten new ones each time, which are printed. MDV_SIM_SEED=n repeats one, MDV_SIM_HOURS (0.4) makes each longer, MDV_SIM_RANDOM (10) draws more for a night, MDV_SIM_TRACE=path
 * writes down what happens.
 */

import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { test } from 'node:test'
import { faults } from '../test/simulation/faults.ts'
import { convertForReal } from '../test/simulation/real-conversion.ts'
import { simulate } from '../test/simulation/simulate.ts'

const hours = Number(process.env['MDV_SIM_HOURS'] ?? 0.4)
const only = process.env['MDV_SIM_SEED']
const tracePath = process.env['MDV_SIM_TRACE']
const randomSeeds = Number(process.env['MDV_SIM_RANDOM'] ?? 10)

const fixed = [1, 2, 3, 4, 6]
const seeds =
  only === undefined
    ? [...fixed, ...Array.from({ length: randomSeeds }, () => randomInt(1_000, 1_000_000_000))]
    : [Number(only)]

const total = new Map<string, number>()

for (const seed of seeds)
  test(`MDV_SIM_SEED=${seed}: what was durable is there once, and what is missing is named`, async (t) => {
    const run = await simulate(seed, { hours, tracePath })
    const { counts, events, lines, lost, recorded, segments, sent, virtualHours } = run
    for (const [what, times] of counts) total.set(what, (total.get(what) ?? 0) + times)
    t.diagnostic(
      `${virtualHours.toFixed(2)} h in ${events} events: ${sent} frames sent, ${recorded} recorded, ${lost} lost and named, ${lines} lines in ${segments} segments`,
    )
  })

test('what a world recorded goes through DuckDB, compaction and verify', async (t) => {
  if (only !== undefined) return t.skip('one seed was asked for')
  await simulate(5, {
    hours: 0.3,
    look: async (world) => {
      const { lines, verified } = await convertForReal(world, 12)
      assert.ok(lines > 100)
      assert.equal(verified.lines, lines)
      t.diagnostic(`${lines} lines, ${verified.parts} parts, ${verified.framesRebuilt} frames rebuilt`)
    },
  })
})

/** What has to have come about over all seeds, beside every fault: else the runs have shown nothing. */
const consequences = [
  'segments sealed',
  'recovered files',
  'torn tails',
  'jobs converted',
  'jobs finished',
  'jobs of several segments',
  'struck at work',
  'claims taken over',
  'segments rescued',
  'disk troubles',
  'bucket troubles',
  'bucket: lost',
  'bucket: landed',
  'clock_step',
  'midnights',
  'power took: torn',
  'power took: undone',
  'network: handshakesLost',
  'network: halfOpen',
  'gap: sequence',
  'gap: closed',
  'gap: silence',
  'gap: overflow',
  'gap: recorder_died',
  'gap: connect_failed',
]

test('the runs have met every fault and what follows from it', (t) => {
  if (only !== undefined || seeds.length < 15) return t.skip('too few runs for all of them')
  t.diagnostic(
    [...total]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([what, times]) => `${what} ${times}`)
      .join(', '),
  )
  const missing = [...faults.map(({ name }) => name), ...consequences].filter(
    (what) => (total.get(what) ?? 0) === 0,
  )
  assert.deepEqual(missing, [])
})
