/**
 * Chunks become durable: written in groups, synced, sealed into segments and published.
 *
 * Invariant: a line is kept in memory until an fdatasync has covered it in a file whose name is synced too; only then is it
 * reported. A file whose write or fsync failed is never trusted past what was durable before: the lines it did not cover are written
 * again, under the same counters, to a new segment, whose header (first n) tells recovery where the failed file must be cut.
 */

import { dirname } from 'node:path'
import type { Clock } from '../core/clock.ts'
import { messageOf, systemCode, VaultError } from '../core/errors.ts'
import { utcHour } from '../core/time.ts'
import { activeSegmentKey, segmentLabel } from '../storage/keys.ts'
import { syncNames, type Disk } from '../storage/disk.ts'
import type { LocalObjectStore } from '../storage/object-store.ts'
import { ActiveFile } from './active-file.ts'
import type { Batch, BatchBuffers } from './batch.ts'
import type { Chunk } from './chunk.ts'
import { BatchEncoder } from './encode.ts'
import { sealDurablePart } from './leftover.ts'
import { freeCounter } from './publish.ts'
import { Sealer } from './sealer.ts'

export interface WriterOptions {
  readonly venue: string
  readonly url: string
  readonly software: string
  readonly recorder: string
  /** false: durable means written to the operating system; a power loss may take what it still held. */
  readonly fsync: boolean
}

export interface WriterDeps {
  readonly store: LocalObjectStore
  readonly disk: Disk
  readonly clock: Clock
}

export interface WriterStats {
  segmentsSealed: number
  linesWritten: number
  bytesWritten: number
  fsyncs: number
  lastFsyncMs: number
  maxFsyncMs: number
  activeSizeBytes: number
  activeLabel: string | null
  activeFirstN: number | null
  /** Files that failed, or could not be published, and wait for another attempt. */
  suspects: number
}

export const noStats: WriterStats = {
  segmentsSealed: 0,
  linesWritten: 0,
  bytesWritten: 0,
  fsyncs: 0,
  lastFsyncMs: 0,
  maxFsyncMs: 0,
  activeSizeBytes: 0,
  activeLabel: null,
  activeFirstN: null,
  suspects: 0,
}

/** What a writer tells of its work. */
export interface WriterEvents {
  /** The oldest batches are durable: theirs to fill again is whoever wrote them. */
  readonly onDurable: (batches: readonly BatchBuffers[], stats: WriterStats) => void
  /** Something was sealed, published or given up. */
  readonly onStats: (stats: WriterStats) => void
  /** The disk refuses; lines are kept until it takes bytes again. */
  readonly onTrouble: (error: VaultError) => void
}

/** Where the log's batches go: written by this thread or by another. */
export interface Writer {
  /** Takes a batch, which is the writer's until it is reported durable. */
  write(batch: Batch): void
  /** Resolves when all that was written is durable, sealed and published, or after `stop`. */
  close(): Promise<void>
  /** Ends without what the disk has not taken. */
  stop(): void
}

export type OpenWriter = (options: WriterOptions, events: WriterEvents) => Writer

/** Small enough to stay in a processor's cache from the hashing to the copy (measured: 4 MiB beats 1 and 8 by a tenth). */
const groupBytesMax = 4 * 1024 * 1024
const retryAfterMs = 1000

/**
 * Whether nothing more is to be written and synced together with these. A segment's end closes a group, and so does its size: however
 * much waits, bytes are written and hashed while the processor still has them at hand.
 */
function isWhole(group: readonly Chunk[]): boolean {
  if (group.at(-1)?.endsSegment === true) return true
  return group.reduce((sum, chunk) => sum + chunk.bytes.length, 0) >= groupBytesMax
}

/** Encodes and writes on the calling thread. */
export function writeHere(deps: WriterDeps): OpenWriter {
  return (options, events) => {
    const encoder = new BatchEncoder()
    const writer = new SegmentWriter(deps, options, events)
    return {
      write: (batch) => writer.write(encoder.encode(batch)),
      close: () => writer.close(),
      stop: () => writer.stop(),
    }
  }
}

/** Takes the chunks of one recorder, in the order of their counters. */
export class SegmentWriter {
  readonly #deps: WriterDeps
  readonly #options: WriterOptions
  readonly #events: WriterEvents
  readonly #stats: WriterStats = { ...noStats }
  /** Oldest first. */
  #waiting: Chunk[] = []
  /** What came before them: taken together, and not in the active file yet. */
  #group: Chunk[] = []
  /** What came before that: in the active file, and not durable yet. */
  #written: Chunk[] = []
  /** Syncs what is written, again and again, beside the writing of newer lines. */
  #syncing: Promise<void> | null = null
  /** What a sync failed of: the active file is not to be trusted any more. */
  #syncFailure: { readonly error: unknown } | null = null
  #active: ActiveFile | null = null
  readonly #sealer: Sealer
  #prev: string | null = null
  #folderIsNamed = false
  #closing = false
  #wake: (() => void) | null = null
  readonly #stop = new AbortController()
  readonly #loop: Promise<void>

