/**
 * The vault in one process: a venue, a network, machines with their disks, a recorder, converters and, in half of the worlds, a bucket
 * between them. Every program that ends is started again, as a supervisor does, until the world is told that it is over.
 */

import type { Clock, Random } from '../../src/core/clock.ts'
import { systemCode, VaultError } from '../../src/core/errors.ts'
import { forkRandom } from '../../src/core/random.ts'
import type { EtlOptions } from '../../src/etl/run.ts'
import { Backend } from '../../src/simulator/backend.ts'
import type { ObjectStore } from '../../src/storage/object-store.ts'
import { openLocalStore } from '../../src/storage/local.ts'
import { convertLines, type RawBytes } from './convert.ts'
import { Machine } from './machine.ts'
import { Network } from './network.ts'
import { Program } from './program.ts'
import { runRecorder, type Life, type RecorderSettings } from './recorder.ts'
import { Bucket, Takeovers } from './stores.ts'
import { Timeline } from './timeline.ts'
import { runWorker, sweepOnce, type WorkerDeps } from './worker.ts'

export type Topology = 'folder' | 'bucket'

/** The venue's own grid is 10 ms; a coarser one makes hours cheap, and the frames are as many as its rate says. */
const venueTickMs = 250

/** When worlds begin: before a midnight, a month's, a year's and a leap day's end, and in the middle of nothing. */
const beginnings = [
  '2026-12-31T23:40:00Z',
  '2028-02-28T23:50:00Z',
  '2027-03-28T00:45:00Z',
  '2026-06-30T23:45:00Z',
  '2026-09-30T13:05:00Z',
].map((text) => Date.parse(text))

export class World {
  readonly seed: number
  readonly topology: Topology
  readonly timeline: Timeline
  readonly random: Random
  readonly backend: Backend
  readonly network: Network
  readonly bucket: Bucket | null
  /** The recorder's, and in worlds with a bucket another one for the converters. */
  readonly recording: { machine: Machine }
  readonly converting: { machine: Machine }
  readonly takeovers = new Takeovers(() => this.count('claims taken over'))
  readonly lives: Life[] = []
  readonly counts = new Map<string, number>()
  /** Segments that were converted, by identity. */
  readonly raws = new Map<string, RawBytes>()
  readonly recorder: { program: Program | null } = { program: null }
  readonly workers: { program: Program | null }[] = []
  readonly etl: EtlOptions
  readonly #folder: string
  readonly #startMs: number
  readonly #settings: RecorderSettings
  #machines = 0
  #isOver = false

  constructor(seed: number, folder: string, tracePath?: string) {
    this.seed = seed
    this.#folder = folder
    this.random = forkRandom(seed, 'world')
    this.timeline = new Timeline(tracePath)
    this.topology = seed % 2 === 0 ? 'bucket' : 'folder'
    this.#startMs = beginnings[Math.floor(this.random() * beginnings.length)]!
    this.backend = new Backend(
      { products: 2, framesPerSecond: 2, seed, bookDepth: 3, unsentBytesMax: 400_000 },
      this.#venueClock(),
    )
    this.network = new Network(this.timeline, forkRandom(seed, 'network'), this.backend)
    this.bucket =
      this.topology === 'bucket'
        ? new Bucket(this.timeline, forkRandom(seed, 'bucket'), this.#startMs, this.takeovers)
        : null
    this.recording = { machine: this.newMachine('recorder') }
    this.converting = this.bucket === null ? this.recording : { machine: this.newMachine('converter') }
    this.#settings = {
      segmentBytesMax: 60_000 + Math.floor(this.random() * 500_000),
      segmentAgeMsMax: 600_000 + Math.floor(this.random() * 3_000_000),
      flushEveryMs: [200, 1000, 5000][Math.floor(this.random() * 3)]!,
      queueBytesMax: 1024 * 1024 + 60_000,
    }
    this.etl = this.#etlOptions()
  }

  count = (what: string, times = 1): void => {
    this.counts.set(what, (this.counts.get(what) ?? 0) + times)
  }

