/** The heartbeat of the simulation: every few milliseconds it moves markets, does clients' requests, strikes faults, and flushes. */

import type { Clock, Random, Timer } from '../core/clock.ts'
import { forkRandom } from '../core/random.ts'
import { Exchange, type Listing } from './exchange.ts'
import { heartbeatEvent } from './frames.ts'
import type { Session } from './session.ts'

export interface FeedOptions {
  /** Target over all products and channels, each counted once however many sessions get it. */
  readonly framesPerSecond: number
  /** False: at most one level2 frame per product in 50 ms and one trades frame in 250 ms, as the venue does. */
  readonly unconflated: boolean
  readonly seed: number
}

/** A product's level2 frames are a grid of five slots of ten milliseconds apart. */
const slotMs = 10
const slotsPerRound = 5
const roundsPerTradeFlush = 5
const unconflatedTickMs = 10

/** Above this rate the unconflated feed repeats each book frame: the market itself moves no faster. */
const movesPerSecondMax = 50_000

/** At most this much lost time is made up for after a pause of the process. */
const catchUpMsMax = 100

const subscribeWithinMs = 5_000
const idleCloseMs = 75_000
const heartbeatMs = 1_000
/** Heartbeats leave at this part of each second of the backend's uptime, so that their counter is its whole seconds, each once. */
const heartbeatPhaseMs = 270
const tickerBatchMs = 5_000
const candleMs = 1_000

/** What one session may be given of snapshots in one tick, before updates of other products get their turn. */
const snapshotBytesPerTick = 1024 * 1024

export class Feed {
  readonly #exchange: Exchange
  readonly #clock: Clock
  readonly #options: FeedOptions
  readonly #random: Random
  /** The backend had been up for a while when the simulation started. */
  readonly #uptimeAtStart: number
  readonly #startMs: number
  #timer: Timer | null = null
  #isPaused = false
  #ticks = 0
  #lastMs: number
  /** Frames that may be made now. */
  #budget = 0
  #slot = 0
  #next = 0
  #active: Listing[] = []
  #activeVersion = -1
  #tickerBatchDueMs: number
  #candlesDueMs: number

  constructor(exchange: Exchange, clock: Clock, options: FeedOptions) {
    this.#exchange = exchange
    this.#clock = clock
    this.#options = options
    this.#random = forkRandom(options.seed, 'feed')
    this.#uptimeAtStart = 100_000 + Math.trunc(this.#random() * 100_000)
    this.#startMs = clock.monotonicMs()
    this.#lastMs = this.#startMs
    this.#tickerBatchDueMs = this.#startMs + tickerBatchMs
    this.#candlesDueMs = this.#startMs + candleMs
  }

