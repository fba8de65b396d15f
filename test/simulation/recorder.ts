/** A recorder of the simulation: what `mdv ingest` puts together, with everything outside passed in, and what it promised while it lived. */

import { VaultError } from '../../src/core/errors.ts'
import { makeRecorderId } from '../../src/core/ids.ts'
import { runIngestion } from '../../src/ingestion/run.ts'
import { Shipper } from '../../src/ingestion/shipper.ts'
import { SegmentLog } from '../../src/segment/log.ts'
import { recoverActive } from '../../src/segment/recovery.ts'
import { writeHere } from '../../src/segment/writer.ts'
import { rawActive } from '../../src/storage/keys.ts'
import { acquireLease, type Lease } from '../../src/storage/lease.ts'
import { openLocalStore } from '../../src/storage/local.ts'
import type { LocalObjectStore, ObjectStore } from '../../src/storage/object-store.ts'
import { coinbase } from '../../src/venue/coinbase.ts'
import { sequenceNumbers } from '../../src/venue/sequence.ts'
import type { Network } from './network.ts'
import { diskOf } from './program-disk.ts'
import type { Program } from './program.ts'
import { folderOf } from './stores.ts'

/** What one recorder said of itself. */
export interface Life {
  readonly recorder: string
  /** Greatest `durable_n` and `replicated_n` it told of. */
  durableN: number
  replicatedN: number
  /** It was told to stop and came to its end: nothing it was given is missing. */
  isOrderly: boolean
  /** Its disk is gone for ever: only what was in the bucket is left. */
  isDiskLost: boolean
}

export interface RecorderSettings {
  readonly segmentBytesMax: number
  readonly segmentAgeMsMax: number
  readonly flushEveryMs: number
  readonly queueBytesMax: number
}

export interface RecorderDeps {
  readonly program: Program
  readonly network: Network
  /** null: segments stay where they are recorded. */
  readonly bucket: ObjectStore | null
  readonly settings: RecorderSettings
  readonly lives: Life[]
  /** Counts what happened, by name. */
  readonly count: (what: string, times?: number) => void
}

const leaseMs = 60_000
const renewMs = 10_000
const drainMs = 15_000
export const software = 'mdv simulated'

/** From the lease to its release. @throws {VaultError} as the program does that then ends with an exit code */
export async function runRecorder(deps: RecorderDeps): Promise<void> {
  const { program } = deps
  const disk = diskOf(program)
  const store = folderOf(program, await openLocalStore(program.machine.base, disk))
  const lease = await takeLease(program, store)
  const lost = new AbortController()
  const stop = AbortSignal.any([program.stopping.signal, lost.signal])
  const renewing = renewUntil(program, lease, stop, lost)
  try {
    const recovery = { store, disk, clock: program.clock, sequenceOf: sequenceNumbers(coinbase) }
    for (const one of await recoverActive(recovery, coinbase.name, stop)) {
      deps.count('recovered files')
      if (one.cutBytes > 0) deps.count('torn tails')
    }
    await record(deps, store, stop)
  } finally {
    lost.abort()
    await renewing
    await lease.release().catch(() => undefined)
  }
}

async function takeLease(program: Program, store: LocalObjectStore): Promise<Lease> {
  const owner = { ...program.identity, purpose: 'mdv ingest', token: program.name }
  const { clock, isDead } = program
  const options = { ttlMs: leaseMs, clock, isDead, wait: true }
  const outcome = await acquireLease(
    store,
    `${rawActive(coinbase.name)}recorder`,
    '.lease.json',
    owner,
    options,
    program.stopping.signal,
  )
  if (outcome.held) return outcome.lease
  throw new VaultError('held', `recorded into by ${outcome.by.token}`)
}

async function renewUntil(
  { clock }: Program,
  lease: Lease,
  signal: AbortSignal,
  lost: AbortController,
): Promise<void> {
  while (!signal.aborted) {
    try {
      await clock.sleep(renewMs, signal)
      if (!(await lease.renew())) lost.abort(new VaultError('held', 'another recorder took over'))
    } catch (error) {
      // A disk that refuses: the recording says so itself.
      if (!signal.aborted && !(error instanceof VaultError)) throw error
    }
  }
}

async function record(deps: RecorderDeps, store: LocalObjectStore, signal: AbortSignal): Promise<void> {
  const { network, program, settings } = deps
  const { clock, random } = program
  const life: Life = {
    recorder: makeRecorderId(random),
    durableN: 0,
    replicatedN: 0,
    isOrderly: false,
    isDiskLost: false,
  }
  deps.lives.push(life)
  const disk = diskOf(program)
  const shipper = makeShipper(deps, store, life, (label) => {
    deps.count('growing segments taken by a rescuer')
    if (log.stats.activeLabel === label) log.rotate()
  })
  const log: SegmentLog = new SegmentLog(
    {
      clock,
      openWriter: writeHere({ store, disk, clock }),
      onDurable: (durableN) => {
        life.durableN = durableN
        const { activeLabel: label, activeFirstN: firstN, activeSizeBytes: durableBytes } = log.stats
        const growing = label === null || firstN === null ? null : { label, firstN, durableBytes }
        shipper?.mark({ durableN, growing })
      },
      onTrouble: () => deps.count('disk troubles'),
    },
    {
      venue: coinbase.name,
      url: 'wss://venue.simulated',
      software,
      recorder: life.recorder,
      flushBytes: 64 * 1024,
      fsync: true,
      ...settings,
    },
  )
  const shipping = new AbortController()
  const running = shipper?.run(shipping.signal)
  try {
    await runIngestion(
      {
        clock,
        random,
        log,
        venue: coinbase,
        fetchText: network.fetchOf(program),
        dial: network.dialOf(program),
        makeToken: null,
        report: () => undefined,
        say: () => undefined,
        host: program.machine.name,
        pid: program.pid,
      },
      {
        wsUrl: 'wss://venue.simulated',
        restUrl: 'https://venue.simulated',
        products: 'all',
        channels: coinbase.channels,
        software,
        queueBytesMax: settings.queueBytesMax,
      },
      signal,
    )
  } finally {
    await log.close()
  }
  life.isOrderly = program.stopping.signal.aborted
  deps.count('segments sealed', log.stats.segmentsSealed)
  shipping.abort()
  await running
  if (shipper !== null) await drain(program, shipper)
}

function makeShipper(
  { bucket, count, program }: RecorderDeps,
  spool: LocalObjectStore,
  life: Life,
  onFenced: (label: string) => void,
): Shipper | null {
  if (bucket === null) return null
  const { clock, random } = program
  return new Shipper({
    spool,
    disk: diskOf(program),
    venue: coinbase.name,
    sequenceOf: sequenceNumbers(coinbase),
    clock,
    random,
    openBucket: () => Promise.resolve(bucket),
    onState: ({ replicatedN }) => (life.replicatedN = replicatedN),
    onFenced: ({ label }) => onFenced(label),
    onTrouble: () => count('bucket troubles'),
  })
}

async function drain({ clock }: Program, shipper: Shipper): Promise<void> {
  const late = new AbortController()
  const timer = clock.after(drainMs, () => late.abort())
  await shipper.drain(late.signal)
  timer.cancel()
}
