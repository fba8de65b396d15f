/** The whole conversion in this process, on whatever waits. */

import assert from 'node:assert/strict'
import { join } from 'node:path'
import { systemClock } from '../../src/cli/system-clock.ts'
import { ClaimBoard } from '../../src/etl/claim-board.ts'
import { convertSegments } from '../../src/etl/convert.ts'
import { runEtlOnce } from '../../src/etl/run.ts'
import { SourceFiles } from '../../src/etl/source-files.ts'
import type { LocalObjectStore } from '../../src/storage/object-store.ts'
import { thisProcess } from '../../src/storage/process-identity.ts'

/** @returns how many segments */
export async function convertAll(
  into: LocalObjectStore,
  { archive, segmentsMax = 1 }: { readonly archive: boolean; readonly segmentsMax?: number },
): Promise<number> {
  const settings = { software: 'mdv test', numberType: 'decimal', compression: 'zstd' } as const
  const scratchDir = join(await into.scratch('etl'), 'test')
  const worker = { writer: 'test', identity: await thisProcess(), isDead: async () => false }
  const summary = await runEtlOnce(
    {
      store: into,
      clock: systemClock,
      venue: 'coinbase',
      settings,
      worker,
      scratchDir,
      files: new SourceFiles(into, scratchDir),
      board: new ClaimBoard({ store: into, clock: systemClock, venue: 'coinbase' }),
      convert: (sources, plan, abort) =>
        convertSegments(sources, { ...plan, ...settings, memoryLimitMb: 512, threads: 1 }, abort),
    },
    {
      deleteRaw: true,
      archive,
      retention: { maxDays: null, maxBytes: null },
      hours: { from: null, until: null },
      fromArchive: false,
      requeue: null,
      waitForHeld: false,
      sweep: false,
      batch: { segmentsMax, bytesMax: 1e9, waitMs: 0, isPatient: false },
    },
    {
      onEvent: (event) => assert.notEqual(event.kind, 'failed', JSON.stringify(event)),
      onProgress: () => undefined,
    },
    new AbortController().signal,
  )
  return summary.segments
}