  constructor(deps: WriterDeps, options: WriterOptions, events: WriterEvents) {
    this.#deps = deps
    this.#options = options
    this.#events = events
    this.#sealer = new Sealer(deps, options.venue, this.#stop.signal, {
      published: () => void this.#stats.segmentsSealed++,
      waiting: (count) => {
        this.#stats.suspects = count
        events.onStats(this.#stats)
      },
      trouble: (error) => this.#report(error),
    })
    this.#loop = this.#run()
  }

  /** Takes a chunk, which is the writer's until its batch is reported durable. */
  write(chunk: Chunk): void {
    this.#waiting.push(chunk)
    this.#wake?.()
  }

  close(): Promise<void> {
    this.#closing = true
    this.#wake?.()
    return this.#loop
  }

  stop(): void {
    this.#stop.abort()
  }

  /** Writes what waits, until told to stop and nothing waits. Disk trouble is reported and tried again, never skipped. */
  async #run(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      this.#takeGroup()
      try {
        await this.#writeGroup()
      } catch (error) {
        await this.#survive(error)
        continue
      }
      this.#sealer.tryAgain()
      if (this.#waiting.length > 0 || this.#syncFailure !== null) continue
      if (this.#closing && this.#written.length === 0) return await this.#sealer.finish()
      await new Promise<void>((resolve) => (this.#wake = resolve))
      this.#wake = null
    }
    await this.#syncing
  }

  #takeGroup(): void {
    let taken = 0
    while (taken < this.#waiting.length && !isWhole(this.#group)) this.#group.push(this.#waiting[taken++]!)
    if (taken > 0) this.#waiting = this.#waiting.slice(taken)
  }

  async #writeGroup(): Promise<void> {
    this.#refuseAfterFailure()
    const group = this.#group
    if (group.length === 0) return
    const isNothing = this.#active === null && group.every((chunk) => chunk.lines === 0)
    if (!isNothing) {
      this.#active ??= await this.#openActive(group[0]!)
      await this.#active.write(group)
    }
    this.#group = []
    // Else the end of a segment whose file failed after its last line was durable: there is nothing left to end.
    if (this.#active === null) return this.#nowDurable(group)
    this.#written.push(...group)
    // Before another sync is tried: it might say that all is well, of bytes that the last one lost.
    this.#refuseAfterFailure()
    this.#syncing ??= this.#syncWritten(this.#active)
    const last = group.at(-1)!
    if (last.endsSegment) await this.#endActive(this.#active, last.batch.isFollowed)
  }

  async #endActive(active: ActiveFile, isFollowed: boolean): Promise<void> {
    await this.#syncing
    this.#refuseAfterFailure()
    this.#prev = active.durableSeal().sha256
    this.#sealer.ended(active)
    this.#active = null
    this.#lookAtActive()
    if (!isFollowed) this.#sealer.sealEnded()
  }

  #refuseAfterFailure(): void {
    if (this.#syncFailure !== null) throw this.#syncFailure.error
  }

  /** Never rejects. Ends in the turn in which it finds nothing more to sync: whoever writes after that begins anew. */
  async #syncWritten(active: ActiveFile): Promise<void> {
    try {
      while (this.#written.length > 0) {
        const covered = this.#written.length
        await this.#sync(active)
        this.#nowDurable(this.#written.splice(0, covered))
        this.#sealer.sealEnded()
      }
    } catch (error) {
      this.#syncFailure = { error }
    }
    this.#syncing = null
    this.#wake?.()
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
    // Looks into the folders first, and refuses links before anything is made behind one.
    const free = await freeCounter(store, venue, hour, this.#stop.signal)
    await this.#makeFolder()
    for (let counter = free; ; counter++) {
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
    await active.sync(this.#options.fsync)
    const tookMs = this.#deps.clock.monotonicMs() - startMs
    this.#stats.fsyncs++
    this.#stats.lastFsyncMs = tookMs
    this.#stats.maxFsyncMs = Math.max(this.#stats.maxFsyncMs, tookMs)
  }

  #nowDurable(group: readonly Chunk[]): void {
    const stats = this.#stats
    for (const chunk of group) {
      stats.linesWritten += chunk.lines
      stats.bytesWritten += chunk.bytes.length
    }
    this.#lookAtActive()
    this.#events.onDurable(
      group.map((chunk) => chunk.batch),
      stats,
    )
  }

  #lookAtActive(): void {
    this.#stats.activeSizeBytes = this.#active?.durableBytes ?? 0
    this.#stats.activeLabel = this.#active?.label ?? null
    this.#stats.activeFirstN = this.#active?.header.n ?? null
  }

  /** Gives the active file up and waits a little: the lines it did not make durable go into the next one. */
  async #survive(error: unknown): Promise<void> {
    await this.#syncing
    this.#syncFailure = null
    const active = this.#active
    this.#active = null
    this.#group.unshift(...this.#written.splice(0))
    this.#report(error)
    if (active !== null) {
      await active.abandon()
      await this.#giveUp(active)
    }
    // Told to stop meanwhile: the loop looks for that itself.
    await this.#deps.clock.sleep(retryAfterMs, this.#stop.signal).catch(() => undefined)
  }

  async #giveUp(active: ActiveFile): Promise<void> {
    const lines = active.durableLines
    try {
      if (lines > 0) this.#prev = active.durableSeal().sha256
      // Nothing in it is durable, and its replacement will begin at the same counter: better gone before that one comes.
      if (lines === 0) return await sealDurablePart(this.#deps.disk, { file: active, state: 'failed' })
    } catch (error) {
      this.#report(error)
    }
    this.#sealer.failed(active)
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
    this.#events.onTrouble(trouble)
  }
}
