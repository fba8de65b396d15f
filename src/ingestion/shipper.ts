/**
 * Keeps a bucket up with the spool: a flush of the growing segment every few seconds, sealed ones oldest first. While the bucket cannot be
 * reached nothing is kept in memory and nobody waits: the spool grows, and is caught up with later.
 */

import { backoffMs, type Backoff } from '../core/backoff.ts'
import type { Clock, Random } from '../core/clock.ts'
import { messageOf, systemCode, VaultError } from '../core/errors.ts'
import type { ChunkFolder } from '../segment/chunk-folder.ts'
import { peekSegment } from '../segment/peek.ts'
import { removeSpentChunks } from '../segment/spent-chunks.ts'
import { listSealed, shipGrowing, shipSealed, type GrowingFile, type ShipDeps } from '../segment/ship.ts'
import { activeSegmentKey, rawActive } from '../storage/keys.ts'
import { listAll, type ObjectInfo } from '../storage/object-store.ts'
import { requestsOf, type RequestCounts } from '../storage/s3/requests.ts'

/** What the recorder says of itself: all up to `durableN` is durable, the growing file up to its mark. */
export interface RecorderMark {
  readonly durableN: number
  /** null: none grows. */
  readonly growing: GrowingFile | null
}

export interface ShipState {
  /** Counter of this recorder up to which everything is in the bucket. */
  readonly replicatedN: number
  readonly segmentsWaiting: number
  readonly bytesWaiting: number
  /** Since the oldest waiting segment was sealed; null: none waits. */
  readonly oldestWaitingMs: number | null
  /** What the bucket was asked so far; null: it could not be opened yet. */
  readonly requests: RequestCounts | null
}

export const nothingShipped: ShipState = {
  replicatedN: 0,
  segmentsWaiting: 0,
  bytesWaiting: 0,
  oldestWaitingMs: null,
  requests: null,
}

export interface ShipperDeps extends Omit<ShipDeps, 'bucket'> {
  readonly clock: Clock
  readonly random: Random
  /** Opens the bucket; tried again until it can be. */
  readonly openBucket: () => Promise<ShipDeps['bucket']>
  readonly onState: (state: ShipState) => void
  /** A rescuer took the growing segment: what it gains now is not in the bucket before it is sealed. Told once for each. */
  readonly onFenced: (growing: GrowingFile) => void
  readonly onTrouble: (error: VaultError) => void
}

export const flushEveryMs = 5000
/** A bucket that is back is noticed soon: asking costs next to nothing. */
const outage: Backoff = { firstMs: 1000, limitMs: 5000 }

export class Shipper {
  readonly #deps: ShipperDeps
  #bucket: ShipDeps['bucket'] | undefined
  #mark: RecorderMark = { durableN: 0, growing: null }
  /** The growing segment's chunks as our last put left them. */
  #folder: (GrowingFile & { readonly state: ChunkFolder | 'fenced' }) | undefined
  #replicatedN = 0
  #isTidy = false

  constructor(deps: ShipperDeps) {
    this.#deps = deps
  }

  mark(mark: RecorderMark): void {
    this.#mark = mark
  }

  /** Until the signal. What throws is told and tried again. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, random } = this.#deps
    let failures = 0
    while (!signal.aborted) {
      const startMs = clock.monotonicMs()
      try {
        await this.#round(signal)
        failures = 0
      } catch (error) {
        if (signal.aborted) return
        await this.#tell(error)
        await this.#sleep(backoffMs(outage, failures++, random), signal)
        continue
      }
      await this.#sleep(Math.max(0, flushEveryMs - (clock.monotonicMs() - startMs)), signal)
    }
  }

  /** All that is sealed, while the signal lets it; for the end of a recording. @returns what still waits */
  async drain(signal: AbortSignal): Promise<ShipState> {
    let failures = 0
    for (;;) {
      const state = await this.state()
      if (state.segmentsWaiting === 0 || signal.aborted) return state
      try {
        await this.#round(signal)
      } catch (error) {
        if (signal.aborted) continue
        await this.#tell(error)
        await this.#sleep(backoffMs(outage, failures++, this.#deps.random), signal)
      }
    }
  }

