/** Performs one connection: its socket, the frames into the log, the state machine's actions. Decides nothing itself. */

import { unreachable } from '../core/assert.ts'
import type { Clock, Random, Timer } from '../core/clock.ts'
import { connectionId } from '../core/ids.ts'
import type { LogEvent } from '../segment/format.ts'
import type { LogConnection, SegmentLog } from '../segment/log.ts'
import type { FrameScan, Venue } from '../venue/venue.ts'
import type { Budget } from './budget.ts'
import {
  step,
  type Action,
  type ConnectionEvent,
  type ConnectionSettings,
  type ConnectionState,
} from './connection-state.ts'
import type { ReceiveClock } from './receive-clock.ts'
import type { Dial, FeedSocket } from './socket.ts'

/** What all connections of a recorder share. */
export interface ConnectionDeps {
  readonly clock: Clock
  readonly random: Random
  readonly receiveClock: ReceiveClock
  readonly log: SegmentLog
  readonly venue: Venue
  readonly url: string
  readonly dial: Dial
  readonly connects: Budget
  readonly messages: Budget
  /** A token for one subscribe; null for public access. */
  readonly makeToken: (() => Promise<string>) | null
  /** Numbers connections, from 1. */
  readonly nextConnection: () => number
  /** Told of everything the recorder writes about itself, after it is written. */
  readonly onEvent: (event: LogEvent, connection: string) => void
  /** The queue below which a connection that overflowed it may come back, bytes. */
  readonly queueBytesLow: number
}

type Request = Extract<Action, { kind: 'subscribe' | 'unsubscribe' }>

const queueLookMs = 250

export class Connection {
  readonly #deps: ConnectionDeps
  #settings: ConnectionSettings
  #state: ConnectionState = { kind: 'waiting', attempt: 0 }
  #socket: FeedSocket | null = null
  #logged: LogConnection | null = null
  #recvNs = 0n
  /** Monotonic milliseconds of the last frame. */
  #lastFrameMs = 0
  #frames = 0
  #framesBefore = 0
  #expected = -1
  #lastRecvNs: bigint | null = null
  /** The queue refused a frame: what still arrives on this socket is not taken, so that the gap has one beginning. */
  #isDeaf = false
  #missing: number[] = []
  readonly #scan: FrameScan = { sequence: -1, kind: 'data' }
  readonly #timers = new Set<Timer>()
  #whenStopped: (() => void) | null = null

  constructor(deps: ConnectionDeps, settings: ConnectionSettings) {
    this.#deps = deps
    this.#settings = settings
  }

  get isStreaming(): boolean {
    return this.#state.kind === 'streaming'
  }

  /** Taken so far, on this socket and those before it. */
  get frames(): number {
    return this.#framesBefore + this.#frames
  }

  /** Connects when the venue's budget allows. */
  start(): void {
    this.#after(this.#deps.connects.take(this.#deps.clock.monotonicMs()), () => this.#happen({ kind: 'due' }))
  }

