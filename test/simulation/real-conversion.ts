/** Some of the segments of a simulated world, through the real conversion: DuckDB, Parquet, compaction, and `mdv verify` over the result. */

import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { systemClock } from '../../src/cli/system-clock.ts'
import { ClaimBoard } from '../../src/etl/claim-board.ts'
import { runCompaction } from '../../src/etl/compact-run.ts'
import { convertSegments } from '../../src/etl/convert.ts'
import { runEtlOnce } from '../../src/etl/run.ts'
import { SourceFiles } from '../../src/etl/source-files.ts'
import { rebuildCheck } from '../../src/query/verify/rebuild.ts'
import { verifyVault, type VerifySummary } from '../../src/query/verify/verify.ts'
import { readySegmentKey, segmentLabel } from '../../src/storage/keys.ts'
import { openLocalStore } from '../../src/storage/local.ts'
import { thisProcess } from '../../src/storage/process-identity.ts'
import { ReceiptCache, readReceipts } from '../../src/table/receipts.ts'
import { collect, etlOptions, never } from '../etl/job-bench.ts'
import { proofOptions } from '../query/proof-options.ts'
import type { World } from './world.ts'

const dayMs = 86_400_000
const settings = { software: 'mdv test', numberType: 'decimal', compression: 'zstd' } as const

/** @returns lines that were converted, and what verify counted */
export async function convertForReal(
  world: World,
  segmentsMax: number,
): Promise<{ readonly lines: number; readonly verified: VerifySummary }> {
  const folder = await mkdtemp(join(tmpdir(), 'mdv-simulated-'))
  try {
    const store = await openLocalStore(folder)
    for (const [i, { hour, bytes }] of oldestOf(world, segmentsMax).entries()) {
      const path = store.pathOf(readySegmentKey('coinbase', segmentLabel(hour, i + 1)))
      await mkdir(dirname(path), { recursive: true })
      await writeFile(path, bytes)
    }
    const worker = { writer: 'test', identity: await thisProcess(), isDead: async () => false }
    const scratchDir = join(await store.scratch('etl'), 'test')
    // Days that are over are merged.
    const clock = { ...systemClock, nowMs: () => Math.floor(world.recording.machine.nowMs()) + 2 * dayMs }
    const deps = { store, clock, venue: 'coinbase', settings, worker, scratchDir }
    const limits = { memoryLimitMb: 512, threads: 1 }
    const { failed } = await runEtlOnce(
      {
        ...deps,
        files: new SourceFiles(store, scratchDir),
        board: new ClaimBoard(deps),
        convert: (sources, plan, signal) =>
          convertSegments(sources, { ...plan, ...settings, ...limits }, signal),
      },
      { ...etlOptions, archive: true },
      collect(),
      never,
    )
    assert.equal(failed, 0)
    const receipts = await readReceipts(store, 'coinbase', never)
    const lines = receipts.reduce((sum, receipt) => sum + receipt.lines.total, 0)
    const report = {
      outcome: () => undefined,
      failed: (_plan: unknown, error: unknown) => assert.fail(String(error)),
    }
    const compaction = { ...deps, ...limits }
    await runCompaction(compaction, { bytesMax: 1e9, graceMs: 0 }, report, new ReceiptCache(), never)
    return { lines, verified: await verify(store) }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Of the first recorders, each from its first line on, so that their counters have no hole. */
function oldestOf({ lives, raws }: World, segmentsMax: number) {
  const place = new Map(lives.map(({ recorder }, i) => [recorder, i]))
  return [...raws.values()]
    .filter(({ recorder }) => place.has(recorder))
    .sort((a, b) => place.get(a.recorder)! - place.get(b.recorder)! || a.firstN - b.firstN)
    .slice(0, segmentsMax)
}

async function verify(store: Awaited<ReturnType<typeof openLocalStore>>): Promise<VerifySummary> {
  const found: string[] = []
  const summary = await verifyVault(
    store,
    'coinbase',
    proofOptions(
      async ({ severity, kind, where, message }) => {
        if (severity === 'error') found.push(`${kind} ${where}: ${message}`)
      },
      { rebuild: rebuildCheck },
    ),
    never,
  )
  assert.deepEqual(found, [])
  return summary
}
