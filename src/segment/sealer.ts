/** A writer's files that no longer grow: sealed and published beside the writing of newer lines, which they neither hold up nor harm. */

import type { Clock } from '../core/clock.ts'
import type { Disk } from '../storage/disk.ts'
import type { LocalObjectStore } from '../storage/object-store.ts'
import type { ActiveFile } from './active-file.ts'
import { sealDurablePart, type Leftover } from './leftover.ts'
import { publishSegment } from './publish.ts'

export interface SealerDeps {
  readonly store: LocalObjectStore
  readonly disk: Disk
  readonly clock: Clock
}

export interface SealerEvents {
  readonly published: () => void
  /** @param count files that are not published yet */
  readonly waiting: (count: number) => void
  readonly trouble: (error: unknown) => void
}

const retryAfterMs = 10_000

export class Sealer {
  readonly #deps: SealerDeps
  readonly #venue: string
  readonly #stop: AbortSignal
  readonly #events: SealerEvents
  /** Ended files that stay unsealed until the next one has durable lines: a recorder's last file is always there for recovery to close. */
  readonly #ended: ActiveFile[] = []
  /** What is not published yet, oldest first. */
  readonly #waiting: Leftover[] = []
  #working: Promise<void> | null = null
  #notBeforeMs = Number.NEGATIVE_INFINITY

  constructor(deps: SealerDeps, venue: string, stop: AbortSignal, events: SealerEvents) {
    this.#deps = deps
    this.#venue = venue
    this.#stop = stop
    this.#events = events
  }

  /** Every line of it is durable. */
  ended(file: ActiveFile): void {
    this.#ended.push(file)
  }

  /** It refused a write or a sync; newer lines go to another file. */
  failed(file: ActiveFile): void {
    this.#waiting.push({ file, state: 'failed' })
    this.#events.waiting(this.#waiting.length)
  }

  /**
   * Seals and publishes ended files, as their successor has durable lines, or none will come. Crash before: recovery finds both, and the
   * later one tells that the earlier one is whole. Crash after the seal: recovery publishes the file as it is.
   */
  sealEnded(): void {
    this.#waiting.push(...this.#ended.splice(0).map((file): Leftover => ({ file, state: 'whole' })))
    this.tryAgain()
  }

  /** What failed, once it has rested. */
  tryAgain(): void {
    if (this.#waiting.length === 0 || this.#deps.clock.monotonicMs() < this.#notBeforeMs) return
    this.#working ??= this.#publishAll().finally(() => (this.#working = null))
  }

  /** The last of them, once nothing is written any more; what fails once more is left to recovery. */
  async finish(): Promise<void> {
    await this.#working
    for (let attempt = 1; attempt <= 2; attempt++) {
      this.#notBeforeMs = Number.NEGATIVE_INFINITY
      this.sealEnded()
      await this.#working
    }
  }

  /** One that cannot be done now is tried again after a while, and at the next start by recovery. */
  async #publishAll(): Promise<void> {
    const { store, disk, clock } = this.#deps
    for (const leftover of this.#waiting.slice()) {
      try {
        await sealDurablePart(disk, leftover)
        const { durableLines, label, path } = leftover.file
        if (durableLines > 0) {
          await publishSegment(store, this.#venue, path, label, this.#stop)
          this.#events.published()
        }
        this.#waiting.splice(this.#waiting.indexOf(leftover), 1)
        this.#events.waiting(this.#waiting.length)
      } catch (error) {
        this.#notBeforeMs = clock.monotonicMs() + retryAfterMs
        this.#events.trouble(error)
      }
    }
  }
}
