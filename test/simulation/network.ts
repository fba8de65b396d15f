/**
 * The network between recorders and the venue. Bytes of one connection arrive in order, after a while, in reads that need not end where
 * frames do. It may stall, be cut without a word, refuse or reset; a machine without power says goodbye to nobody.
 */

import { VaultError } from '../../src/core/errors.ts'
import type { Random } from '../../src/core/clock.ts'
import type { FetchText } from '../../src/ingestion/products.ts'
import type { Dial, FeedSocket, FeedSocketEvents } from '../../src/ingestion/socket.ts'
import type { Accepted, Backend } from '../../src/simulator/backend.ts'
import { productsAnswer, productsPath } from '../../src/simulator/rest.ts'
import type { Line } from '../../src/simulator/session.ts'
import type { ByteSink } from '../../src/simulator/wire.ts'
import { FrameReader } from './frames.ts'
import type { Program } from './program.ts'
import type { Timeline } from './timeline.ts'

const handshakeMs = 15_000
const restMs = 15_000
/** A side that gets no answer gives a connection up after this. */
const giveUpMs = 120_000
const backAfterPowerLossMs = 10_000

export class Network {
  readonly timeline: Timeline
  readonly random: Random
  readonly backend: Backend
  /** Nothing passes, either way, and nobody is told. */
  cutUntilMs = 0
  /** What recorders say does not arrive; what the venue says does. */
  deafUntilMs = 0
  refusesUntilMs = 0
  readonly calls = new Set<Call>()
  /** Every connection there was, by port. */
  readonly heard = new Map<number, Call>()
  #ports = 1_000
  readonly counts = { connects: 0, refused: 0, handshakesLost: 0, resets: 0, halfOpen: 0 }

  constructor(timeline: Timeline, random: Random, backend: Backend) {
    this.timeline = timeline
    this.random = random
    this.backend = backend
  }

  dialOf(program: Program): Dial {
    return (_url, events) => new Call(this, program, events, ++this.#ports)
  }

  fetchOf(program: Program): FetchText {
    return async (url) => {
      if (!url.includes(productsPath)) throw new VaultError('unavailable', `GET ${url}: HTTP 404`)
      const isLost = this.timeline.nowMs < this.cutUntilMs
      await program.io('GET products', isLost ? restMs : this.delayMs(), () => Promise.resolve())
      if (isLost) throw new VaultError('unavailable', `GET ${url}: timed out`)
      return productsAnswer(this.backend, new URL(url).searchParams)
    }
  }

  delayMs(): number {
    return 4 + this.random() * 40
  }

  /** Every open connection is reset, as by a router that starts anew. */
  resetAll(): void {
    for (const call of this.calls) call.reset()
  }
}

type Parcel =
  | { readonly kind: 'bytes'; readonly bytes: Buffer }
  | { readonly kind: 'end'; readonly code: number; readonly detail: string }

/** One connection, both of its ends. */
export class Call implements FeedSocket {
  readonly port: number
  /** Frames handed to the recorder. */
  frames = 0
  readonly #network: Network
  readonly #program: Program
  readonly #events: FeedSocketEvents
  readonly #reader = new FrameReader()
  /** From the venue, in order. */
  #parcels: { readonly parcel: Parcel; readonly dueMs: number }[] = []
  #lastDueMs = 0
  #isPumping = false
  #unreadBytes = 0
  #accepted: Accepted | null = null
  /** The venue's end: `closing` when it has said goodbye. */
  #server: 'none' | 'open' | 'closing' | 'closed' = 'none'
  #client: 'connecting' | 'open' | 'closed' = 'connecting'

