/** The demo at length: twenty thousand frames a second, or what the machine has time for, every one accounted for. */

import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { MdvProcess } from './processes.ts'

const seconds = Number(process.env['MDV_DEMO_SECONDS'] ?? 120)

test(`a demo of ${seconds} s at 20,000 frames/s: sent, recorded, converted and missing agree`, async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'mdv-long-demo-'))
  try {
    const demo = new MdvProcess([
      'demo',
      '--seconds',
      String(seconds),
      '--rate',
      '20000',
      '--dir',
      join(dir, 'vault'),
    ])
    assert.equal(await demo.ended(), 0, demo.errors.slice(-10).join('\n'))
    const report = demo.lines.join('\n')
    t.diagnostic(demo.lines.slice(0, 12).join(' | '))
    const sent = Number(/sent\s+([\d,]+) frames/.exec(report)?.[1]?.replaceAll(',', ''))
    // How close it came to its rate is the machine's affair; that there was much to lose is not.
    assert.ok(sent > seconds * 1000, `the simulator sent ${sent} frames`)
    assert.match(report, /✓ frames sent/)
    assert.match(report, /✓ lines written/)
    assert.doesNotMatch(report, /✗/)
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
})
