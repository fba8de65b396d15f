/** The demo: its report says when accounts disagree, and the whole of it ends by itself with all of them agreeing. */

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { VaultFacts } from '../../src/cli/demo/facts.ts'
import { demoPrefix } from '../../src/cli/demo/place.ts'
import { equalities, reportText, type DemoResult } from '../../src/cli/demo/report.ts'

const facts: VaultFacts = {
  linesInRows: 1005,
  eventsInRows: 7,
  rejectedLines: 2,
  rows: { ticker: 10, level2: 20, market_trades: 30, other: 40 },
  gaps: 0,
  framesMissing: 0,
  openGaps: 0,
  segments: 3,
  parts: 12,
  rawBytes: 500_000,
  parquetBytes: 50_000,
}
const clean: DemoResult = {
  sent: { connections: 1, frames: 1000 },
  recordedLines: 1007,
  recordedSeconds: 5,
  segmentsLeft: 0,
  facts,
}
const failing = (result: DemoResult): number[] =>
  equalities(result).flatMap((each, i) => (each.holds ? [] : [i]))

test('accounts that agree are marked so', () => {
  assert.deepEqual(failing(clean), [])
  assert.doesNotMatch(reportText(clean, false), /✗/)
})

test('a frame sent and not recorded is seen, one known to be missing is explained', () => {
  assert.deepEqual(failing({ ...clean, sent: { connections: 1, frames: 1001 } }), [0])
  const explained = {
    ...clean,
    sent: { connections: 1, frames: 1001 },
    facts: { ...facts, gaps: 1, framesMissing: 1 },
  }
  assert.deepEqual(failing(explained), [])
})

test('a gap without an end explains frames that are missing, never frames too many', () => {
  const open = { ...facts, gaps: 1, openGaps: 1 }
  assert.deepEqual(failing({ ...clean, sent: { connections: 2, frames: 1500 }, facts: open }), [])
  assert.deepEqual(failing({ ...clean, sent: { connections: 2, frames: 999 }, facts: open }), [0])
})

test('a line doubled or lost in conversion is seen, and so is a segment left behind', () => {
  assert.deepEqual(failing({ ...clean, recordedLines: 1008 }), [1])
  assert.deepEqual(failing({ ...clean, segmentsLeft: 1 }), [2])
  assert.match(reportText({ ...clean, recordedLines: 1008 }, false), /^✗ lines written 1,008 = /m)
})

test('the prefix of a demo in a bucket is one, whatever its folder is called', () => {
  assert.equal(demoPrefix('', '/x/20261203T120000'), 'mdv-demo-20261203T120000')
  assert.equal(demoPrefix('a/b', '/x/my démo & more'), 'a/b/mdv-demo-my_d_mo_more')
})

test('a demo ends by itself, agrees with its simulator, and leaves a folder that can be asked', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'mdv-demo-'))
  try {
    const main = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url))
    const args = [
      main,
      'demo',
      '--seconds',
      '1',
      '--rate',
      '2000',
      '--products',
      '3',
      '--dir',
      join(folder, 'd'),
    ]
    // Settings of the one who runs it are not the demo's.
    const env = {
      ...process.env,
      MDV_STORAGE_BASE_DIR: join(folder, 'other'),
      MDV_COINBASE_CHANNELS: 'nonsense',
    }
    const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'pipe'] })
    const ended = once(child, 'close')
    const [out, err] = await Promise.all([text(child.stdout), text(child.stderr)])
    assert.deepEqual(await ended, [0, null], err)
    assert.equal(out.match(/^✓ /gm)?.length, 3, out)
    assert.match(out, /^gaps {7}0, /m)
    assert.match(out, /Try next:\n {2}(npx )?mdv query --base-dir .*market_trades_unique/)
    assert.match(out, /open +high +low +close +volume/)
    assert.ok(!existsSync(join(folder, 'other')))
    assert.match(readFileSync(join(folder, 'd', 'config.yaml'), 'utf8'), /product_ids: all/)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
