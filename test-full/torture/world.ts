/** One batch's exchange, vault and programs, and what can be done to them. */

import { existsSync, readdirSync, readFileSync, appendFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Fault as VenueFault } from '../../src/simulator/faults.ts'
import { Exchange } from '../exchange.ts'
import type { BatchPlan, Deed, StoreName } from './plan.ts'
import { FakeClock, Program, traced } from './programs.ts'
import { Place } from './small-disk.ts'
import { openTortureStore, type TortureStore } from './stores.ts'
import type { Tally } from './tally.ts'

/** Of a bucket's requests, in quiet times and in a storm. */
const usualChance = 0.01
const stormChance = 0.1

export class World {
  readonly exchange: Exchange
  readonly store: TortureStore
  readonly place: Place
  readonly clock: FakeClock | null
  readonly tally: Tally
  /** The last counter each recorder called durable, by its process. */
  readonly promised = new Map<number, number>()
  recorder: Program | null = null
  readonly #plan: BatchPlan
  #workers: Program[] = []
  #frozen: { readonly program: Program; readonly untilMs: number } | null = null

  private constructor(
    parts: { exchange: Exchange; store: TortureStore; place: Place; clock: FakeClock | null },
    plan: BatchPlan,
    tally: Tally,
  ) {
    this.exchange = parts.exchange
    this.store = parts.store
    this.place = parts.place
    this.clock = parts.clock
    this.tally = tally
    this.#plan = plan
  }

  static async make(plan: BatchPlan, name: StoreName, hasClock: boolean, tally: Tally): Promise<World> {
    const place = await Place.make(plan.isSmall)
    const store = await openTortureStore(name, place.folder, plan.seed)
    if (store.proxy !== null) store.proxy.chance = usualChance
    const market = ['--rate', '800', '--products', '2', '--book-depth', '40', '--unconflated']
    const exchange = await Exchange.start(...market, '--seed', String(plan.seed))
    const clock = hasClock ? new FakeClock(place.folder) : null
    return new World({ exchange, store, place, clock }, plan, tally)
  }

