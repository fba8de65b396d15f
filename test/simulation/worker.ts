/** A converter of the simulation: what `mdv etl --watch` puts together, rescue of abandoned segments in a bucket included. */

import { messageOf, VaultError } from '../../src/core/errors.ts'
import { ClaimBoard } from '../../src/etl/claim-board.ts'
import type { Convert } from '../../src/etl/conversion.ts'
import type { JobDeps } from '../../src/etl/job-commit.ts'
import { runEtlOnce, type EtlOptions } from '../../src/etl/run.ts'
import type { EtlEvent } from '../../src/etl/run-report.ts'
import { SourceFiles } from '../../src/etl/source-files.ts'
import { openWorkerScratch } from '../../src/etl/sweep.ts'
import { watchEtl } from '../../src/etl/watch.ts'
import { rescueAbandoned, type RescueMemory } from '../../src/segment/rescue.ts'
import { openLocalStore } from '../../src/storage/local.ts'
import type { ObjectStore } from '../../src/storage/object-store.ts'
import { coinbase } from '../../src/venue/coinbase.ts'
import { sequenceNumbers } from '../../src/venue/sequence.ts'
import { diskOf } from './program-disk.ts'
import type { Program } from './program.ts'
import { software } from './recorder.ts'
import { folderOf, type Bucket, type Takeovers } from './stores.ts'

export interface WorkerDeps {
  readonly program: Program
  /** null: the vault is the folder of the program's machine. */
  readonly bucket: Bucket | null
  readonly convert: Convert
  readonly etl: EtlOptions
  readonly takeovers: Takeovers
  readonly count: (what: string, times?: number) => void
}

const pollMs = 30_000
const rescueEveryMs = 60_000

/** Until it is told to stop. */
export async function runWorker(deps: WorkerDeps): Promise<void> {
  const { program } = deps
  const store = await openStore(deps)
  const signal = program.stopping.signal
  const rescuing = deps.bucket === null ? Promise.resolve() : rescueMeanwhile(deps, store, signal)
  const report = {
    onEvent: (event: EtlEvent) => note(deps, event),
    onProgress: () => undefined,
    onRound: () => undefined,
    onRoundFailed: () => deps.count('rounds of conversion that failed'),
  }
  const job = await jobDeps(deps, store)
  await watchEtl({ ...job, random: program.random }, deps.etl, { pollMs }, report, signal)
  await rescuing
}

/** One round that looks at everything. */
export async function sweepOnce(deps: WorkerDeps): Promise<void> {
  const store = await openStore(deps)
  const report = { onEvent: (event: EtlEvent) => note(deps, event), onProgress: () => undefined }
  await runEtlOnce(
    await jobDeps(deps, store),
    { ...deps.etl, sweep: true, waitForHeld: true, batch: { ...deps.etl.batch, isPatient: false } },
    report,
    new AbortController().signal,
  )
}

async function openStore({ bucket, program, takeovers }: WorkerDeps): Promise<ObjectStore> {
  if (bucket !== null) return bucket.seenBy(program)
  return folderOf(program, await openLocalStore(program.machine.base, diskOf(program)), takeovers)
}

async function jobDeps({ convert, program }: WorkerDeps, store: ObjectStore): Promise<JobDeps> {
  const { clock, identity, isDead } = program
  // Names of files and folders come from it.
  const writer = program.name.replace('#', '-')
  const worker = { writer, identity, isDead }
  const scratchDir = await openWorkerScratch(store, worker)
  const venue = coinbase.name
  return {
    store,
    clock,
    venue,
    convert,
    settings: { software, numberType: 'decimal', compression: 'zstd' },
    worker,
    scratchDir,
    files: new SourceFiles(store, scratchDir),
    board: new ClaimBoard({ store, clock, venue }),
  }
}

function note({ count, program }: WorkerDeps, event: EtlEvent): void {
  const words =
    event.kind === 'failed' ? messageOf(event.error) : event.kind === 'foreign' ? event.file.reason : ''
  program.machine.timeline.trace(`${program.name} ${event.kind} ${words}`)
  count(`jobs ${event.kind}`)
  if (event.kind === 'failed' && !(event.error instanceof VaultError))
    program.machine.timeline.fail(event.error)
}

async function rescueMeanwhile(deps: WorkerDeps, store: ObjectStore, signal: AbortSignal): Promise<void> {
  const { count, program } = deps
  const rescue = {
    store,
    disk: diskOf(program),
    clock: program.clock,
    by: program.name,
    software,
    sequenceOf: sequenceNumbers(coinbase),
  }
  const memory: RescueMemory = new Map()
  while (!signal.aborted) {
    try {
      const { rescued } = await rescueAbandoned(rescue, coinbase.name, memory, signal)
      count('segments rescued', rescued.length)
      await program.clock.sleep(rescueEveryMs, signal)
    } catch (error) {
      if (signal.aborted) return
      if (!(error instanceof VaultError)) throw error
      await program.clock.sleep(rescueEveryMs, signal).catch(() => undefined)
    }
  }
}
