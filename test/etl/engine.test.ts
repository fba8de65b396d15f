/** The engine of a conversion when something fails beside it. */

import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { Engine } from '../../src/etl/engine.ts'

async function openEngine(t: TestContext): Promise<Engine> {
  const scratchDir = await mkdtemp(join(tmpdir(), 'mdv-engine-'))
  t.after(() => rm(scratchDir, { recursive: true, force: true }))
  return Engine.open({ scratchDir, memoryLimitMb: 512, threads: 2, threadsEach: 2 })
}

/** Takes minutes unless it is broken off. */
const endless = 'SELECT sum(a.range * b.range) FROM range(10000000) a, range(1000000) b'

test('an engine that is closed while a statement runs breaks it off and waits for it', async (t) => {
  // The process died of a segmentation fault: found by a removal of a scratch file that failed beside a statement.
  const engine = await openEngine(t)
  const running = assert.rejects(engine.rows(endless), /INTERRUPT/)
  await engine.close()
  await running
})

test('after a failure of one of several tasks none is begun, and those under way have ended', async (t) => {
  const engine = await openEngine(t)
  const begun: number[] = []
  let ended = 0
  const task = async (item: number): Promise<void> => {
    begun.push(item)
    if (item === 1) throw new Error('the disk is full')
    await engine.run('SELECT sum(range) FROM range(20000000)')
    ended++
  }
  await assert.rejects(engine.inParallel([0, 1, 2, 3, 4, 5], task), /the disk is full/)
  assert.deepEqual([begun, ended], [[0, 1], 1])
  await engine.close()
})