  start(onTick: (nowMs: number, elapsedMs: number) => void): void {
    const tickMs = this.#options.unconflated ? unconflatedTickMs : slotMs
    const nowMs = this.#clock.monotonicMs()
    const elapsedMs = nowMs - this.#lastMs
    this.#lastMs = nowMs
    onTick(nowMs, elapsedMs)
    if (!this.#isPaused) this.#tick(nowMs, elapsedMs)
    this.#ticks++
    const dueMs = this.#startMs + this.#ticks * tickMs
    const delayMs = dueMs - this.#clock.monotonicMs()
    // Far behind: the grid starts anew rather than ticking without a breath.
    if (delayMs < -catchUpMsMax) this.#ticks = Math.ceil((this.#clock.monotonicMs() - this.#startMs) / tickMs)
    this.#timer = this.#clock.after(Math.max(0, delayMs), () => this.start(onTick))
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = null
  }

  get isPaused(): boolean {
    return this.#isPaused
  }

  pause(): void {
    this.#isPaused = true
    for (const session of this.#exchange.sessions) session.settle()
  }

  resume(): void {
    this.#isPaused = false
    this.#budget = 0
    // The time of the pause is nobody's fault.
    for (const session of this.#exchange.sessions) session.restartTimes()
  }

  #tick(nowMs: number, elapsedMs: number): void {
    const exchange = this.#exchange
    exchange.setTime()
    const rate = this.#options.framesPerSecond
    this.#budget = Math.min(this.#budget + (rate * elapsedMs) / 1000, (rate * catchUpMsMax) / 1000 + 1)
    for (const session of exchange.sessions) this.#serve(session, nowMs)
    this.#refreshActive()
    if (this.#options.unconflated) this.#advanceFreely(nowMs)
    else this.#advanceSlots(nowMs)
    this.#publishSlow(nowMs)
    for (const session of exchange.sessions) session.flush()
  }

  #serve(session: Session, nowMs: number): void {
    if (session.isEnded) return
    const idleMs = session.idleMs(nowMs)
    const hasAsked = session.ledger.frames > 0 || session.work.length > 0
    if (!hasAsked && nowMs - session.openedMs > subscribeWithinMs) return session.end('no_subscribe', 1000)
    if (hasAsked && idleMs > idleCloseMs) return session.end('idle', 1000)
    if (!session.canTake(nowMs)) return
    session.strikeExtras()
    this.#work(session, nowMs)
    if (session.subscriptions.get('heartbeats')?.size) this.#beat(session, nowMs)
  }

  #work(session: Session, nowMs: number): void {
    const until = session.bytesMade + snapshotBytesPerTick
    while (session.bytesMade < until && session.canTake(nowMs)) {
      const [first] = session.work
      if (first === undefined) return
      if (first.next().done === true) session.work.shift()
    }
  }

  #beat(session: Session, nowMs: number): void {
    const upMs = nowMs - this.#startMs
    const isFirst = session.nextHeartbeatMs === 0
    if (!isFirst && upMs < session.nextHeartbeatMs) return
    session.nextHeartbeatMs =
      (Math.floor((upMs - heartbeatPhaseMs) / heartbeatMs) + 1) * heartbeatMs + heartbeatPhaseMs
    if (!isFirst)
      session.emit('heartbeats', heartbeatEvent(this.#exchange.now, this.#uptimeAtStart + upMs / 1000))
  }

  /** Products somebody listens to. */
  #refreshActive(): void {
    if (this.#activeVersion === this.#exchange.version) return
    this.#activeVersion = this.#exchange.version
    this.#active = this.#exchange.listings.filter(
      (each) =>
        each.book.size +
          each.trades.size +
          each.ticker.size +
          each.tickerBatch.size +
          each.candleSessions.size >
        0,
    )
  }

  /** As many small steps as the rate demands, product after product. */
  #advanceFreely(nowMs: number): void {
    if (!this.#canAnyTake(nowMs)) this.#budget = 0
    const copies = Math.max(1, Math.ceil(this.#options.framesPerSecond / movesPerSecondMax))
    while (this.#budget >= 1 && this.#active.length > 0) {
      this.#next = (this.#next + 1) % this.#active.length
      const listing = this.#active[this.#next]
      if (listing === undefined) return
      const isQuiet = listing.book.size === 0
      listing.market.step(1 + Math.trunc(this.#random() * 3))
      if (isQuiet || this.#random() < 0.15) this.#exchange.trade(listing)
      const made = this.#publish(listing, nowMs, copies)
      // A product without frame-making listeners still uses up its turn: the loop must end.
      this.#budget -= Math.max(made, 0.1)
    }
  }

  #advanceSlots(nowMs: number): void {
    const slotNow = Math.trunc((nowMs - this.#startMs) / slotMs)
    this.#slot = Math.max(this.#slot, slotNow - slotsPerRound + 1)
    for (; this.#slot <= slotNow; this.#slot++) {
      const phase = this.#slot % slotsPerRound
      const isTradeRound = Math.trunc(this.#slot / slotsPerRound) % roundsPerTradeFlush === 0
      // Whoever comes first gets the budget: start somewhere else each time.
      const offset = Math.trunc(this.#random() * this.#active.length)
      for (let i = 0; i < this.#active.length; i++) {
        const index = (i + offset) % this.#active.length
        const listing = this.#active[index]
        if (listing !== undefined && index % slotsPerRound === phase)
          this.#stepInSlot(listing, isTradeRound, nowMs)
      }
    }
  }

  #stepInSlot(listing: Listing, isTradeRound: boolean, nowMs: number): void {
    if (this.#budget < 1) return
    const draw = this.#random()
    listing.market.step(1 + Math.trunc(draw * draw * 14))
    if (this.#random() < 0.25) this.#exchange.trade(listing)
    this.#budget -= isTradeRound
      ? this.#publish(listing, nowMs, 1)
      : this.#exchange.publishBook(listing, nowMs, 1)
  }

  #publish(listing: Listing, nowMs: number, bookCopies: number): number {
    const exchange = this.#exchange
    return (
      exchange.publishBook(listing, nowMs, bookCopies) +
      exchange.publishTrades(listing, nowMs) +
      exchange.publishTicker(listing, nowMs)
    )
  }

  #publishSlow(nowMs: number): void {
    this.#exchange.publishStatus(nowMs)
    if (nowMs >= this.#tickerBatchDueMs) {
      this.#tickerBatchDueMs = nowMs + tickerBatchMs
      for (const listing of this.#active) this.#exchange.publishTickerBatch(listing, nowMs)
    }
    if (nowMs < this.#candlesDueMs) return
    this.#candlesDueMs = nowMs + candleMs
    for (const listing of this.#active) this.#exchange.publishCandles(listing, nowMs)
  }

  #canAnyTake(nowMs: number): boolean {
    for (const session of this.#exchange.sessions) if (session.canTake(nowMs)) return true
    return false
  }
}
