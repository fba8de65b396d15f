/** What a recorder with a bucket has beside its log: the thread that ships, and what it says of itself. */

import { formatBytes } from '../core/bytes.ts'
import type { VaultError } from '../core/errors.ts'
import { nothingShipped, type ShipState } from '../ingestion/shipper.ts'
import type { WriterStats } from '../segment/writer.ts'
import { placeName, revealCredentials } from '../storage/place.ts'
import type { CommandContext } from './command.ts'
import type { Config } from './config.ts'
import { requestWords } from './requests.ts'
import { Seldom } from './seldom.ts'
import { ShipperThread } from './shipper-thread.ts'

/** A stop waits no longer for a bucket; the spool keeps the rest. */
const drainWithinMs = 15_000
/** Of ingestion.spool_max_gb. */
const nearlyFull = 0.8

export class Shipping {
  readonly #thread: ShipperThread
  readonly #config: Config
  readonly #context: CommandContext
  readonly #seldom: Seldom
  #state: ShipState = nothingShipped
  #whenFenced: (label: string) => void = () => undefined

  constructor(
    thread: (events: ConstructorParameters<typeof ShipperThread>[1]) => ShipperThread,
    config: Config,
    context: CommandContext,
  ) {
    this.#config = config
    this.#context = context
    // Once a minute is enough.
    this.#seldom = new Seldom(context.clock, (text) => context.output.err(`${text}\n`), 1)
    this.#thread = thread({
      onState: (state) => this.#take(state),
      onFenced: (label) => this.#whenFenced(label),
      // Of an outage no two tries fail with the same words.
      onTrouble: (error) => this.#seldom.say('trouble', troubleText(error)),
    })
  }

  get state(): ShipState {
    return this.#state
  }

  /** Behind the line of progress. */
  get words(): string {
    const { replicatedN, segmentsWaiting, bytesWaiting, oldestWaitingMs } = this.#state
    const waiting =
      oldestWaitingMs === null
        ? ''
        : ` (${segmentsWaiting} segments, ${formatBytes(bytesWaiting)} wait, for ${Math.round(oldestWaitingMs / 1000)} s)`
    return ` · replicated_n ${replicatedN}${waiting}`
  }

  /** @param listener gets the label of a growing segment that a rescuer took: what it gains now waits until it is sealed */
  whenFenced(listener: (label: string) => void): void {
    this.#whenFenced = listener
  }

  /** All up to `durableN` is durable, the growing file as far as `stats` say. */
  mark(durableN: number, stats: Readonly<WriterStats>): void {
    const { activeLabel: label, activeFirstN: firstN, activeSizeBytes: durableBytes } = stats
    const growing = label === null || firstN === null ? null : { label, firstN, durableBytes }
    this.#thread.mark({ durableN, growing })
  }

  /** Ships what is sealed, for a while; what is left is said. */
  async finish(): Promise<void> {
    const { segmentsWaiting, bytesWaiting, requests } = await this.#thread.drain(drainWithinMs)
    if (requests !== null) this.#context.output.err(`requests: ${requestWords(requests)}\n`)
    if (segmentsWaiting === 0) return
    this.#context.output.err(
      `${segmentsWaiting} segments (${formatBytes(bytesWaiting)}) wait in ${this.#config.ingestion.spool_dir}; the next start sends them\n`,
    )
  }

  #take(state: ShipState): void {
    const isAhead = state.replicatedN > this.#state.replicatedN
    this.#state = state
    if (isAhead && this.#context.options['watermark'] === true)
      void this.#context.output.out(`replicated_n=${state.replicatedN}\n`)
    const { spool_dir: dir, spool_max_gb: maxGb } = this.#config.ingestion
    if (state.bytesWaiting < nearlyFull * maxGb * 1e9) return
    this.#seldom.say(
      'full',
      `${dir} holds ${formatBytes(state.bytesWaiting)} that the bucket does not have; at ${maxGb} GB (ingestion.spool_max_gb) new frames are dropped`,
    )
  }
}

function troubleText({ message, remedy }: VaultError): string {
  return `${message}; recording goes on in the spool${remedy === undefined ? '' : `\n  → ${remedy}`}`
}

/** @returns null: segments stay where they are recorded */
export function startShipping(config: Config, context: CommandContext): Shipping | null {
  const place = config.storage.ingestion
  if (place.backend !== 's3') return null
  const start = {
    spoolDir: config.ingestion.spool_dir,
    place: { ...place, credentials: null },
    credentials: place.credentials === null ? null : revealCredentials(place.credentials),
    cacheDir: config.storage.cache_dir,
    env: { ...context.env },
  }
  context.output.err(`recording into ${start.spoolDir}, from there to ${placeName(place)}\n`)
  return new Shipping((events) => new ShipperThread(start, events, context.clock), config, context)
}
