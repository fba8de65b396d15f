/** The whole vault on a seeded clock, network, disk and bucket, for a short while. The long runs are in test-full/simulation.test.ts. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { simulate } from './simulate.ts'

test('a seed does the same twice, down to each operation', async () => {
  const [first, second] = [await simulate(3, { hours: 0.1 }), await simulate(3, { hours: 0.1 })]
  assert.equal(first.digest, second.digest)
  assert.deepEqual([...first.counts], [...second.counts])
  assert.ok(first.traced > 1_000, 'something was written down')
})

test('in a folder and in a bucket, a quarter of an hour of faults loses nothing that was durable and names the rest', async (t) => {
  for (const seed of [1, 2]) {
    const { sent, recorded, lines, segments, virtualHours } = await simulate(seed, { hours: 0.25 })
    assert.ok(
      recorded > 500 && segments > 1,
      `seed ${seed} recorded ${recorded} frames in ${segments} segments`,
    )
    t.diagnostic(
      `seed ${seed}: ${virtualHours.toFixed(2)} h, ${sent} frames sent, ${recorded} recorded, ${lines} lines`,
    )
  }
})