  async #round(signal: AbortSignal): Promise<void> {
    const deps = { ...this.#deps, bucket: (this.#bucket ??= await this.#deps.openBucket()) }
    // The order matters: what is sealed meanwhile was seen growing, or is listed as sealed, or both; never neither.
    const mark = this.#mark
    const files = await listAll(deps.spool, `${rawActive(deps.venue)}segment_`, signal)
    for (const sealed of await listSealed(deps, signal)) {
      await shipSealed(deps, sealed, signal)
      await this.#tellState()
    }
    const own = mark.growing === null ? undefined : activeSegmentKey(deps.venue, mark.growing.label)
    const isGrowing = files.some(({ key }) => key === own)
    const isFlushed = !isGrowing || (await this.#flush(deps, mark.growing!, signal))
    const others = files.filter(({ key }) => key !== own)
    // One that was sealed while older ones went over is shipped with the next round; what came before it is there.
    const upTo = isFlushed ? mark.durableN : mark.growing!.firstN - 1
    if (upTo > this.#replicatedN && (await this.#areNewer(others, mark.growing, signal)))
      this.#replicatedN = upTo
    await this.#tellState()
    await this.#tidy(deps, signal)
  }

  /** Once, and after all that waited: nothing may stand before what is to be brought over. */
  async #tidy({ bucket, venue }: ShipDeps, signal: AbortSignal): Promise<void> {
    if (this.#isTidy) return
    this.#isTidy = true
    for (const trouble of await removeSpentChunks(bucket, venue, signal)) this.#deps.onTrouble(trouble)
  }

  /** Whether other growing files hold nothing up to the mark: they were begun since, and are none that is about to be sealed. */
  async #areNewer(
    others: readonly ObjectInfo[],
    growing: GrowingFile | null,
    signal: AbortSignal,
  ): Promise<boolean> {
    for (const object of others) {
      const peek = await peekSegment(this.#deps.spool, object, false, signal)
      if (growing === null || peek === 'gone' || peek.header === null || peek.header.n <= growing.firstN)
        return false
    }
    return true
  }

  /** @returns whether everything up to its mark is there */
  async #flush(deps: ShipDeps, growing: GrowingFile, signal: AbortSignal): Promise<boolean> {
    const isKnown = this.#folder?.label === growing.label && this.#folder.firstN === growing.firstN
    const known = isKnown ? this.#folder!.state : null
    if (known === 'fenced') return false
    const state = await shipGrowing(deps, growing, known, signal)
    this.#folder = state === 'gone' ? undefined : { ...growing, state }
    if (state === 'fenced') this.#deps.onFenced(growing)
    return typeof state === 'object'
  }

  /** As it is now. */
  async state(): Promise<ShipState> {
    // Of a local folder: quick, and wanted also when everything else is being stopped.
    const waiting = await listSealed(this.#deps, new AbortController().signal)
    const oldestMs = waiting.reduce((min, { modifiedMs }) => Math.min(min, modifiedMs), Infinity)
    return {
      replicatedN: this.#replicatedN,
      requests: this.#bucket === undefined ? null : requestsOf(this.#bucket),
      segmentsWaiting: waiting.length,
      bytesWaiting: waiting.reduce((total, { sizeBytes }) => total + sizeBytes, 0),
      oldestWaitingMs: waiting.length === 0 ? null : Math.max(0, this.#deps.clock.nowMs() - oldestMs),
    }
  }

  async #tellState(): Promise<void> {
    this.#deps.onState(await this.state())
  }

  /** After trouble nothing that was remembered is believed. */
  async #tell(error: unknown): Promise<void> {
    this.#folder = undefined
    this.#deps.onTrouble(asTrouble(error))
    await this.#tellState()
  }

  async #sleep(delayMs: number, signal: AbortSignal): Promise<void> {
    try {
      await this.#deps.clock.sleep(delayMs, signal)
    } catch (error) {
      if (!signal.aborted) throw error
    }
  }
}

/** @throws what is neither the bucket's nor the disk's doing */
function asTrouble(error: unknown): VaultError {
  if (error instanceof VaultError) return error
  if (systemCode(error) === undefined) throw error
  return new VaultError('unavailable', `shipping from the spool: ${messageOf(error)}`, {
    cause: error,
    remedy: "look at the spool's disk; it is tried again",
  })
}
