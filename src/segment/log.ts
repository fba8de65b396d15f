/**
 * The recorder's log as the thread that reads the sockets sees it: frames go in by one copy of their bytes, without waiting, and
 * gather in batches that a writer makes durable. Decides where segments end; keeps the account of what is not durable yet.
 */

import type { Clock, Timer } from '../core/clock.ts'
import { VaultError } from '../core/errors.ts'
import { utcHour } from '../core/time.ts'
import {
  BatchPool,
  binaryFrame,
  connectionsMax,
  isFull,
  recordFields,
  restText,
  textFrame,
  type Batch,
  type BatchBuffers,
} from './batch.ts'
import type { LogEvent } from './format.ts'
import { connectionBytes, digitsOf, eventRest, frameRestBytes, lineBytesOf, suffixBytes } from './line.ts'
import { noStats, type OpenWriter, type Writer, type WriterStats } from './writer.ts'

export interface SegmentLogOptions {
  readonly venue: string
  readonly url: string
  readonly software: string
  readonly recorder: string
  readonly segmentBytesMax: number
  /** null: by size and hour only. */
  readonly segmentAgeMsMax: number | null
  readonly flushEveryMs: number
  readonly flushBytes: number
  /** false: durable means written to the operating system; a power loss may take what it still held. */
  readonly fsync: boolean
  readonly queueBytesMax: number
}

export interface SegmentLogDeps {
  readonly clock: Clock
  readonly openWriter: OpenWriter
  /** Called after each group that became durable. */
  readonly onDurable?: (durableN: number) => void
  /** Called when the disk refuses; recording goes on in memory, up to the queue's limit, until it takes bytes again. */
  readonly onTrouble?: (error: VaultError) => void
}

/** A connection as the log knows it. Made by `openConnection`. */
export class LogConnection {
  readonly id: string
  readonly restBytes: Buffer
  /** What it carries: changes with the venue's list. */
  products: readonly string[]
  /** Greatest number received; -1: none. */
  lastSequence = -1
  lastRecvNs: bigint | null = null
  /** The batch it last put a frame in, and its place there. */
  batch: Batch | null = null
  place = 0

  constructor(id: string, products: readonly string[]) {
    this.id = id
    this.products = products
    this.restBytes = connectionBytes(id)
  }
}

/** Lines with the writer. */
interface Outstanding {
  readonly lastN: number
  readonly sizeBytes: number
  /** When the first of them was appended, monotonic milliseconds. */
  readonly sinceMs: number
}

/** Room that frames may not take, so that the log can always say why they were not taken. */
const eventReserveBytes = 1024 * 1024
const rotationCheckMs = 1000

export class SegmentLog {
  readonly recorder: string
  readonly #deps: SegmentLogDeps
  readonly #options: SegmentLogOptions
  readonly #writer: Writer
  readonly #pool: BatchPool
  readonly #connections = new Set<LogConnection>()
  readonly #outstanding: Outstanding[] = []
  #fill: Batch
  #fillSinceMs = 0
  #lastRecvNs = 0n
  /** Of the last line, as the batch keeps it and in decimal digits. */
  #offsetNs = 0
  #recvDigits = 1
  #nDigits = 1
  /** The first counter with one digit more. */
  #nDigitsUntil = 10
  #stats: WriterStats = noStats
  /** How many queued bytes frames may fill; nothing more is taken once the log closes. */
  #framesUntil: number
  #queuedBytes = 0
  #nextN = 1
  #durableN = 0
  #segmentBytes = 0
  #segmentOpenedMs: number | null = null
  /** Lines of the segment that say nothing new: a segment of only these is not ended. */
  #isFresh = true
  #flushTimer: Timer | null = null
  #rotationTimer: Timer | null = null
  #durableWaiters: { readonly n: number; readonly resolve: () => void }[] = []
  /** Age of the oldest line that was not durable yet, milliseconds, at its worst since it was last set to 0. */
  maxDurableLagMs = 0

