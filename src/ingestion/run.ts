/** A recorder at work: connections over shards of the products, watched, refreshed and reported on until told to stop. */

import type { Clock, Random } from '../core/clock.ts'
import type { VaultError } from '../core/errors.ts'
import type { LogEvent } from '../segment/format.ts'
import type { SegmentLog } from '../segment/log.ts'
import type { Venue } from '../venue/venue.ts'
import { Budget } from './budget.ts'
import { Connection, type ConnectionDeps } from './connection.ts'
import { awaitProducts, compareList, listProducts, refuseUnknown, type FetchText } from './products.ts'
import { ReceiveClock } from './receive-clock.ts'
import { planShards, type Shard } from './shards.ts'
import type { Dial } from './socket.ts'

export interface IngestionDeps {
  readonly clock: Clock
  readonly random: Random
  readonly log: SegmentLog
  readonly venue: Venue
  readonly fetchText: FetchText
  readonly dial: Dial
  readonly makeToken: (() => Promise<string>) | null
  /** Called every few seconds, and once at the end. */
  readonly report: (progress: IngestionProgress) => void
  /** Called for what a person should know at once. `subject` is one of a few, and the same for what happens again and again. */
  readonly say: (subject: string, text: string) => void
  /** Who and where, for the log. */
  readonly host: string
  readonly pid: number
}

export interface IngestionOptions {
  readonly wsUrl: string
  readonly restUrl: string
  readonly products: readonly string[] | 'all'
  readonly channels: readonly string[]
  readonly software: string
  readonly queueBytesMax: number
}

export interface IngestionProgress {
  /** Taken into the log. */
  readonly frames: number
  readonly framesPerSecond: number
  readonly bytesPerSecond: number
  readonly nextN: number
  readonly durableN: number
  /** The longest a line waited for its fsync since the last report. */
  readonly durableLagMs: number
  readonly queuedBytes: number
  readonly products: number
  readonly connections: number
  readonly connectionsUp: number
  /** Recorded so far; the orderly ends of connections at a stop are none. */
  readonly gaps: number
  readonly segmentsSealed: number
}

const tickMs = 1_000
const reportMs = 2_000
const rateSecondsMin = 0.1
const anchorMs = 10_000
const refreshMs = 600_000
/** While a product is not listed that is wanted. */
const refreshMissingMs = 60_000
/** At the end, for the last lines to become durable. */
const flushMsMax = 5_000
/** Turns this far apart: this process was stopped or starved, and the silence may be its own. */
const asleepMs = 2_500

/** Runs until the signal; on return everything received is in the log (not yet sealed: the caller closes the log). */
export async function runIngestion(
  deps: IngestionDeps,
  options: IngestionOptions,
  signal: AbortSignal,
): Promise<IngestionProgress> {
  const recorder = new Recorder(deps, options)
  try {
    const products = await wantedProducts(deps, options, signal)
    recorder.begin(products)
    await recorder.watch(signal)
  } catch (error) {
    if (!signal.aborted) throw error // told to stop while it waited: an orderly end
  } finally {
    await recorder.end(signal.aborted ? 'signal' : 'failure')
  }
  return recorder.progress()
}

async function wantedProducts(
  deps: IngestionDeps,
  options: IngestionOptions,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const { clock, fetchText, say, venue } = deps
  if (options.products === 'all') {
    return awaitProducts(
      venue,
      options.restUrl,
      fetchText,
      clock,
      (error) => say('products', `${error.message}; trying again${wayOut(error)}`),
      signal,
    )
  }
  try {
    refuseUnknown(venue, options.products, await listProducts(venue, options.restUrl, fetchText, signal))
  } catch (error) {
    if ((error as VaultError).kind !== 'unavailable') throw error
    const words = `could not check coinbase.product_ids: ${(error as VaultError).message}; going on`
    say('products', words + wayOut(error as VaultError))
  }
  return options.products
}

function wayOut({ remedy }: VaultError): string {
  return remedy === undefined ? '' : ` · ${remedy}`
}

class Recorder {
  readonly #deps: IngestionDeps
  readonly #options: IngestionOptions
  readonly #receiveClock: ReceiveClock
  readonly #connections = new Map<number, Connection>()
  readonly #connectionDeps: ConnectionDeps
  #shards: Shard[] = []
  #products: readonly string[] = []
  /** Wanted, and not in the list when it was last looked at. */
  #missing: readonly string[] = []
  #refreshDueMs = 0
  #made = 0
  #gaps = 0
  #reported = { atMs: 0, frames: 0, bytes: 0 }
  #rates = { framesPerSecond: 0, bytesPerSecond: 0 }
  #isBegun = false
  #wasAsleep = false

