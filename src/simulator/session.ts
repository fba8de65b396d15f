/** One connection: its subscriptions, its sequence numbers, its pending faults, and what it still owes the client. */

import type { Clock } from '../core/clock.ts'
import type { ConnectionLedger } from './account.ts'
import { distort, extraMessage, fits } from './distort.ts'
import { isContent, isDelivery, isExtra, type Fault, type FaultKind } from './faults.ts'
import { errorText, frameEnd, frameHead } from './frames.ts'
import type { Changes } from './market.ts'
import { opcodes, type FrameSink } from './wire.ts'

/** What one session is owed of one product. */
export class ProductLag {
  /** The next trade to send; 0: not subscribed. */
  nextTradeId = 0
  /** Prices that changed while the session could not take a frame. */
  #bids = new Set<number>()
  #offers = new Set<number>()

  keep(changes: Changes): void {
    for (const price of changes.bids) this.#bids.add(price)
    for (const price of changes.offers) this.#offers.add(price)
  }

  /** `changes` and all that was kept before, each price once. */
  join(changes: Changes): Changes {
    if (this.#bids.size + this.#offers.size === 0) return changes
    this.keep(changes)
    const bids = [...this.#bids].sort((a, b) => b - a)
    const offers = [...this.#offers].sort((a, b) => a - b)
    this.forgetBook()
    return { bids, offers }
  }

  forgetBook(): void {
    this.#bids.clear()
    this.#offers.clear()
  }
}

/** How a session ends: `close` with a code by a close frame, `reset` by a TCP reset. */
export interface Line {
  /** False once either side has said goodbye: what is written then, nobody takes. */
  isOpen(): boolean
  close(code: number): void
  reset(): void
  /** A TCP reset once the system has taken all that was written. */
  resetWhenSent(): void
  hangUp(): void
}

export interface SessionParts {
  readonly ledger: ConnectionLedger
  readonly sink: FrameSink
  readonly line: Line
  readonly clock: Clock
  /** The send time of the next frame, as text. */
  readonly stamp: () => string
  readonly bestOffer: (productId: string) => string
  /** The fault that chance has for the next frame; absent where no chance is at work. */
  readonly draw?: (() => Fault | null) | undefined
}

export class Session {
  openedMs: number
  /** By the name a client subscribes with. */
  readonly subscriptions = new Map<string, Set<string>>()
  readonly lags = new Map<string, ProductLag>()
  nextHeartbeatMs = 0
  /** Work in the order the client asked for it; each step makes at most one frame. */
  readonly work: Generator<void>[] = []
  readonly #parts: SessionParts
  readonly #faults: Fault[] = []
  #sequence = 0
  #silentUntilMs = 0
  #isEnded = false
  #framesSeen = 0
  #movedMs: number
  #held: { text: string; sequence: number } | null = null

  constructor(parts: SessionParts) {
    this.#parts = parts
    this.openedMs = parts.clock.monotonicMs()
    this.#movedMs = this.openedMs
  }

  get ledger(): ConnectionLedger {
    return this.#parts.ledger
  }

  get isEnded(): boolean {
    return this.#isEnded
  }

  /** False while the client reads too slowly, the session is silent by a fault, or it has ended. */
  canTake(nowMs: number): boolean {
    const { line, sink } = this.#parts
    return !this.#isEnded && nowMs >= this.#silentUntilMs && !sink.isFull && line.isOpen()
  }

  get isDrained(): boolean {
    return this.#isEnded || this.#parts.sink.isDrained
  }

  get bytesMade(): number {
    return this.#parts.sink.bytesMade
  }

  /** Milliseconds without a frame, as far as the calls of this function tell. */
  idleMs(nowMs: number): number {
    if (this.ledger.frames !== this.#framesSeen) this.#movedMs = nowMs
    this.#framesSeen = this.ledger.frames
    return nowMs - this.#movedMs
  }

  /** Time limits count from now. */
  restartTimes(): void {
    this.openedMs = this.#parts.clock.monotonicMs()
    this.#movedMs = this.openedMs
  }

  subscribed(channel: string): Set<string> {
    const known = this.subscriptions.get(channel)
    if (known !== undefined) return known
    const fresh = new Set<string>()
    this.subscriptions.set(channel, fresh)
    return fresh
  }

  lag(productId: string): ProductLag {
    const known = this.lags.get(productId)
    if (known !== undefined) return known
    const fresh = new ProductLag()
    this.lags.set(productId, fresh)
    return fresh
  }

  /** A numbered frame. Nothing, and no number used, once the session has ended. */
  emit(channel: string, events: string): void {
    const fault = this.#parts.draw?.()
    if (fault) this.strike(fault)
    if (this.#isEnded) return
    const sequence = this.#sequence++
    const head = frameHead(channel, this.#parts.stamp(), sequence)
    if (this.#faults.length > 0 || this.#held !== null)
      this.#emitFaulty(channel, head + events + frameEnd, sequence)
    else this.ledger.sent(sequence, this.#parts.sink.joined(head, events, frameEnd))
  }

  emitError(message: string): void {
    if (!this.#isEnded) this.#send(errorText(message), -1)
  }

  /** Sends a frame that a reorder holds back, in its place after all, and everything else made so far. */
  settle(): void {
    if (this.#held !== null && !this.#isEnded) this.#send(this.#held.text, this.#held.sequence)
    this.#held = null
    this.flush()
  }

  flush(): void {
    this.#parts.sink.flush()
  }

  /** Takes the first pending fault of the kind. */
  takeFault(kind: FaultKind): Fault | undefined {
    return this.#takeWhere((fault) => fault.kind === kind)
  }

  hasFault(kind: FaultKind): boolean {
    return this.#faults.some((fault) => fault.kind === kind)
  }

  strike(fault: Fault): void {
    if (this.#isEnded) return
    if (fault.kind === 'silence') this.#silentUntilMs = this.#parts.clock.monotonicMs() + (fault.ms ?? 10_000)
    else if (fault.kind === 'reset') this.end('reset', null)
    else if (fault.kind === 'close') this.end('close', fault.code ?? 1001)
    else if (fault.kind === 'slow_consumer') this.end('slow_consumer', 1008)
    else if (fault.kind === 'error_close') {
      this.emitError('internal error')
      this.end('error_close', fault.code ?? 1011)
    } else this.#faults.push(fault)
  }

  /** Sends the garbage and the extra frames that are pending. */
  strikeExtras(): void {
    if (this.#faults.length === 0) return
    const take = (): Fault | undefined => this.#takeWhere(({ kind }) => isExtra(kind))
    for (let fault = take(); fault !== undefined; fault = take()) {
      if (!isExtra(fault.kind) || this.#isEnded) continue
      const message = extraMessage(fault.kind, fault)
      if (message.numbered) this.emit(message.channel, message.events)
      else {
        const opcode = message.isBinary ? opcodes.binary : opcodes.text
        this.ledger.sent(-1, this.#parts.sink.message(opcode, message.payload, 1))
      }
    }
  }

  /** @param code null: a TCP reset; 1006: a FIN without a close frame; else the close frame's code */
  end(cause: string, code: number | null): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#parts.sink.flush()
    this.#forgetHeld()
    this.ledger.ending(cause, code)
    if (cause === 'half_frame') this.#parts.line.resetWhenSent()
    else if (code === null) this.#parts.line.reset()
    else if (code === 1006) this.#parts.line.hangUp()
    else this.#parts.line.close(code)
  }

  /** The socket is gone. */
  closed(): void {
    this.ledger.ending('client', null)
    this.ledger.closed(this.#parts.clock.nowMs())
    this.#isEnded = true
    this.#forgetHeld()
  }

  #forgetHeld(): void {
    if (this.#held !== null) this.ledger.skipped.push(this.#held.sequence)
    this.#held = null
  }

  #send(text: string, sequence: number): void {
    this.ledger.sent(sequence, this.#parts.sink.text(text))
  }

  #emitFaulty(channel: string, plain: string, sequence: number): void {
    const isHere = ({ product }: Fault): boolean => product === undefined || plain.includes(`"${product}"`)
    const content = this.#takeWhere(
      (fault) => isContent(fault.kind) && fits(fault.kind, channel) && isHere(fault),
    )
    const text =
      content !== undefined && isContent(content.kind)
        ? distort(content.kind, plain, this.#parts.bestOffer)
        : plain
    const isDue = (fault: Fault): boolean => isDelivery(fault.kind) && isHere(fault)
    const delivery = this.#held === null ? this.#takeWhere(isDue)?.kind : undefined
    if (delivery === 'drop') this.ledger.skipped.push(sequence)
    else if (delivery === 'reorder') this.#held = { text, sequence }
    else if (delivery === 'fragment')
      this.ledger.sent(sequence, this.#parts.sink.message(opcodes.text, Buffer.from(text, 'latin1'), 4))
    else if (delivery === 'half_frame') this.#breakOff(text, sequence)
    else this.#send(text, sequence)
    if (delivery === 'duplicate') {
      this.#send(text, sequence)
      this.ledger.duplicated.push(sequence)
    }
    if (delivery === undefined) this.#release()
  }

  #breakOff(text: string, sequence: number): void {
    this.ledger.skipped.push(sequence)
    this.#parts.sink.half(text)
    this.end('half_frame', null)
  }

  /** A reordered frame goes out behind its successor. */
  #release(): void {
    const held = this.#held
    if (held === null) return
    this.#held = null
    this.#send(held.text, held.sequence)
    this.ledger.reordered.push(held.sequence)
  }

  #takeWhere(isWanted: (fault: Fault) => boolean): Fault | undefined {
    const index = this.#faults.findIndex(isWanted)
    return index < 0 ? undefined : this.#faults.splice(index, 1)[0]
  }
}
