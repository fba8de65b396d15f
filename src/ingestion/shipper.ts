/**
 * Keeps a bucket up with the spool: a flush of the growing segment every few seconds, sealed ones oldest first. While the bucket cannot be
 * reached nothing is kept in memory and nobody waits: the spool grows, and is caught up with later.
 */

import { backoffMs, type Backoff } from '../core/backoff.ts'
import type { Clock, Random } from '../core/clock.ts'
import { VaultError } from '../core/errors.ts'
import type { ChunkFolder } from '../segment/chunk-folder.ts'
import { listSealed, shipGrowing, shipSealed, type GrowingFile, type ShipDeps } from '../segment/ship.ts'

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
}

export interface ShipperDeps extends Omit<ShipDeps, 'bucket'> {
  readonly clock: Clock
  readonly random: Random
  /** Opens the bucket; tried again until it can be. */
  readonly openBucket: () => Promise<ShipDeps['bucket']>
  readonly onState: (state: ShipState) => void
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
  #folder: { readonly label: string; readonly state: ChunkFolder | 'fenced' } | undefined
  #replicatedN = 0

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
        await this.#tell(error, signal)
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
      const state = await this.#state(new AbortController().signal)
      if (state.segmentsWaiting === 0 || signal.aborted) return state
      try {
        await this.#round(signal)
      } catch (error) {
        if (signal.aborted) continue
        await this.#tell(error, signal)
        await this.#sleep(backoffMs(outage, failures++, this.#deps.random), signal)
      }
    }
  }

  async #round(signal: AbortSignal): Promise<void> {
    this.#bucket ??= await this.#deps.openBucket()
    const deps = { ...this.#deps, bucket: this.#bucket }
    // Taken before the listing: what is sealed after it was growing at this mark, or is newer than it.
    const mark = this.#mark
    for (const sealed of await listSealed(deps, signal)) {
      await shipSealed(deps, sealed, signal)
      this.#deps.onState(await this.#state(signal))
    }
    if (await this.#flush(deps, mark, signal)) this.#replicatedN = mark.durableN
    this.#deps.onState(await this.#state(signal))
  }

  /** @returns whether everything up to the mark is there */
  async #flush(deps: ShipDeps, { growing }: RecorderMark, signal: AbortSignal): Promise<boolean> {
    if (growing === null) return (await listSealed(deps, signal)).length === 0
    const known = this.#folder?.label === growing.label ? this.#folder.state : null
    if (known === 'fenced') return false
    const state = await shipGrowing(deps, growing, known, signal)
    this.#folder = state === 'gone' ? undefined : { label: growing.label, state }
    return typeof state === 'object'
  }

  async #state(signal: AbortSignal): Promise<ShipState> {
    const waiting = await listSealed({ ...this.#deps, bucket: this.#deps.spool }, signal)
    const oldestMs = Math.min(...waiting.map(({ modifiedMs }) => modifiedMs))
    return {
      replicatedN: this.#replicatedN,
      segmentsWaiting: waiting.length,
      bytesWaiting: waiting.reduce((total, { sizeBytes }) => total + sizeBytes, 0),
      oldestWaitingMs: waiting.length === 0 ? null : Math.max(0, this.#deps.clock.nowMs() - oldestMs),
    }
  }

  /** After trouble nothing that was remembered is believed. */
  async #tell(error: unknown, signal: AbortSignal): Promise<void> {
    if (!(error instanceof VaultError)) throw error
    this.#folder = undefined
    this.#deps.onTrouble(error)
    this.#deps.onState(await this.#state(signal))
  }

  async #sleep(delayMs: number, signal: AbortSignal): Promise<void> {
    try {
      await this.#deps.clock.sleep(delayMs, signal)
    } catch (error) {
      if (!signal.aborted) throw error
    }
  }
}