  constructor(network: Network, program: Program, events: FeedSocketEvents, port: number) {
    this.#network = network
    this.#program = program
    this.#events = events
    this.port = port
    network.calls.add(this)
    network.heard.set(port, this)
    program.whenDead((death) => this.#programDied(death))
    this.#at(network.delayMs(), () => this.#arriveAtVenue())
    program.later(handshakeMs, () => this.#handshakeLost())
  }

  get isOpen(): boolean {
    return this.#client === 'open'
  }

  send(text: string): void {
    this.#toVenue(() => this.#accepted?.message(text))
  }

  terminate(): void {
    if (this.#client === 'closed') return
    this.#toVenue(() => this.#closeServer())
    this.#closeClient(1006, '')
  }

  reset(): void {
    if (this.#client === 'closed' && this.#server !== 'open') return
    this.#network.counts.resets++
    this.#closeServer()
    this.#loseTail()
    this.#send({ kind: 'end', code: 1006, detail: 'read ECONNRESET' })
  }

  #at(delayMs: number, act: () => void): void {
    this.#network.timeline.at(delayMs, act)
  }

  get #isCut(): boolean {
    return this.#network.timeline.nowMs < this.#network.cutUntilMs
  }

  #arriveAtVenue(): void {
    const { backend, counts, timeline } = this.#network
    if (this.#client !== 'connecting') return
    // The SYN is sent again and again.
    if (this.#isCut)
      return this.#at(this.#network.cutUntilMs - timeline.nowMs + 100, () => this.#arriveAtVenue())
    counts.connects++
    if (timeline.nowMs < this.#network.refusesUntilMs) {
      counts.refused++
      return this.#send({ kind: 'end', code: 1006, detail: 'connect ECONNREFUSED' })
    }
    const status = backend.refusal
    if (status !== null) {
      counts.refused++
      return this.#send({ kind: 'end', code: 1006, detail: `Unexpected server response: ${status}` })
    }
    this.#server = 'open'
    this.#send({ kind: 'bytes', bytes: Buffer.alloc(0) })
    this.#accepted = backend.accept({ port: this.port, bytes: this.#sink(), line: this.#line() })
  }

  #sink(): ByteSink {
    const isOpen = (): boolean => this.#server === 'open'
    const isClosed = (): boolean => this.#server === 'closed'
    const unreadBytes = (): number => this.#unreadBytes
    return {
      get writableLength(): number {
        return unreadBytes()
      },
      get destroyed(): boolean {
        return isClosed()
      },
      get writable(): boolean {
        return isOpen()
      },
      write: (bytes) => this.#write(bytes),
    }
  }

  /** Now and then as two packets. */
  #write(bytes: Buffer): void {
    const { random } = this.#network
    const cut = random() < 0.1 ? Math.floor(random() * bytes.length) : bytes.length
    this.#send({ kind: 'bytes', bytes: bytes.subarray(0, cut) })
    if (cut < bytes.length) this.#send({ kind: 'bytes', bytes: bytes.subarray(cut) })
  }

  #line(): Line {
    return {
      isOpen: () => this.#server === 'open',
      close: (code: number) => this.#sayGoodbye(code),
      reset: () => this.reset(),
      resetWhenSent: () => {
        this.#send({ kind: 'end', code: 1006, detail: 'read ECONNRESET' })
        this.#closeServer()
      },
      hangUp: () => this.#sayGoodbye(1006),
    }
  }

  /** The client answers; one that does not is given up. */
  #sayGoodbye(code: number): void {
    if (this.#server !== 'open') return
    this.#server = 'closing'
    this.#send({ kind: 'end', code, detail: '' })
    this.#at(30_000, () => this.#closeServer())
  }