  /** Subscribes products that were listed since and unsubscribes those that are gone; without any it only stays alive. */
  setProducts(products: readonly string[]): void {
    const before = this.#settings.products
    const added = products.filter((one) => !before.includes(one))
    const removed = before.filter((one) => !products.includes(one))
    this.#settings = { ...this.#settings, products }
    if (this.#logged !== null) this.#logged.products = products
    if (added.length > 0) this.#happen({ kind: 'added', products: added })
    // After the subscribes: the ack of an unsubscribe would be taken for that of a subscribe behind it.
    if (removed.length > 0) this.#happen({ kind: 'removed', products: removed })
  }

  tick(): void {
    this.#happen({ kind: 'tick', lastFrameMs: this.#lastFrameMs })
  }

  /** Hangs up for good; resolves when the socket is gone and its end is in the log. */
  async stop(): Promise<void> {
    for (const timer of this.#timers) timer.cancel()
    this.#timers.clear()
    const closed =
      this.#socket === null
        ? Promise.resolve()
        : new Promise<void>((resolve) => (this.#whenStopped = resolve))
    this.#happen({ kind: 'stop' })
    await closed
  }

  #happen(event: ConnectionEvent): void {
    const [state, actions] = step(
      this.#state,
      event,
      this.#deps.clock.monotonicMs(),
      this.#settings,
      this.#deps.random,
    )
    this.#state = state
    for (const action of actions) this.#perform(action)
  }

  #perform(action: Action): void {
    switch (action.kind) {
      case 'connect':
        return this.#connect()
      case 'subscribe':
        return this.#requestLater(action, action.afterMs)
      case 'unsubscribe':
        return this.#requestLater(action, 0)
      case 'log':
        return this.#write(action.event)
      case 'hang_up':
        return this.#socket?.terminate()
      case 'retry':
        return this.#retry(action.afterMs, action.whenQueueIsLow)
      default:
        return unreachable(action)
    }
  }

  #connect(): void {
    const { dial, log, nextConnection, url } = this.#deps
    this.#logged = log.openConnection(connectionId(log.recorder, nextConnection()), this.#settings.products)
    this.#framesBefore += this.#frames
    this.#frames = 0
    this.#expected = -1
    this.#lastRecvNs = null
    this.#isDeaf = false
    this.#missing = []
    this.#recvNs = this.#deps.receiveClock.now()
    this.#socket = dial(url, {
      opened: (localPort) => this.#opened(localPort),
      // One stamp a read of the socket: its frames arrived together.
      read: () => this.#stamp(),
      frame: (frame, isBinary) => this.#receive(frame, isBinary),
      closed: (code, detail) => this.#closed(code, detail),
    })
  }

  #stamp(): void {
    this.#recvNs = this.#deps.receiveClock.now()
    this.#lastFrameMs = this.#deps.clock.monotonicMs()
  }

  #opened(local_port: number): void {
    const { products, channels } = this.#settings
    this.#write({ connection_opened: { url: this.#deps.url, local_port, products, channels } })
    this.#happen({ kind: 'opened' })
  }

  /** The hot path: 0.2 µs to scan, the rest is the log's. */
  #receive(frame: Buffer, isBinary: boolean): void {
    if (this.#isDeaf) return
    const scan = this.#scan
    this.#deps.venue.scan(frame, scan)
    if (!this.#deps.log.appendFrame(this.#logged!, this.#recvNs, frame, isBinary, scan.sequence)) {
      this.#isDeaf = true
      this.#happen({ kind: 'refused_by_queue' })
      return
    }
    this.#frames++
    if (scan.sequence === this.#expected) this.#expected++
    else if (scan.sequence >= 0) this.#unexpected(scan.sequence)
    this.#lastRecvNs = this.#recvNs
    if (scan.kind !== 'data') this.#steer(frame, scan.kind)
  }

  #unexpected(sequence: number): void {
    const expected = this.#expected < 0 ? 0 : this.#expected
    if (sequence < expected) {
      // Numbers of a gap that came late after all are told from frames that came twice.
      const isDuplicate = !this.#missing.includes(sequence)
      if (!isDuplicate) this.#missing = this.#missing.filter((one) => one !== sequence)
      this.#happen({ kind: 'disordered', expected, got: sequence, isDuplicate })
      return
    }
    this.#expected = sequence + 1
    if (sequence === expected) return
    for (let missing = expected; missing < sequence && this.#missing.length < 10_000; missing++)
      this.#missing.push(missing)
    this.#happen({
      kind: 'jumped',
      afterSequence: expected - 1,
      beforeSequence: sequence,
      fromNs: String(this.#lastRecvNs ?? this.#recvNs),
      untilNs: String(this.#recvNs),
    })
  }

  #steer(frame: Buffer, kind: FrameScan['kind']): void {
    if (kind === 'book' && (this.#state.kind !== 'streaming' || this.#state.unsnapped.length === 0)) return
    const notice = this.#deps.venue.notice(frame, kind)
    if (notice !== null) this.#happen({ kind: 'notice', notice })
  }

  #closed(code: number, detail: string): void {
    const position = {
      frames: this.#frames,
      lastSequence: this.#expected < 0 ? null : this.#expected - 1,
      lastRecvNs: this.#lastRecvNs === null ? null : String(this.#lastRecvNs),
    }
    this.#socket = null
    this.#happen({
      kind: 'closed',
      code,
      reason: detail === '' ? `code ${code}` : detail,
      position,
      untilNs: String(this.#deps.receiveClock.now()),
    })
    this.#deps.log.closeConnection(this.#logged!)
    this.#whenStopped?.()
  }

  #requestLater(request: Request, afterMs: number): void {
    const socket = this.#socket
    // The budget is taken when it is time, not now: a place far ahead would keep all others waiting behind it.
    const send = (): void =>
      this.#after(this.#deps.messages.take(this.#deps.clock.monotonicMs()), () => {
        if (socket === this.#socket) void this.#request(socket, request)
      })
    if (afterMs === 0) return send()
    this.#after(afterMs, () => {
      if (socket === this.#socket) send()
    })
  }

  async #request(socket: FeedSocket | null, { kind, channel, products: asked }: Request): Promise<void> {
    const { makeToken, venue } = this.#deps
    const token = makeToken === null ? null : await makeToken()
    if (socket?.isOpen !== true) return
    // The list may have changed since it was decided, and a request that names no product is for all.
    const isWanted = (product: string): boolean => this.#settings.products.includes(product)
    const products = asked.filter((one) => isWanted(one) === (kind === 'subscribe'))
    if (products.length === 0 && asked.length > 0) return
    if (kind === 'unsubscribe') return socket.send(venue.unsubscribeFrame(channel, products, token))
    socket.send(venue.subscribeFrame(channel, products, token))
    this.#write({ subscribe_sent: { channel, products, authenticated: token !== null } })
    this.#happen({ kind: 'sent', channel, products })
  }

  #retry(afterMs: number, whenQueueIsLow: boolean): void {
    this.#after(afterMs, () => {
      if (whenQueueIsLow && this.#deps.log.queuedBytes > this.#deps.queueBytesLow)
        this.#retry(queueLookMs, true)
      else this.start()
    })
  }

  #write(event: LogEvent): void {
    this.#deps.log.appendEvent(this.#deps.receiveClock.now(), this.#logged, event)
    this.#deps.onEvent(event, this.#logged?.id ?? '')
  }

  #after(delayMs: number, callback: () => void): void {
    const timer: Timer = this.#deps.clock.after(delayMs, () => {
      this.#timers.delete(timer)
      callback()
    })
    this.#timers.add(timer)
  }
}
