/**
 * A hundred thousand inputs and more for everything that reads bytes of others (MDV_FUZZ_INPUTS for a longer night), and segments of damaged frames
 * through the whole conversion: each line is in rows or rejected, once.
 */

import assert from 'node:assert/strict'
import test from 'node:test'
import { Worker } from 'node:worker_threads'
import { seededRandom } from '../src/core/random.ts'
import { frameLine, segment, withConversion, readRows } from '../test/etl/convert-segment.ts'
import { corpusOf, type Hole } from '../test/fuzz/fuzz.ts'
import type { FuzzTask } from '../test/fuzz/fuzz-worker.ts'
import { mutate } from '../test/fuzz/mutate.ts'
import { targets } from '../test/fuzz/targets.ts'

const seed = Number(process.env['MDV_SEED'] ?? Date.now() % 1_000_000)
const inputs = Number(process.env['MDV_FUZZ_INPUTS'] ?? 120_000)
/** No input is worth as much, on whatever machine. */
const hangMs = 20_000

interface Fuzzed {
  readonly hole: Hole | null
  readonly heapMb: number
}

async function fuzzInThread(target: string, count: number): Promise<Fuzzed> {
  const under = new SharedArrayBuffer(4)
  const task: FuzzTask = { target, inputs: count, seed, under }
  const worker = new Worker(new URL('../test/fuzz/fuzz-worker.js', import.meta.url), {
    workerData: task,
    // Growth beyond it ends the thread with an error that says so.
    resourceLimits: { maxOldGenerationSizeMb: 256 },
  })
  let seen = -1
  const watch = setInterval(() => {
    const now = Atomics.load(new Int32Array(under), 0)
    if (now === seen) worker.emit('error', new Error(`${target}: input ${now} of seed ${seed} hangs`))
    seen = now
  }, hangMs)
  try {
    const hole = await new Promise<Hole | null>((resolve, reject) => {
      worker.once('message', resolve).once('error', reject)
    })
    return { hole, heapMb: process.memoryUsage.rss() / 1e6 }
  } finally {
    clearInterval(watch)
    await worker.terminate()
  }
}

const share = Math.ceil(inputs / targets.length)
for (const target of targets)
  test(`${target.name}: ${share} inputs are taken or refused (MDV_SEED=${seed})`, async () => {
    const { hole } = await fuzzInThread(target.name, share)
    assert.equal(hole, null)
  })

test(`damaged frames through the conversion: each line is in rows or rejected, once (MDV_SEED=${seed})`, async (t) => {
  const frames = corpusOf(targets.find(({ name }) => name === 'frame')!)
  const random = seededRandom(seed)
  const counts = { lines: 0, rows: 0, rejected: 0 }
  for (let round = 0; round < 4; round++) {
    const lines = Array.from({ length: 1500 }, (_, i) => {
      const frame = mutate(frames[i % frames.length]!, frames, random)
      // A line holds what a recorder lets into it: no newline.
      const text = frame.toString('utf8').replace(/[\n\r]/g, ' ')
      return frameLine(i + 1, text)
    })
    await withConversion(segment(lines), {}, async (conversion) => {
      const rows = await readRows(conversion)
      const inRows = new Set(rows.map(({ values }) => Number(values['n'])))
      const { rejected } = conversion.lines
      counts.lines += lines.length
      counts.rows += inRows.size
      counts.rejected += rejected
      assert.equal(inRows.size + rejected, lines.length, `round ${round}`)
    })
  }
  assert.ok(counts.rejected > 0 && counts.rows > 0)
  t.diagnostic(`lines ${counts.lines}: in rows ${counts.rows}, rejected ${counts.rejected}`)
})