  constructor(deps: IngestionDeps, options: IngestionOptions) {
    this.#deps = deps
    this.#options = options
    this.#receiveClock = new ReceiveClock(deps.clock)
    const messages = deps.venue.limits.messagesPerSecond
    const perConnection = options.channels.length + 1
    this.#connectionDeps = {
      ...deps,
      receiveClock: this.#receiveClock,
      url: options.wsUrl,
      // No faster than their subscribes can be sent: a connection without one within five seconds is dropped.
      connects: new Budget(Math.min(deps.venue.limits.connectsPerSecond, messages / perConnection)),
      messages: new Budget(messages),
      nextConnection: () => ++this.#made,
      onEvent: (event) => this.#noted(event),
      queueBytesLow: options.queueBytesMax / 2,
    }
  }

  begin(products: readonly string[]): void {
    const { host, pid } = this.#deps
    const { channels, software, wsUrl } = this.#options
    this.#isBegun = true
    this.#write({ recorder_started: { software, url: wsUrl, host, pid, products, channels } })
    this.#place(products)
    this.#reported.atMs = this.#deps.clock.monotonicMs()
  }

  /** Ticks, reports, follows the clock and the product list, each at its own pace, until the signal. */
  async watch(signal: AbortSignal): Promise<void> {
    const { clock } = this.#deps
    const everies = [
      { everyMs: tickMs, run: () => this.#tick(), dueMs: 0 },
      { everyMs: reportMs, run: () => this.#report(), dueMs: 0 },
      { everyMs: anchorMs, run: () => this.#anchor(), dueMs: 0 },
    ]
    this.#refreshDueMs = clock.monotonicMs() + refreshMs
    let refreshing: Promise<void> = Promise.resolve()
    let lastMs = clock.monotonicMs()
    while (!signal.aborted) {
      const nowMs = clock.monotonicMs()
      this.#wasAsleep = nowMs - lastMs > asleepMs
      lastMs = nowMs
      for (const one of everies) {
        if (nowMs < one.dueMs) continue
        one.dueMs = nowMs + one.everyMs
        one.run()
      }
      if (nowMs >= this.#refreshDueMs) {
        this.#refreshDueMs = nowMs + refreshMs
        refreshing = this.#refresh(signal)
      }
      await clock.sleep(tickMs / 2, signal)
    }
    await refreshing
  }

  async end(reason: string): Promise<void> {
    await Promise.all([...this.#connections.values()].map((connection) => connection.stop()))
    if (!this.#isBegun) return
    this.#write({ recorder_stopped: { reason } })
    await this.#flushAtEnd()
    this.#report()
  }

  /** A disk that takes nothing must not keep the process from its end: closing the log says what was not taken. */
  async #flushAtEnd(): Promise<void> {
    const { clock, log } = this.#deps
    const late = new AbortController()
    const waited = clock.sleep(flushMsMax, late.signal).catch(() => undefined)
    await Promise.race([log.flush(), waited])
    late.abort()
  }

  progress(): IngestionProgress {
    const { log } = this.#deps
    const connections = [...this.#connections.values()]
    return {
      frames: connections.reduce((sum, one) => sum + one.frames, 0),
      ...this.#rates,
      nextN: log.nextN,
      durableN: log.durableN,
      durableLagMs: log.maxDurableLagMs,
      queuedBytes: log.queuedBytes,
      products: this.#products.length,
      connections: connections.length,
      connectionsUp: connections.filter((one) => one.isStreaming).length,
      gaps: this.#gaps,
      segmentsSealed: log.stats.segmentsSealed,
    }
  }

  /** After a sleep of our own, what waits in the sockets is read before anyone is called silent. */
  #tick(): void {
    if (this.#wasAsleep) return
    for (const connection of this.#connections.values()) connection.tick()
  }

  #report(): void {
    const { clock, log, report } = this.#deps
    const nowMs = clock.monotonicMs()
    const seconds = (nowMs - this.#reported.atMs) / 1000
    // The first report comes at once, the last right behind another: of so short a time there is no rate.
    if (seconds >= rateSecondsMin) {
      const { frames } = this.progress()
      const bytes = log.stats.bytesWritten + log.queuedBytes
      this.#rates = {
        framesPerSecond: (frames - this.#reported.frames) / seconds,
        bytesPerSecond: (bytes - this.#reported.bytes) / seconds,
      }
      this.#reported = { atMs: nowMs, frames, bytes }
    }
    report(this.progress())
    log.maxDurableLagMs = 0
  }

  #anchor(): void {
    const stepNs = this.#receiveClock.anchor()
    if (stepNs !== 0n) this.#write({ clock_step: { step_ns: String(stepNs) } })
  }

  /** A failed look keeps what there is: an empty list would end the recording. */
  async #refresh(signal: AbortSignal): Promise<void> {
    const { clock, fetchText, say, venue } = this.#deps
    const { products: wanted, restUrl } = this.#options
    try {
      const listed = await listProducts(venue, restUrl, fetchText, signal)
      const { added, removed, missing } = compareList(venue, wanted, this.#products, listed, this.#missing)
      this.#missing = missing
      if (missing.length > 0) this.#refreshDueMs = clock.monotonicMs() + refreshMissingMs
      if (added.length === 0 && removed.length === 0) return
      this.#write({ products_changed: { added, removed } })
      say('listings', productsWords(added, removed))
      this.#place([...this.#products.filter((one) => !removed.includes(one)), ...added])
    } catch (error) {
      if (!signal.aborted) say('products', `could not refresh the product list: ${(error as Error).message}`)
    }
  }

  #place(products: readonly string[]): void {
    const { venue } = this.#deps
    const { channels } = this.#options
    const hasBooks = channels.includes(venue.bookChannel)
    const limit = hasBooks ? venue.limits.bookProductsPerConnection : venue.limits.productsPerMessage
    this.#products = products
    this.#shards = planShards(venue, products, limit, this.#shards)
    for (const shard of this.#shards) {
      const connection = this.#connections.get(shard.index)
      if (connection === undefined) this.#open(shard)
      else connection.setProducts(shard.products)
    }
  }

  #open(shard: Shard): void {
    const { venue } = this.#deps
    const connection = new Connection(this.#connectionDeps, {
      products: shard.products,
      channels: [
        ...this.#options.channels.filter((one) => one !== venue.keepAliveChannel),
        venue.keepAliveChannel,
      ],
      keepAliveChannel: venue.keepAliveChannel,
      bookChannel: venue.bookChannel,
      labelOf: venue.labelOf,
    })
    this.#connections.set(shard.index, connection)
    connection.start()
  }

  #write(event: LogEvent): void {
    this.#deps.log.appendEvent(this.#receiveClock.now(), null, event)
    this.#noted(event)
  }

  #noted(event: LogEvent): void {
    if ('gap' in event && event.gap.cause !== 'stopped') this.#gaps++
    const said = spoken(event, this.#deps.makeToken !== null)
    if (said !== null) this.#deps.say(said.subject, said.words)
  }
}

interface Said {
  /** Words of one subject are said seldom when they come again and again. */
  readonly subject: string
  readonly words: string
}

/** What a person should know at once of what the log is told; null for the rest. */
function spoken(event: LogEvent, hasKey: boolean): Said | null {
  if ('gap' in event) {
    const { cause, after_seq, before_seq } = event.gap
    // Of a connection that was not had, the line of its end says why.
    if (cause === 'stopped' || cause === 'connect_failed') return null
    const until = before_seq === null ? '' : ` before ${before_seq}`
    return { subject: `gap ${cause}`, words: `gap: ${cause} after ${after_seq ?? 'the start'}${until}` }
  }
  if ('connection_closed' in event && event.connection_closed.cause === 'connect_failed') {
    const way = 'look at the network and coinbase.ws_url; mdv doctor tries both'
    const words = `no connection: ${event.connection_closed.reason}; trying again · ${way}`
    return { subject: 'no connection', words }
  }
  if (!('watchdog' in event)) return null
  const { what, detail } = event.watchdog
  const isKeyRefused = hasKey && what === 'refused' && detail.includes('authentication')
  const way = ' · correct coinbase.api_key and api_secret_file, or leave both out: public data needs none'
  return { subject: `watchdog ${what}`, words: `watchdog: ${what}: ${detail}${isKeyRefused ? way : ''}` }
}

/** `products: listed NEW-USD; traded no more ETH-USD`, the first few by name. */
function productsWords(added: readonly string[], removed: readonly string[]): string {
  const some = (products: readonly string[]): string =>
    products.slice(0, 5).join(', ') + (products.length > 5 ? ` and ${products.length - 5} more` : '')
  const parts = [
    ...(added.length === 0 ? [] : [`listed ${some(added)}`]),
    ...(removed.length === 0 ? [] : [`traded no more ${some(removed)}`]),
  ]
  return `products: ${parts.join('; ')}`
}
