/** The venue without its network: markets, sessions, faults on demand, and the account of what was sent to whom. */

import type { Clock, Random } from '../core/clock.ts'
import { VaultError } from '../core/errors.ts'
import { forkRandom } from '../core/random.ts'
import { ConnectionLedger, type Account } from './account.ts'
import { Exchange } from './exchange.ts'
import { closeCodes, usualKinds, type Fault, type FaultChance, type FaultKind } from './faults.ts'
import { Feed } from './feed.ts'
import { makeProduct, makeProducts, type Product } from './products.ts'
import { acceptMessage, MessageLimit } from './requests.ts'
import { Session, type Line } from './session.ts'
import { FrameSink, unsentBytesMax, type ByteSink } from './wire.ts'

export interface BackendOptions {
  /** How many of the venue's products, or their ids. */
  readonly products: number | readonly string[]
  /** Target over all subscribed products and channels, each counted once however many connections get it. */
  readonly framesPerSecond: number
  /** Without it the venue's 50 ms conflation caps the rate at some 20 frames a second and product. */
  readonly unconflated?: boolean
  readonly seed: number
  /** Levels a side; `realistic` gives BTC-USD a snapshot of 5 MB. */
  readonly bookDepth?: 'realistic' | number
  /** Kinds that strike at random; none by default. */
  readonly faults?: 'all' | readonly FaultKind[]
  /** Random faults a second; 0.2 by default. */
  readonly faultRate?: number
  /** Kinds that strike each frame of each connection with a chance of their own. */
  readonly faultChances?: readonly FaultChance[]
  /** More messages than this in a second, over all connections, are answered with an error; no limit by default. */
  readonly messagesPerSecondMax?: number
  /** Frames of a connection whose number and checksum the account keeps, 8 bytes each; 10 million by default. */
  readonly accountFramesMax?: number
  /** Above this many unsent bytes a client gets nothing new until it has read; 64 MiB by default. */
  readonly unsentBytesMax?: number
}

/** Longest wait for clients to read what was sent before a pause is answered, in milliseconds. */
const drainMsMax = 30_000
const accountFramesMax = 10_000_000

/** One client's socket as the venue sees it. */
export interface Caller {
  readonly port: number
  /** Takes WebSocket frames as bytes. */
  readonly bytes: ByteSink
  readonly line: Line
}

/** What the network tells of a client it has let in. */
export interface Accepted {
  message(text: string): void
  /** The socket is gone. */
  closed(): void
}

export class Backend {
  readonly #clock: Clock
  readonly #options: BackendOptions
  readonly #random: Random
  readonly #exchange: Exchange
  readonly #feed: Feed
  readonly #ledgers: ConnectionLedger[] = []
  readonly #sessions = new Map<number, Session>()
  /** Faults for the next connection. */
  readonly #waiting: Fault[] = []
  readonly #messages: MessageLimit
  #refuseUntilMs = 0
  #refuseStatus = 503

