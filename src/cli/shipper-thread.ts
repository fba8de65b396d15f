/** The shipper on a thread of its own: hashing and uploading never hold up the sockets. This is the near end. */

import { Worker } from 'node:worker_threads'
import type { Clock } from '../core/clock.ts'
import { VaultError, type ErrorKind } from '../core/errors.ts'
import { nothingShipped, type RecorderMark, type ShipState } from '../ingestion/shipper.ts'
import type { PlainCredentials, S3Place } from '../storage/place.ts'

/** What the thread is started with. */
export interface ShipperStart {
  readonly spoolDir: string
  /** Without its credentials: what is sent to a thread is copied, and a secret is no text to copy. */
  readonly place: S3Place
  readonly credentials: PlainCredentials | null
  readonly cacheDir: string
  readonly env: Readonly<Record<string, string | undefined>>
}

export type ShipperRequest =
  | { readonly kind: 'mark'; readonly mark: RecorderMark }
  | { readonly kind: 'drain'; readonly withinMs: number }

export type ShipperReport =
  | { readonly kind: 'state'; readonly state: ShipState }
  | { readonly kind: 'fenced'; readonly label: string }
  | {
      readonly kind: 'trouble'
      readonly error: {
        readonly kind: ErrorKind
        readonly message: string
        readonly remedy: string | undefined
      }
    }
  | { readonly kind: 'drained' }

export interface ShipperEvents {
  readonly onState: (state: ShipState) => void
  /** The growing segment with this label was taken by a rescuer. */
  readonly onFenced: (label: string) => void
  readonly onTrouble: (error: VaultError) => void
}

/** For a thread that ends in time by itself to say so. */
const graceMs = 1000

export class ShipperThread {
  readonly #worker: Worker
  readonly #events: ShipperEvents
  readonly #clock: Clock
  #state: ShipState = nothingShipped
  #drained: () => void = () => undefined

  constructor(start: ShipperStart, events: ShipperEvents, clock: Clock) {
    this.#events = events
    this.#clock = clock
    this.#worker = new Worker(new URL('./shipper-worker.js', import.meta.url), { workerData: start })
    this.#worker.on('message', (report: ShipperReport) => this.#take(report))
    // A mistake of ours, not of the network: the process ends, and the next start ships what the spool holds.
    this.#worker.on('error', (error) => {
      throw error
    })
  }

  mark(mark: RecorderMark): void {
    this.#send({ kind: 'mark', mark })
  }

  /**
   * Ships what is sealed for at most so long, and ends: also in the middle of a request that gets no answer, which the next start finds
   * done or not.
   *
   * @returns what still waits in the spool
   */
  async drain(withinMs: number): Promise<ShipState> {
    const drained = new Promise<void>((resolve) => (this.#drained = resolve))
    this.#send({ kind: 'drain', withinMs })
    const late = new AbortController()
    await Promise.race([drained, this.#clock.sleep(withinMs + graceMs, late.signal)])
    late.abort()
    await this.#worker.terminate()
    return this.#state
  }

  #send(request: ShipperRequest): void {
    this.#worker.postMessage(request)
  }

  #take(report: ShipperReport): void {
    switch (report.kind) {
      case 'state':
        this.#state = report.state
        return this.#events.onState(report.state)
      case 'fenced':
        return this.#events.onFenced(report.label)
      case 'trouble': {
        const { kind, message, remedy } = report.error
        return this.#events.onTrouble(new VaultError(kind, message, remedy === undefined ? {} : { remedy }))
      }
      case 'drained':
        return this.#drained()
    }
  }
}