  startRecorder(under: readonly string[] = []): Program {
    const args = ['ingest', '--watermark', '--segment-max-mb', '0.2', ...this.exchange.flags]
    const queue = ['--queue-max-mb', String(this.#plan.queueMaxMb)]
    const env = { ...this.store.env, ...this.clock?.env, ...(under.length > 0 ? oneThread : {}) }
    this.recorder = new Program('recorder', [...args, ...queue], env, under, this.tally)
    if (this.#isTroubled) this.recorder.excuse()
    return this.recorder
  }

  /** At least one that is not stopped. */
  keepWorker(under: readonly string[] = []): Program {
    this.#workers = this.#workers.filter((one) => one.isAlive)
    const awake = this.#workers.find((one) => one !== this.#frozen?.program)
    if (awake !== undefined) return awake
    const args = [
      'etl',
      '--watch',
      '--poll-interval-seconds',
      '0.5',
      '--archive',
      '--batch-wait-seconds',
      '1.5',
    ]
    const env = { ...this.store.env, ...(under.length > 0 ? oneThread : {}) }
    const worker = new Program('worker', args, env, under, this.tally)
    if (this.#isTroubled || under.length > 0) worker.excuse()
    this.#workers.push(worker)
    return worker
  }

  /** A bucket may be out of reach at any start. */
  get #isTroubled(): boolean {
    return this.store.proxy !== null
  }

  get workers(): readonly Program[] {
    return this.#workers
  }

  async killRecorder(): Promise<void> {
    const { recorder } = this
    if (recorder === null) return
    await recorder.kill()
    this.promised.set(recorder.pid, recorder.durableN)
    this.recorder = null
  }

  async killWorkers(): Promise<void> {
    for (const worker of this.#workers) if (worker !== this.#frozen?.program) await worker.kill()
  }

  /** The worker sleeps past its claim while another goes on. */
  freezeWorker(forMs: number): void {
    const program = this.keepWorker()
    program.signal('SIGSTOP')
    this.#frozen = { program, untilMs: Date.now() + forMs }
    this.keepWorker()
  }

  /** @param isWaiting until it is time */
  async thaw(isWaiting: boolean): Promise<void> {
    const frozen = this.#frozen
    if (frozen === null) return
    const leftMs = frozen.untilMs - Date.now()
    if (leftMs > 0 && !isWaiting) return
    // A timer may end a little before the clock says so: not asked again, or it would sleep for ever.
    await sleep(Math.max(0, leftMs))
    frozen.program.signal('SIGCONT')
    this.tally.add('reached', 'workers woken past their claim')
    this.#frozen = null
  }

  async strikeVenue(fault: VenueFault): Promise<void> {
    await this.exchange.fault(fault)
    this.tally.add('faults injected', `venue: ${nameOf(fault)}`)
  }

  storm(isOn: boolean): void {
    if (this.store.proxy !== null) this.store.proxy.chance = isOn ? stormChance : usualChance
  }

  away(isAway: boolean): void {
    if (this.store.proxy !== null) this.store.proxy.isAway = isAway
  }

  /** What a power loss or a full disk leaves behind the last whole line of the growing segment. @returns whether there was one */
  tearTail({ dice }: Deed): boolean {
    const path = growingSegment(this.store.proxy === null ? 'vault' : 'spool', this.place.folder)
    if (path === null) return false
    const torn = [
      Buffer.from('{"n":99999999,"recv_ns":"17'),
      Buffer.alloc(4096),
      Buffer.from('\0\0{"n":1,"re'),
    ]
    appendFileSync(path, torn[Math.floor(dice * torn.length)]!)
    return true
  }

  /** Sealed segments that the bucket does not have yet. */
  get isWaitingInSpool(): boolean {
    const ready = join(this.place.folder, 'spool', 'raw', 'ready', 'coinbase')
    return existsSync(ready) && readdirSync(ready).length > 0
  }

  async remove(isKept: boolean): Promise<void> {
    for (const program of [...this.#workers, this.recorder]) await program?.kill()
    await this.exchange.stop()
    await this.store.stop()
    if (!isKept) await this.place.remove()
  }
}

/** strace counts calls by thread. */
const oneThread = { UV_THREADPOOL_SIZE: '1' }

/** Where exactly one segment grows that has no seal yet, and whose last line is whole. */
function growingSegment(vault: string, folder: string): string | null {
  const active = join(folder, vault, 'raw', 'active', 'coinbase')
  if (!existsSync(active)) return null
  const names = readdirSync(active).filter((name) => name.endsWith('.ndjson'))
  if (names.length !== 1) return null
  const path = join(active, names[0]!)
  const bytes = readFileSync(path)
  const last = bytes.subarray(bytes.lastIndexOf(10, -2) + 1)
  return bytes.at(-1) === 10 && !last.toString('latin1').startsWith('{"seal"') ? path : null
}

function nameOf({ kind, code, bytes }: VenueFault): string {
  return [kind, code, bytes === undefined ? undefined : `${bytes / 1e6} MB`].filter(Boolean).join(' ')
}

/** How a program is started with a deed in it; none: as ever. */
export function tracedBy({ kind, dice }: Deed): string[] {
  const at = 2 + Math.floor(dice * 8)
  if (kind === 'fdatasync fails in recorder') return traced('fdatasync', `error=EIO:when=${at}`)
  if (kind === 'slow fdatasync in recorder')
    return traced('fdatasync', `delay_enter=400000:when=${at}..${at + 4}`)
  if (kind === 'sync or link fails in worker')
    return dice < 0.5
      ? traced('fsync', `error=EIO:when=${at}`)
      : traced('link,linkat', `error=EIO:when=${at}`)
  return []
}
