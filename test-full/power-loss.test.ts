/**
 * Power lost at any moment of recording, recovery, publishing, conversion and shipping: 2,000 seeds, or MDV_POWER_SEEDS of them, from
 * MDV_POWER_FROM (1) on. MDV_POWER_CASE=play/seed, as a failure names it, repeats one.
 */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { forEachAtOnce } from '../src/core/at-once.ts'
import { play, playNames, type PlayName } from '../test/crash/power-plays.ts'
import { Losses } from '../test/segment/forgetful-disk.ts'

const seeds = Number(process.env['MDV_POWER_SEEDS'] ?? 2000)
const from = Number(process.env['MDV_POWER_FROM'] ?? 1)
const only = process.env['MDV_POWER_CASE']

/** Of all seeds; what takes longest has the fewest. */
const shares: Readonly<Record<PlayName, number>> = { record: 0.3, publish: 0.4, convert: 0.15, ship: 0.15 }

for (const name of playNames) {
  const count = Math.round(seeds * shares[name])
  test(`${name}: what was durable is there after ${count} power losses, and nothing false`, async (t) => {
    if (only !== undefined && !only.startsWith(`${name}/`)) return t.skip('another case was asked for')
    const own =
      only === undefined
        ? Array.from({ length: count }, (_, i) => from + i)
        : [Number(only.slice(name.length + 1))]
    const losses = new Losses()
    let lost = 0
    await forEachAtOnce(own, 8, async (seed) => {
      if (await play(name, seed, losses)) lost++
    })
    t.diagnostic(`seeds ${own[0]} to ${own.at(-1)}; the power went out in ${lost}; ${JSON.stringify(losses)}`)
    if (own.length < 100) return
    assert.ok(lost > own.length / 2, 'the power went out')
    assert.ok(losses.names > 0 && losses.undone > 0 && losses.folders > 0, 'names were lost')
    // What a conversion writes is under no name that anybody reads until it is synced.
    if (name !== 'convert')
      assert.ok(losses.torn > 0 && losses.zeroed > 0 && losses.emptied > 0, 'bytes were lost')
  })
}