  constructor(options: BackendOptions, clock: Clock) {
    this.#clock = clock
    this.#options = options
    this.#random = forkRandom(options.seed, 'faults')
    this.#messages = new MessageLimit(options.messagesPerSecondMax ?? Number.POSITIVE_INFINITY)
    const depth = options.bookDepth ?? 'realistic'
    const products =
      typeof options.products === 'number'
        ? makeProducts(options.products, options.seed, depth)
        : options.products.map((id) => makeProduct(id, options.seed, depth))
    this.#exchange = new Exchange(products, clock, options.seed, depth)
    this.#feed = new Feed(this.#exchange, clock, {
      framesPerSecond: options.framesPerSecond,
      unconflated: options.unconflated === true,
      seed: options.seed,
    })
    this.#feed.start((_nowMs, elapsedMs) => this.#strikeAtRandom(elapsedMs))
  }

  get products(): readonly Product[] {
    return this.#exchange.products
  }

  /** Traded no more. */
  get delisted(): readonly Product[] {
    return this.#exchange.delisted
  }

  /** The HTTP status with which a connect is refused now; null: it is let in. */
  get refusal(): number | null {
    return this.#clock.monotonicMs() < this.#refuseUntilMs ? this.#refuseStatus : null
  }

  /** Lets a client in. */
  accept({ port, bytes, line }: Caller): Accepted {
    const kept = this.#options.accountFramesMax ?? accountFramesMax
    const ledger = new ConnectionLedger(this.#ledgers.length + 1, port, this.#clock.nowMs(), kept)
    const exchange = this.#exchange
    const session = new Session({
      ledger,
      sink: new FrameSink(bytes, this.#options.unsentBytesMax ?? unsentBytesMax),
      line,
      clock: this.#clock,
      stamp: () => exchange.stamp(),
      bestOffer: (productId) => exchange.bestOffer(productId),
      draw: this.#drawFor(ledger.id),
    })
    this.#ledgers.push(ledger)
    this.#sessions.set(ledger.id, session)
    exchange.sessions.add(session)
    for (const fault of this.#waiting.splice(0)) session.strike(fault)
    return {
      message: (text) => {
        const isWithinLimit = this.#messages.take(this.#clock.monotonicMs())
        acceptMessage(exchange, session, text, isWithinLimit)
      },
      closed: () => {
        session.closed()
        this.#sessions.delete(ledger.id)
        exchange.remove(session)
      },
    }
  }

  account(): Account {
    const connections = this.#ledgers.map((ledger) => ledger.account())
    return { connections, frames: connections.reduce((sum, each) => sum + each.frames, 0) }
  }

  /** For a line of progress: cheaper than the whole account. */
  totals(): { open: number; frames: number } {
    return {
      open: this.#sessions.size,
      frames: this.#ledgers.reduce((sum, ledger) => sum + ledger.frames, 0),
    }
  }

  /** Every frame written to a connection, in the order of the wire; sequence -1 for one without a number. */
  framesOf(connectionId: number): { sequence: number; crc: number }[] {
    const ledger = this.ledgerOf(connectionId)
    if (ledger === undefined) return []
    const crcs = ledger.crcs()
    return Array.from(ledger.sequences(), (sequence, i) => ({ sequence, crc: crcs[i] ?? 0 }))
  }

  /**
   * Strikes the given connection, else the oldest open one, else the next one to come.
   * @returns the connection struck now, or null
   */
  inject(fault: FaultKind | Fault, connectionId?: number): number | null {
    const full = typeof fault === 'string' ? { kind: fault } : fault
    if (full.kind === 'refuse_connects') {
      this.#refuseUntilMs = this.#clock.monotonicMs() + (full.ms ?? 3_000)
      this.#refuseStatus = full.code ?? 503
      return null
    }
    const id = connectionId ?? this.#sessions.keys().next().value
    const session = id === undefined ? undefined : this.#sessions.get(id)
    if (session === undefined && connectionId !== undefined)
      throw new VaultError('invalid', `connection ${connectionId}: not open`)
    if (session === undefined) this.#waiting.push(full)
    else session.strike(full)
    return session === undefined ? null : session.ledger.id
  }

  /** Stops all data, heartbeats too; resolves when clients' sockets have taken everything sent before, or after 30 s. */
  async pause(): Promise<void> {
    this.#feed.pause()
    const untilMs = this.#clock.monotonicMs() + drainMsMax
    const isDrained = (): boolean => [...this.#sessions.values()].every((session) => session.isDrained)
    while (!isDrained() && this.#clock.monotonicMs() < untilMs)
      await new Promise<void>((resolve) => this.#clock.after(5, resolve))
  }

  resume(): void {
    this.#feed.resume()
  }

  /** False: it is listed already. */
  listProduct(id: string): boolean {
    return this.#exchange.list(id)
  }

  /** False: it is not listed. */
  delistProduct(id: string): boolean {
    return this.#exchange.delist(id)
  }

  /** Undefined: no such connection. */
  ledgerOf(connection: number): ConnectionLedger | undefined {
    return this.#ledgers[connection - 1]
  }

  /** No more data, and everyone is hung up on. */
  shutDown(): void {
    this.#feed.stop()
    for (const session of this.#sessions.values()) session.end('shutdown', 1006)
  }

  /** Each connection draws for itself, so that its faults do not depend on the others'. */
  #drawFor(connection: number): (() => Fault | null) | undefined {
    const chances = this.#options.faultChances ?? []
    if (chances.length === 0) return undefined
    const random = forkRandom(this.#options.seed, `chances ${connection}`)
    return () => {
      let left = random()
      const hit = chances.find(({ chance }) => (left -= chance) < 0)
      if (hit?.kind !== 'refuse_connects') return hit ?? null
      this.inject(hit.kind)
      return null
    }
  }

  #strikeAtRandom(elapsedMs: number): void {
    const { faults, faultRate = 0.2 } = this.#options
    if (faults === undefined || this.#feed.isPaused) return
    if (this.#random() >= (faultRate * elapsedMs) / 1000) return
    const kinds = faults === 'all' ? usualKinds : faults
    const ids = [...this.#sessions.keys()]
    const kind = kinds[Math.trunc(this.#random() * kinds.length)]
    const id = ids[Math.trunc(this.#random() * ids.length)]
    const code = closeCodes[Math.trunc(this.#random() * closeCodes.length)]
    if (kind === undefined || id === undefined) return
    if ((kind === 'close' || kind === 'error_close') && code !== undefined) this.inject({ kind, code }, id)
    else if (kind === 'refuse_connects') this.inject({ kind, code: this.#random() < 0.5 ? 503 : 429 })
    else this.inject(kind, id)
  }
}