  newMachine(kind: string): Machine {
    const name = `${kind}${++this.#machines}`
    return new Machine(name, this.timeline, forkRandom(this.seed, name), this.#folder, this.#startMs)
  }

  begin(): void {
    this.#keepUp(this.recorder, 'ingest', this.recording, (program) =>
      runRecorder({
        program,
        network: this.network,
        bucket: this.bucket?.seenBy(program) ?? null,
        settings: this.#settings,
        lives: this.lives,
        count: this.count,
      }),
    )
    const workers = 2 + (this.seed % 3 === 0 ? 1 : 0)
    for (let i = 0; i < workers; i++) {
      const slot = { program: null }
      this.workers.push(slot)
      this.#keepUp(slot, `etl${i + 1}`, this.converting, (program) => runWorker(this.workerDeps(program)))
    }
  }

  /** Nothing is started again. */
  end(): void {
    this.#isOver = true
  }

  workerDeps(program: Program): WorkerDeps {
    const { bucket, count, etl, takeovers } = this
    const keep = (raw: RawBytes): void => void this.raws.set(`${raw.recorder} ${raw.firstN}`, raw)
    return { program, bucket, convert: convertLines(keep), etl, count, takeovers }
  }

  newProgram(name: string, machine: Machine): Program {
    return new Program(name, machine, forkRandom(this.seed, `${machine.name} ${name} ${machine.pids}`))
  }

  /** One more round by a converter that has nothing else to do. */
  async sweep(): Promise<void> {
    const program = this.newProgram('sweep', this.converting.machine)
    await sweepOnce(this.workerDeps(program))
    await program.exit()
  }

  /** The vault as it lies there. */
  async vault(): Promise<ObjectStore> {
    return this.bucket?.objects ?? openLocalStore(this.converting.machine.base)
  }

  #keepUp(
    slot: { program: Program | null },
    name: string,
    on: { readonly machine: Machine },
    run: (program: Program) => Promise<void>,
  ): void {
    const start = (): void => {
      if (this.#isOver) return
      const program = this.newProgram(name, on.machine)
      slot.program = program
      program.whenDead(() => {
        slot.program = null
        this.timeline.at(1_000 + this.random() * 20_000, start)
      })
      run(program).then(
        () => void program.exit(),
        (error: unknown) => this.#ended(program, error),
      )
    }
    // Each in an event of its own: two that begin at once would wait for real file operations at once, and their order is nobody's.
    this.timeline.at(this.random() * 100, start)
  }

  /** As the command does: an error of ours or of the system is words and an exit code, anything else a mistake. */
  #ended(program: Program, error: unknown): void {
    const isExpected = error instanceof VaultError || systemCode(error) !== undefined
    if (!isExpected && !program.stopping.signal.aborted) return this.timeline.fail(error)
    const words = error instanceof Error ? error.message : String(error)
    this.timeline.trace(`${program.name} gives up: ${words.replaceAll(this.#folder, '')}`)
    this.count('programs that gave up')
    void program.exit()
  }

  #venueClock(): Clock {
    const { timeline } = this
    return {
      nowMs: () => Math.floor(this.#startMs + timeline.nowMs),
      nowNs: () => BigInt(Math.round((this.#startMs + timeline.nowMs) * 1000)) * 1000n,
      monotonicNs: () => BigInt(Math.round(timeline.nowMs * 1000)) * 1000n,
      monotonicMs: () => timeline.nowMs,
      after: (delayMs, callback) => timeline.at(Math.max(delayMs, venueTickMs), callback, true),
      sleep: (delayMs) => timeline.wait(delayMs),
    }
  }

  #etlOptions(): EtlOptions {
    const keepsArchive = this.random() < 0.5
    return {
      deleteRaw: true,
      archive: keepsArchive,
      retention: { maxDays: null, maxBytes: keepsArchive ? 2_000_000 : null },
      hours: { from: null, until: null },
      fromArchive: false,
      requeue: null,
      waitForHeld: false,
      sweep: false,
      batch: {
        segmentsMax: this.random() < 0.5 ? 1 : 4,
        bytesMax: 1e8,
        waitMs: 120_000,
        isPatient: this.random() < 0.5,
      },
    }
  }
}