  constructor(deps: SegmentLogDeps, options: SegmentLogOptions) {
    this.#deps = deps
    this.#options = options
    this.recorder = options.recorder
    this.#framesUntil = options.queueBytesMax - eventReserveBytes
    this.#pool = new BatchPool(options.flushBytes)
    this.#fill = this.#pool.take(0)
    this.#writer = deps.openWriter(options, {
      onDurable: (batches, stats) => this.#nowDurable(batches, stats),
      onStats: (stats) => (this.#stats = stats),
      onTrouble: (error) => deps.onTrouble?.(error),
    })
    this.#watchRotation()
  }

  /** The counter the next line will carry. */
  get nextN(): number {
    return this.#nextN
  }

  /** Every line up to this counter survives what happens next. */
  get durableN(): number {
    return this.#durableN
  }

  /** Bytes of lines that are not durable yet. */
  get queuedBytes(): number {
    return this.#queuedBytes
  }

  /** As the writer last told. */
  get stats(): Readonly<WriterStats> {
    return this.#stats
  }

  /** @param products what it is to carry: for the words on where it stopped, should the recorder die */
  openConnection(id: string, products: readonly string[] = []): LogConnection {
    const connection = new LogConnection(id, products)
    this.#connections.add(connection)
    return connection
  }

  /** No more frames will come on it. */
  closeConnection(connection: LogConnection): void {
    this.#connections.delete(connection)
  }

  /**
   * Takes a frame as it came. Never waits.
   *
   * @param sequence the venue's number, -1 when the frame has none
   * @returns false: the queue is full and nothing was taken; the caller hangs up and records a gap
   */
  appendFrame(
    connection: LogConnection,
    recvNs: bigint,
    frame: Buffer,
    isBinary: boolean,
    sequence: number,
  ): boolean {
    const restBytes = frameRestBytes(connection.restBytes, frame.length)
    const sizeBytes = this.#lineBytes(recvNs, restBytes)
    if (this.#queuedBytes + sizeBytes > this.#framesUntil) return false
    connection.lastRecvNs = recvNs
    if (sequence > connection.lastSequence) connection.lastSequence = sequence
    const fill = this.#roomFor(sizeBytes, recvNs)
    fill.bytes.set(frame, fill.used + sizeBytes - suffixBytes - frame.length)
    const kind = isBinary ? binaryFrame : textFrame
    this.#appended(kind * connectionsMax + placeOf(connection, fill), frame.length, sequence, sizeBytes)
    return true
  }

  /** Takes what the recorder says itself; always. */
  appendEvent(recvNs: bigint, connection: LogConnection | null, event: LogEvent): void {
    const rest = Buffer.from(eventRest(connection?.id ?? null, event))
    const sizeBytes = this.#lineBytes(recvNs, rest.length)
    const fill = this.#roomFor(sizeBytes, recvNs)
    fill.bytes.set(rest, fill.used + sizeBytes - suffixBytes - rest.length)
    this.#appended(restText * connectionsMax, rest.length, -1, sizeBytes)
  }

  /** Resolves when all that was appended before is durable. */
  flush(): Promise<void> {
    const n = this.#nextN - 1
    if (this.#durableN >= n) return Promise.resolve()
    this.#closeBatch(false)
    return new Promise((resolve) => this.#durableWaiters.push({ n, resolve }))
  }

  /** Ends the segment if it is old enough or the UTC hour has changed. Called every second by the log itself. */
  rotateIfDue(): void {
    const openedMs = this.#segmentOpenedMs
    if (openedMs === null) return
    const nowMs = this.#deps.clock.nowMs()
    const age = this.#options.segmentAgeMsMax
    const isOld = age !== null && nowMs - openedMs >= age
    if (isOld || utcHour(nowMs) !== utcHour(openedMs)) this.rotate()
  }

  /** Ends the segment, unless it says nothing new. */
  rotate(): void {
    if (this.#segmentOpenedMs !== null && !this.#isFresh) this.#goOn(this.#nowNs())
  }

  /**
   * Makes everything durable, seals and publishes the segment.
   *
   * @throws {VaultError} `unavailable` when the disk does not take the rest within `withinMs`; what is durable is recovered at the next start
   */
  async close(withinMs = 10_000): Promise<void> {
    this.#rotationTimer?.cancel()
    this.#endSegment(false)
    this.#framesUntil = 0
    const closing = this.#writer.close()
    let timer: Timer | null = null
    const late = new Promise<'late'>((resolve) => {
      timer = this.#deps.clock.after(withinMs, () => resolve('late'))
    })
    const outcome = await Promise.race([closing, late])
    cancel(timer)
    if (outcome !== 'late') return
    this.#writer.stop()
    await closing
    const lost = this.#nextN - 1 - this.#durableN
    throw new VaultError(
      'unavailable',
      `the disk did not take the last ${lost} lines within ${withinMs} ms`,
      {
        remedy: 'look at the disk; what is durable is recovered at the next start',
      },
    )
  }

  /** Exact, so that the frame can be put where it will stand. */
  #lineBytes(recvNs: bigint, restBytes: number): number {
    if (recvNs !== this.#lastRecvNs) this.#setTime(recvNs)
    return lineBytesOf(this.#nDigits, this.#recvDigits, restBytes)
  }

  /** Seldom: frames of one read of a socket share their time. */
  #setTime(recvNs: bigint): void {
    this.#lastRecvNs = recvNs
    this.#recvDigits = recvNs >= 1_000_000_000_000_000_000n ? 19 : String(recvNs).length
    this.#offsetNs = Number(recvNs - this.#fill.baseNs)
  }

  /** The batch to put the next line in. */
  #roomFor(sizeBytes: number, recvNs: bigint): Batch {
    // A clock that steps by months: the difference would not be exact.
    const isFar = !Number.isSafeInteger(this.#offsetNs) && this.#fill.lines > 0
    if (isFar || isFull(this.#fill, sizeBytes)) this.#closeBatch(false)
    if (sizeBytes > this.#fill.bytes.length) {
      this.#pool.giveBack(this.#fill)
      this.#fill = this.#pool.take(sizeBytes)
    }
    if (this.#fill.lines === 0) this.#beginBatch(recvNs)
    return this.#fill
  }

  #beginBatch(recvNs: bigint): void {
    this.#fill.firstN = this.#nextN
    this.#fill.baseNs = recvNs
    this.#offsetNs = 0
    this.#fillSinceMs = this.#deps.clock.monotonicMs()
    this.#segmentOpenedMs ??= this.#deps.clock.nowMs()
    this.#flushTimer ??= this.#deps.clock.after(this.#options.flushEveryMs, () => this.#flushDue())
  }

  #appended(kindAndPlace: number, restSizeBytes: number, sequence: number, sizeBytes: number): void {
    const fill = this.#fill
    const at = fill.lines++ * recordFields
    fill.records[at] = kindAndPlace
    fill.records[at + 1] = restSizeBytes
    fill.records[at + 2] = this.#offsetNs
    fill.records[at + 3] = sequence
    fill.used += sizeBytes
    if (++this.#nextN === this.#nDigitsUntil) this.#moreDigits()
    this.#isFresh = false
    this.#queuedBytes += sizeBytes
    this.#segmentBytes += sizeBytes
    if (this.#segmentBytes >= this.#options.segmentBytesMax) this.#goOn(this.#lastRecvNs)
  }

  #moreDigits(): void {
    this.#nDigits = digitsOf(this.#nextN)
    this.#nDigitsUntil *= 10
  }

  #flushDue(): void {
    this.#flushTimer = null
    this.#closeBatch(false)
  }

  /** The segment ends with what has been appended so far; nothing happens to one without lines. */
  #endSegment(isFollowed: boolean): void {
    if (this.#segmentOpenedMs === null) return
    this.#fill.isFollowed = isFollowed
    this.#closeBatch(true)
    this.#segmentBytes = 0
    this.#segmentOpenedMs = null
  }

  /** Ends the segment and begins the next one with where each connection stands, so that it explains itself alone. */
  #goOn(recvNs: bigint): void {
    const isFollowed = this.#connections.size > 0
    this.#endSegment(isFollowed)
    if (!isFollowed) return
    const connections = [...this.#connections].map((one) => ({
      conn: one.id,
      last_seq: one.lastSequence < 0 ? null : one.lastSequence,
      last_recv_ns: one.lastRecvNs === null ? null : String(one.lastRecvNs),
      products: one.products,
    }))
    this.appendEvent(recvNs, null, { continued: { connections } })
    this.#isFresh = true
  }

  /** An event's time when no frame brings one: never before the last line's. */
  #nowNs(): bigint {
    const nowNs = this.#deps.clock.nowNs()
    return this.#lastRecvNs > nowNs ? this.#lastRecvNs : nowNs
  }

  #closeBatch(endsSegment: boolean): void {
    const fill = this.#fill
    if (fill.lines === 0 && !endsSegment) return
    this.#flushTimer?.cancel()
    this.#flushTimer = null
    fill.endsSegment = endsSegment
    const sinceMs = fill.lines === 0 ? this.#deps.clock.monotonicMs() : this.#fillSinceMs
    this.#outstanding.push({ lastN: this.#nextN - 1, sizeBytes: fill.used, sinceMs })
    this.#fill = this.#pool.take(0)
    this.#writer.write(fill)
  }

  #nowDurable(batches: readonly BatchBuffers[], stats: WriterStats): void {
    this.#stats = stats
    const done = this.#outstanding.splice(0, batches.length)
    for (const batch of batches) this.#pool.giveBack(batch)
    for (const { sizeBytes } of done) this.#queuedBytes -= sizeBytes
    this.#durableN = done.at(-1)!.lastN
    this.maxDurableLagMs = Math.max(this.maxDurableLagMs, this.#deps.clock.monotonicMs() - done[0]!.sinceMs)
    this.#durableWaiters = this.#durableWaiters.filter(({ n, resolve }) => {
      if (n <= this.#durableN) resolve()
      return n > this.#durableN
    })
    this.#deps.onDurable?.(this.#durableN)
  }

  #watchRotation(): void {
    this.#rotationTimer = this.#deps.clock.after(rotationCheckMs, () => {
      this.rotateIfDue()
      this.#watchRotation()
    })
  }
}

/** Its index among the connections of the batch. */
function placeOf(connection: LogConnection, batch: Batch): number {
  if (connection.batch !== batch) {
    connection.batch = batch
    connection.place = batch.connections.push(connection.id) - 1
  }
  return connection.place
}

function cancel(timer: Timer | null): void {
  timer?.cancel()
}
