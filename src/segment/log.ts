/**
 * The recorder's log: frames go in by bytes without waiting, come to disk in groups, and are sealed into segments.
 *
 * Invariant: a line is kept in memory until an fdatasync has covered it in a file whose name is synced too; `durableN` moves only
 * then. A file whose write or fsync failed is never trusted past what was durable before: the lines it did not cover are written
 * again, under the same counters, to a new segment, whose header (first n) tells recovery where the failed file must be cut.
 */

import { dirname } from 'node:path'
import type { Clock, Timer } from '../core/clock.ts'
import { messageOf, systemCode, VaultError } from '../core/errors.ts'
import { utcHour } from '../core/time.ts'
import { activeSegmentKey, segmentLabel } from '../storage/keys.ts'
import { syncNames, type Disk } from '../storage/disk.ts'
import type { LocalObjectStore } from '../storage/object-store.ts'
import { ActiveFile } from './active-file.ts'
import { ChunkPool, type Chunk } from './chunk.ts'
import { ConnectionCounter } from './connection-stats.ts'
import type { LogEvent, VerbatimReason } from './format.ts'
import {
  connectionBytes,
  eventRest,
  lineBytesMax,
  LineEncoder,
  verbatimReason,
  verbatimRest,
} from './line.ts'
import { freeCounter, publishSegment } from './publish.ts'
import { sealDurablePart, type Leftover } from './leftover.ts'

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
  readonly store: LocalObjectStore
  readonly disk: Disk
  readonly clock: Clock
  /** Called after each group that became durable. */
  readonly onDurable?: (durableN: number) => void
  /** Called when the disk refuses; recording goes on in memory, up to the queue's limit, until it takes bytes again. */
  readonly onTrouble?: (error: VaultError) => void
}

/** A connection as the log knows it: its name in bytes, and its counts. Made by `openConnection`. */
export class LogConnection {
  readonly id: string
  readonly bytes: Buffer
  readonly counter: ConnectionCounter
  readonly products: readonly string[]
  /** Greatest number received; -1: none. */
  lastSequence = -1
  lastRecvNs: bigint | null = null

  constructor(id: string, products: readonly string[]) {
    this.id = id
    this.products = products
    this.bytes = connectionBytes(id)
    this.counter = new ConnectionCounter(id)
  }
}

export interface SegmentLogStats {
  segmentsSealed: number
  linesWritten: number
  bytesWritten: number
  fsyncs: number
  lastFsyncMs: number
  maxFsyncMs: number
  activeSizeBytes: number
  activeLabel: string | null
  /** Age of the oldest line that is not durable yet, milliseconds, at its worst since the last reading. */
  maxDurableLagMs: number
}

/** Room that frames may not take, so that the log can always say why they were not taken. */
const eventReserveBytes = 1024 * 1024
/** Buffers hold so many flushes. */
const chunkFlushes = 4
const retryAfterMs = 1000
const retrySuspectsMs = 10_000
const rotationCheckMs = 1000

export class SegmentLog {
  readonly recorder: string
  readonly stats: SegmentLogStats = {
    segmentsSealed: 0,
    linesWritten: 0,
    bytesWritten: 0,
    fsyncs: 0,
    lastFsyncMs: 0,
    maxFsyncMs: 0,
    activeSizeBytes: 0,
    activeLabel: null,
    maxDurableLagMs: 0,
  }
  readonly #deps: SegmentLogDeps
  readonly #options: SegmentLogOptions
  readonly #encoder = new LineEncoder(1)
  readonly #pool: ChunkPool
  /** Open ones, and closed ones until their last frames are counted in a chunk. */
  readonly #connections = new Set<LogConnection>()
  #fill: Chunk
  /** How many queued bytes frames may fill; nothing more is taken once the log closes. */
  #framesUntil: number
  /** Closed chunks, oldest first, none of them durable. */
  #waiting: Chunk[] = []
  #queuedBytes = 0
  #nextN = 1
  #durableN = 0
  #segmentBytes = 0
  #segmentOpenedMs: number | null = null
  /** Lines of the segment that say nothing new: a segment of only these is not ended. */
  #isFresh = true
  #active: ActiveFile | null = null
  /** Ended files that stay unsealed until the next one has durable lines: a recorder's last file is always there for recovery to close. */
  #ended: ActiveFile[] = []
  /** Files that no longer grow and are not published yet, oldest first. */
  #suspects: Leftover[] = []
  /** Sealing and publishing go on beside the writing of newer lines. */
  #sealing: Promise<void> | null = null
  #suspectsNotBeforeMs = 0
  #prev: string | null = null
  #folderIsNamed = false
  #closing = false
  #wake: (() => void) | null = null
  #flushTimer: Timer | null = null
  #rotationTimer: Timer | null = null
  #durableWaiters: { readonly n: number; readonly resolve: () => void }[] = []
  readonly #stop = new AbortController()
  readonly #loop: Promise<void>