  /** In the middle of an event of the session itself: what follows from the end comes after it. */
  #closeServer(): void {
    if (this.#server === 'closed' || this.#server === 'none') return
    this.#server = 'closed'
    this.#at(0, () => {
      this.#accepted?.closed()
      this.#network.calls.delete(this)
    })
  }

  /** A reset takes some of what was on its way. */
  #loseTail(): void {
    const kept = Math.floor(this.#network.random() * (this.#parcels.length + 1))
    this.#parcels.length = kept
  }

  #toVenue(act: () => void): void {
    const { timeline, cutUntilMs, deafUntilMs } = this.#network
    const heldMs = Math.max(cutUntilMs, deafUntilMs) - timeline.nowMs
    // What is held longer than either side has patience is lost.
    if (heldMs > giveUpMs) return
    this.#at(Math.max(heldMs, 0) + this.#network.delayMs(), act)
  }

  #send(parcel: Parcel): void {
    const { timeline } = this.#network
    if (parcel.kind === 'bytes') this.#unreadBytes += parcel.bytes.length
    this.#lastDueMs = Math.max(this.#lastDueMs, timeline.nowMs + this.#network.delayMs())
    this.#parcels.push({ parcel, dueMs: this.#lastDueMs })
    this.#pump()
  }

  #pump(): void {
    const [first] = this.#parcels
    if (this.#isPumping || first === undefined) return
    this.#isPumping = true
    const { timeline } = this.#network
    this.#at(first.dueMs - timeline.nowMs, () => {
      if (this.#isCut) return this.#holdUp(this.#network.cutUntilMs)
      this.#program.later(0, () => this.#deliver())
      if (!this.#program.isAlive) this.#answerReset()
    })
  }

  #holdUp(untilMs: number): void {
    const heldMs = untilMs - this.#network.timeline.nowMs
    if (heldMs > giveUpMs) this.#closeServer()
    this.#at(heldMs + this.#network.delayMs(), () => {
      this.#isPumping = false
      this.#pump()
    })
  }

  /** All that is due is one read. */
  #deliver(): void {
    this.#isPumping = false
    if (this.#client === 'closed') return this.#answerReset()
    const { timeline } = this.#network
    const due = this.#parcels.findIndex(({ dueMs }) => dueMs > timeline.nowMs)
    const now = this.#parcels.splice(0, due < 0 ? this.#parcels.length : due)
    for (const { parcel } of now) this.#take(parcel)
    this.#pump()
  }

  #take(parcel: Parcel): void {
    if (parcel.kind === 'end') {
      this.#closeClient(parcel.code, parcel.detail)
      return this.#toVenue(() => this.#closeServer())
    }
    this.#unreadBytes -= parcel.bytes.length
    if (this.#client === 'connecting') {
      this.#client = 'open'
      this.#network.timeline.trace(`${this.#program.name} connected ${this.port}`)
      this.#events.opened(this.port)
    }
    if (parcel.bytes.length === 0 || this.#client !== 'open') return
    this.#events.read()
    for (const { payload, isBinary } of this.#reader.push(parcel.bytes)) {
      // Hung up on by what was in the frame before.
      if (!this.isOpen) return
      this.frames++
      this.#events.frame(payload, isBinary)
    }
    this.#network.timeline.trace(
      `${this.#program.name} ${this.port} read ${parcel.bytes.length}, ${this.frames} frames`,
    )
  }

  #answerReset(): void {
    this.#parcels = []
    this.#unreadBytes = 0
    this.#toVenue(() => this.#closeServer())
  }

  #closeClient(code: number, detail: string): void {
    if (this.#client === 'closed') return
    this.#client = 'closed'
    if (this.#server === 'none') this.#network.calls.delete(this)
    this.#program.later(0, () => this.#events.closed(code, detail))
  }

  #handshakeLost(): void {
    if (this.#client !== 'connecting') return
    this.#network.counts.handshakesLost++
    this.#toVenue(() => this.#closeServer())
    this.#closeClient(1006, 'Opening handshake has timed out')
  }

  /** The system closes the sockets of a process that dies; without power it cannot, and tells of them when it is back. */
  #programDied(death: 'killed' | 'power'): void {
    if (this.#client === 'closed') return
    this.#client = 'closed'
    if (death === 'killed') return this.#toVenue(() => this.#closeServer())
    this.#network.counts.halfOpen++
    this.#at(backAfterPowerLossMs, () => this.#closeServer())
  }
}
