/**
 * Every program dies at each of its durable steps, which lands or is lost. Prints the number of cases.
 *
 * MDV_CRASH_CASE='program/story/store/kind/step', as a failure names it, repeats one case. MDV_CRASH_ALL=1 tells every story in a bucket
 * too, not only a typical one of each program.
 */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compactScenario } from '../test/crash/compact-scenario.ts'
import { etlScenarios } from '../test/crash/etl-scenarios.ts'
import { recordScenarios } from '../test/crash/record-scenarios.ts'
import { repairScenarios } from '../test/crash/repair-scenario.ts'
import { shipScenarios } from '../test/crash/ship-scenarios.ts'
import type { Stand } from '../test/crash/stand.ts'
import { caseName, everyCase, sweep, type Scenario, type SweepOptions } from '../test/crash/sweep.ts'
import { syncScenarios } from '../test/crash/sync-scenarios.ts'

const scenarios: readonly Scenario[] = [
  ...recordScenarios,
  ...shipScenarios,
  ...etlScenarios,
  compactScenario,
  ...repairScenarios,
  ...syncScenarios,
]
const programs = [...new Set(scenarios.map(({ program }) => program))]
const only = process.env['MDV_CRASH_CASE']
const isAll = process.env['MDV_CRASH_ALL'] === '1'

interface Cell {
  stories: number
  steps: number
  landed: number
  lost: number
  half: number
}

function storiesOf(program: string, stand: Stand): Scenario[] {
  const own = scenarios.filter((each) => each.program === program)
  if (only !== undefined)
    return own.filter((each) => only.startsWith(`${program}/${each.story}/${stand.kind}/`))
  return stand.kind === 'local' || isAll ? own : own.filter((each) => each.isTypical)
}

/** All cases of a scenario, or the one that was asked for. */
function optionsFor(scenario: Scenario, stand: Stand): SweepOptions {
  if (only === undefined) return everyCase
  const choose: SweepOptions['choose'] = (points) =>
    points.filter((point) => caseName(scenario, stand.kind, point) === only)
  return { choose, casesAtOnce: 1 }
}

async function fill(program: string, stand: Stand): Promise<Cell> {
  const cell = { stories: 0, steps: 0, landed: 0, lost: 0, half: 0 }
  for (const scenario of storiesOf(program, stand)) {
    const { steps, reached } = await sweep(scenario, stand, optionsFor(scenario, stand))
    cell.stories++
    cell.steps += steps
    cell.landed += reached.landed
    cell.lost += reached.lost
    cell.half += reached.half
  }
  return cell
}

function row(program: string, stand: string, cell: Cell, seconds: number): string {
  const { stories, steps, landed, lost, half } = cell
  const columns = [stories, steps, landed, lost, half].map((count) => String(count).padStart(7)).join('')
  return `${program.padEnd(20)} ${stand.padEnd(6)}${columns}  ${seconds.toFixed(1)} s`
}

/** The column of one store, as tests. */
export function testMatrix(stand: Stand): void {
  test(`each program dies at each durable step (${stand.kind}); what is seen is whole, and the end as if it had not`, async (t) => {
    t.after(() => stand.close())
    const table = ['program              store stories  steps landed   lost   half']
    let cases = 0
    for (const program of programs)
      await t.test(program, async () => {
        const startedMs = performance.now()
        const cell = await fill(program, stand)
        cases += cell.landed + cell.lost + cell.half
        table.push(row(program, stand.kind, cell, (performance.now() - startedMs) / 1000))
        if (only === undefined) assert.ok(cell.landed > 0 && cell.lost > 0, 'no case was reached')
      })
    for (const line of [...table, `${cases} cases`]) t.diagnostic(line)
    if (only?.includes(`/${stand.kind}/`) === true)
      assert.equal(cases, 1, `MDV_CRASH_CASE names no case: ${only}`)
  })
}