  constructor(deps: SegmentLogDeps, options: SegmentLogOptions) {
    this.#deps = deps
    this.#options = options
    this.recorder = options.recorder
    this.#framesUntil = options.queueBytesMax - eventReserveBytes
    this.#pool = new ChunkPool(options.flushBytes * chunkFlushes)
    this.#fill = this.#pool.take(0)
    this.#watchRotation()
    this.#loop = this.#run()
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

  /** Files that failed, or could not be published, and wait for another attempt. */
  get suspects(): number {
    return this.#suspects.length
  }

  /** @param products what it is to carry: for the words on where it stopped, should the recorder die */
  openConnection(id: string, products: readonly string[] = []): LogConnection {
    const connection = new LogConnection(id, products)
    this.#connections.add(connection)
    return connection
  }

  /** No more frames will come on it. */
  closeConnection(connection: LogConnection): void {
    this.#closeChunk(false)
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
    const sizeMax = lineBytesMax(connection.bytes, frame.length)
    if (this.#queuedBytes + sizeMax > this.#framesUntil) return false
    connection.lastRecvNs = recvNs
    if (sequence > connection.lastSequence) connection.lastSequence = sequence
    const reason = verbatimReason(frame, isBinary)
    if (reason !== null) return this.#appendVerbatim(connection, recvNs, frame, reason, sequence)
    this.#makeRoom(sizeMax)
    // Not before: making room may close a chunk, which takes the counts of its own lines with it.
    connection.counter.add(sequence)
    const fill = this.#fill
    const until = this.#encoder.frame(fill.bytes, fill.used, recvNs, connection.bytes, frame)
    this.#appended(recvNs, until - fill.used)
    return true
  }

  /** Takes what the recorder says itself; always. */
  appendEvent(recvNs: bigint, connection: LogConnection | null, event: LogEvent): void {
    this.#appendOther(recvNs, eventRest(connection?.id ?? null, event), null)
  }

  /** Resolves when all that was appended before is durable. */
  flush(): Promise<void> {
    const n = this.#nextN - 1
    if (this.#durableN >= n) return Promise.resolve()
    this.#closeChunk(false)
    return new Promise((resolve) => this.#durableWaiters.push({ n, resolve }))
  }

  /** Ends the segment if it is old enough or the UTC hour has changed. Called every second by the log itself. */
  rotateIfDue(): void {
    const openedMs = this.#segmentOpenedMs
    if (openedMs === null || this.#isFresh) return
    const nowMs = this.#deps.clock.nowMs()
    const age = this.#options.segmentAgeMsMax
    const isOld = age !== null && nowMs - openedMs >= age
    if (isOld || utcHour(nowMs) !== utcHour(openedMs)) this.#goOn(recvNsOf(this.#fill, this.#deps.clock))
  }

  /**
   * Makes everything durable, seals and publishes the segment.
   *
   * @throws {VaultError} `unavailable` when the disk does not take the rest within `withinMs`; what is durable is recovered at the next start
   */
  async close(withinMs = 10_000): Promise<void> {
    this.#rotationTimer?.cancel()
    this.#endSegment()
    this.#closing = true
    this.#framesUntil = 0
    this.#wake?.()
    let timer: Timer | null = null
    const late = new Promise<'late'>((resolve) => {
      timer = this.#deps.clock.after(withinMs, () => resolve('late'))
    })
    const outcome = await Promise.race([this.#loop, late])
    cancel(timer)
    if (outcome !== 'late') return
    this.#stop.abort()
    await this.#loop
    const lost = this.#nextN - 1 - this.#durableN
    throw new VaultError(
      'unavailable',
      `the disk under ${this.#deps.store.location} did not take the last ${lost} lines within ${withinMs} ms`,
      {
        remedy: 'look at the disk; what is durable is recovered at the next start',
      },
    )
  }

  #appendVerbatim(
    connection: LogConnection,
    recvNs: bigint,
    frame: Buffer,
    reason: VerbatimReason,
    sequence: number,
  ): boolean {
    const rest = verbatimRest(connection.id, frame, reason)
    const sizeMax = lineBytesMax(connection.bytes, Buffer.byteLength(rest))
    if (this.#queuedBytes + sizeMax > this.#framesUntil) return false
    this.#appendOther(recvNs, rest, { counter: connection.counter, sequence })
    return true
  }

  #appendOther(
    recvNs: bigint,
    rest: string,
    counted: { readonly counter: ConnectionCounter; readonly sequence: number } | null,
  ): void {
    const line = this.#encoder.other(recvNs, rest)
    this.#makeRoom(line.length)
    counted?.counter.add(counted.sequence)
    this.#fill.bytes.set(line, this.#fill.used)
    this.#appended(recvNs, line.length)
  }

  #makeRoom(sizeBytes: number): void {
    if (this.#fill.used + sizeBytes <= this.#fill.bytes.length) return
    this.#closeChunk(false)
    if (sizeBytes <= this.#fill.bytes.length) return
    this.#pool.giveBack(this.#fill)
    this.#fill = this.#pool.take(sizeBytes)
  }

  #appended(recvNs: bigint, sizeBytes: number): void {
    const fill = this.#fill
    if (fill.lines === 0) this.#firstLine(fill, recvNs)
    fill.used += sizeBytes
    fill.lines++
    fill.lastN = this.#nextN++
    fill.lastRecvNs = recvNs
    this.#isFresh = false
    this.#queuedBytes += sizeBytes
    this.#segmentBytes += sizeBytes
    if (this.#segmentBytes >= this.#options.segmentBytesMax) this.#goOn(recvNs)
    // While the disk is busy lines gather in one buffer: a write is a turn of the event loop, whatever its size.
    else if (fill.used >= this.#options.flushBytes && this.#wake !== null) this.#closeChunk(false)
  }

  #firstLine(fill: Chunk, recvNs: bigint): void {
    fill.firstN = this.#nextN
    fill.firstRecvNs = recvNs
    fill.sinceMs = this.#deps.clock.monotonicMs()
    this.#segmentOpenedMs ??= this.#deps.clock.nowMs()
    this.#flushTimer ??= this.#deps.clock.after(this.#options.flushEveryMs, () => this.#flushDue())
  }

  #flushDue(): void {
    this.#flushTimer = null
    this.#closeChunk(false)
  }

  /** The segment ends with what has been appended so far; nothing happens to one without lines. */
  #endSegment(): void {
    if (this.#segmentOpenedMs === null) return
    this.#closeChunk(true)
    this.#segmentBytes = 0
    this.#segmentOpenedMs = null
  }

  /** Ends the segment and begins the next one with where each connection stands, so that it explains itself alone. */
  #goOn(recvNs: bigint): void {
    this.#endSegment()
    if (this.#connections.size === 0) return
    const connections = [...this.#connections].map((one) => ({
      conn: one.id,
      last_seq: one.lastSequence < 0 ? null : one.lastSequence,
      last_recv_ns: one.lastRecvNs === null ? null : String(one.lastRecvNs),
      products: one.products,
    }))
    this.appendEvent(recvNs, null, { continued: { connections } })
    this.#isFresh = true
  }

  #closeChunk(endsSegment: boolean): void {
    const fill = this.#fill
    if (fill.lines === 0 && !endsSegment) return
    this.#flushTimer?.cancel()
    this.#flushTimer = null
    fill.connections = [...this.#connections].map((one) => one.counter.take()).filter((one) => one !== null)
    fill.endsSegment = endsSegment
    this.#waiting.push(fill)
    this.#fill = this.#pool.take(0)
    this.#wake?.()
  }

  #watchRotation(): void {
    this.#rotationTimer = this.#deps.clock.after(rotationCheckMs, () => {
      this.rotateIfDue()
      this.#watchRotation()
    })
  }

  /** Writes what waits, until told to stop and nothing waits. Disk trouble is reported and tried again, never skipped. */
  async #run(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      try {
        await this.#commitWaiting()
      } catch (error) {
        await this.#survive(error)
        continue
      }
      if (this.#suspects.length > 0)
        this.#sealing ??= this.#sealSuspects().finally(() => (this.#sealing = null))
      if (this.#fill.used >= this.#options.flushBytes) this.#closeChunk(false)
      if (this.#waiting.length > 0) continue
      if (this.#closing) return await this.#finish()
      await new Promise<void>((resolve) => (this.#wake = resolve))
      this.#wake = null
    }
  }

  async #commitWaiting(): Promise<void> {
    while (this.#waiting.length > 0) {
      // Chunks that arrive meanwhile wait for the next group; a segment's end closes the group.
      const end = this.#waiting.findIndex((chunk) => chunk.endsSegment)
      const group = this.#waiting.slice(0, end < 0 ? undefined : end + 1)
      if (this.#active === null && group.every((chunk) => chunk.lines === 0)) {
        // The end of a segment whose file failed after its last line was durable: there is nothing left to end.
        this.#waiting = this.#waiting.slice(group.length)
        continue
      }
      this.#active ??= await this.#openActive(group[0]!)
      await this.#active.write(group)
      await this.#sync(this.#active)
      this.#nowDurable(group)
      this.#sealEnded()
      if (end < 0) continue
      // Before it is counted as ended: a file that cannot be read back is given up like one that cannot be written.
      this.#prev = (await this.#active.durableSeal()).sha256
      this.#ended.push(this.#active)
      this.#active = null
      this.stats.activeSizeBytes = 0
      this.stats.activeLabel = null
    }
    if (this.#connections.size === 0) this.#sealEnded()
  }

  async #openActive(first: Chunk): Promise<ActiveFile> {
    const { clock, disk, store } = this.#deps
    const { venue, url, software, recorder } = this.#options
    const hour = utcHour(clock.nowMs())
    const header = {
      format: 1,
      venue,
      url,
      software,
      recorder,
      n: first.firstN,
      prev: this.#prev,
      opened_ns: String(clock.nowNs()),
    } as const
    await this.#makeFolder()
    for (let counter = await freeCounter(store, venue, hour, this.#stop.signal); ; counter++) {
      const label = segmentLabel(hour, counter)
      const path = store.pathOf(activeSegmentKey(venue, label))
      try {
        return await ActiveFile.create(disk, path, label, header)
      } catch (error) {
        if (systemCode(error) !== 'EEXIST') throw error
      }
    }
  }

  /** Lines are durable in a file whose name is, in a folder whose name is. */
  async #makeFolder(): Promise<void> {
    const { disk, store } = this.#deps
    const folder = dirname(store.pathOf(activeSegmentKey(this.#options.venue, 'x')))
    await disk.makeFolder(folder)
    if (!this.#folderIsNamed) await syncNames(disk, folder, store.location)
    this.#folderIsNamed = true
  }

  async #sync(active: ActiveFile): Promise<void> {
    const startMs = this.#deps.clock.monotonicMs()
    if (this.#options.fsync) await active.sync()
    else active.trustUnsynced()
    const tookMs = this.#deps.clock.monotonicMs() - startMs
    this.stats.fsyncs++
    this.stats.lastFsyncMs = tookMs
    this.stats.maxFsyncMs = Math.max(this.stats.maxFsyncMs, tookMs)
  }

  #nowDurable(group: readonly Chunk[]): void {
    this.#waiting = this.#waiting.slice(group.length)
    const nowMs = this.#deps.clock.monotonicMs()
    let oldestMs = nowMs
    for (const chunk of group) {
      this.#queuedBytes -= chunk.used
      if (chunk.lines > 0) oldestMs = Math.min(oldestMs, chunk.sinceMs)
      this.stats.linesWritten += chunk.lines
      this.stats.bytesWritten += chunk.used
      if (chunk.lines > 0) this.#durableN = chunk.lastN
      this.#pool.giveBack(chunk)
    }
    this.stats.maxDurableLagMs = Math.max(this.stats.maxDurableLagMs, nowMs - oldestMs)
    this.stats.activeSizeBytes = this.#active?.sizeBytes ?? 0
    this.stats.activeLabel = this.#active?.label ?? null
    this.#durableWaiters = this.#durableWaiters.filter(({ n, resolve }) => {
      if (n <= this.#durableN) resolve()
      return n > this.#durableN
    })
    this.#deps.onDurable?.(this.#durableN)
  }

  /**
   * Seals and publishes files whose successor has durable lines, or none will come. Crash before: recovery finds both, and the later
   * one tells that the earlier one is whole. Crash after the seal: recovery publishes the file as it is.
   */
  #sealEnded(): void {
    this.#suspects.push(...this.#ended.splice(0).map((file): Leftover => ({ file, state: 'whole' })))
    this.#sealSoon()
  }

  #sealSoon(): void {
    if (this.#suspects.length === 0) return
    this.#sealing ??= this.#sealSuspects().finally(() => (this.#sealing = null))
  }

  /** The last of them, once nothing waits to be written. */
  async #finish(): Promise<void> {
    await this.#sealing
    // Once more for what failed: then it is left to recovery.
    for (let attempt = 1; attempt <= 2; attempt++) {
      this.#sealEnded()
      this.#sealSoon()
      await this.#sealing
    }
  }

  /** Gives the active file up and waits a little: the lines it did not make durable go into the next one. */
  async #survive(error: unknown): Promise<void> {
    const active = this.#active
    this.#active = null
    this.#report(error)
    if (active !== null) {
      await active.abandon()
      await this.#giveUp(active)
    }
    if (this.#stop.signal.aborted) return
    await new Promise<void>((resolve) => {
      const timer = this.#deps.clock.after(retryAfterMs, resolve)
      this.#stop.signal.addEventListener('abort', () => (timer.cancel(), resolve()), { once: true })
    })
  }

  async #giveUp(active: ActiveFile): Promise<void> {
    const suspect: Leftover = { file: active, state: 'failed' }
    const lines = active.durableLines
    try {
      if (lines > 0) this.#prev = (await active.durableSeal()).sha256
      // Nothing in it is durable, and its replacement will begin at the same counter: better gone before that one comes.
      if (lines === 0) return await sealDurablePart(this.#deps.disk, suspect)
    } catch (error) {
      this.#report(error)
    }
    this.#suspects.push(suspect)
  }

  #report(error: unknown): void {
    const code = systemCode(error)
    const trouble =
      error instanceof VaultError
        ? error
        : new VaultError('unavailable', `writing under ${this.#deps.store.location}: ${messageOf(error)}`, {
            cause: error,
            remedy:
              code === 'ENOSPC' || code === 'EDQUOT'
                ? 'free space on that disk; recording goes on by itself'
                : 'look at the disk; recording goes on by itself in a new segment',
          })
    this.#deps.onTrouble?.(trouble)
  }

  /**
   * Publishes sealed files, and cuts failed ones back to what was durable first. One that cannot be done now is tried again after
   * a while, and at the next start by recovery: it must neither hold new lines up nor harm the file they go to.
   */
  async #sealSuspects(): Promise<void> {
    const { store, disk, clock } = this.#deps
    if (clock.monotonicMs() < this.#suspectsNotBeforeMs && !this.#closing) return
    for (const leftover of this.#suspects.slice()) {
      try {
        await sealDurablePart(disk, leftover)
        const { durableLines, label, path } = leftover.file
        if (durableLines > 0) {
          await publishSegment(store, this.#options.venue, path, label, this.#stop.signal)
          this.stats.segmentsSealed++
        }
        this.#suspects.splice(this.#suspects.indexOf(leftover), 1)
      } catch (error) {
        this.#suspectsNotBeforeMs = clock.monotonicMs() + retrySuspectsMs
        this.#report(error)
      }
    }
  }
}

/** An event's time when no frame brings one: never before the last line's. */
function recvNsOf(fill: Chunk, clock: Clock): bigint {
  const nowNs = clock.nowNs()
  return fill.lines > 0 && fill.lastRecvNs > nowNs ? fill.lastRecvNs : nowNs
}

function cancel(timer: Timer | null): void {
  timer?.cancel()
}
