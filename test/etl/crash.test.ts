/** Conversions and repairs that die at some of their steps; at all of them, and in a bucket: test-full/crash-matrix.test.ts. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { etlScenarios } from '../crash/etl-scenarios.ts'
import { repairScenarios } from '../crash/repair-scenario.ts'
import { localStand } from '../crash/stand.ts'
import { sweep, thin } from '../crash/sweep.ts'

for (const scenario of [...etlScenarios, ...repairScenarios])
  test(`${scenario.program}, ${scenario.story}: dies at a step, leaves everything whole, and the next run ends as if it had not`, async () => {
    const { steps, reached } = await sweep(scenario, localStand, thin(3))
    assert.ok(steps > 5, `only ${steps} steps`)
    assert.ok(reached.landed === 3 && reached.lost === 3, JSON.stringify(reached))
  })
