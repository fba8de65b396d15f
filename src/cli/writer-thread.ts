/** The recorder's writer on a thread of its own: the thread that reads the sockets only copies bytes. This is the near end. */

import { Worker, type Transferable } from 'node:worker_threads'
import { VaultError, type ErrorKind } from '../core/errors.ts'
import type { Batch, BatchBuffers } from '../segment/batch.ts'
import type { OpenWriter, Writer, WriterEvents, WriterOptions, WriterStats } from '../segment/writer.ts'

/** What the thread is started with. */
export interface WriterStart {
  readonly baseDir: string
  /** Of the folder; null: the disk's own. */
  readonly bytesMax: number | null
  readonly options: WriterOptions
}

export type WriterRequest =
  | { readonly kind: 'write'; readonly batch: Batch }
  | { readonly kind: 'close' }
  | { readonly kind: 'stop' }

export type WriterReport =
  | { readonly kind: 'durable'; readonly buffers: readonly BatchBuffers[]; readonly stats: WriterStats }
  | { readonly kind: 'stats'; readonly stats: WriterStats }
  | {
      readonly kind: 'trouble'
      readonly error: {
        readonly kind: ErrorKind
        readonly message: string
        readonly remedy: string | undefined
      }
    }
  | { readonly kind: 'closed' }

/** Memory that goes along with a message instead of being copied. */
export function memoryOf(buffers: BatchBuffers): Transferable[] {
  return [buffers.bytes.buffer, buffers.records.buffer]
}

/**
 * @param baseDir the vault's folder, which the thread opens for itself
 * @param bytesMax what it may hold; null: what the disk takes
 */
export function writeInThread(baseDir: string, bytesMax: number | null): OpenWriter {
  return (options, events) => new WriterThread({ baseDir, bytesMax, options }, events)
}

class WriterThread implements Writer {
  readonly #worker: Worker
  readonly #events: WriterEvents
  #closed: () => void = () => undefined

  constructor(start: WriterStart, events: WriterEvents) {
    this.#events = events
    this.#worker = new Worker(new URL('./writer-worker.js', import.meta.url), { workerData: start })
    this.#worker.on('message', (report: WriterReport) => this.#take(report))
    // Nothing can be recorded without it: the process ends, and the next start recovers what is durable.
    this.#worker.on('error', (error) => {
      throw error
    })
  }

  write(batch: Batch): void {
    this.#send({ kind: 'write', batch }, memoryOf(batch))
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => (this.#closed = resolve))
    this.#send({ kind: 'close' })
    await closed
    await this.#worker.terminate()
  }

  stop(): void {
    this.#send({ kind: 'stop' })
  }

  #send(request: WriterRequest, memory: readonly Transferable[] = []): void {
    this.#worker.postMessage(request, memory)
  }

  #take(report: WriterReport): void {
    switch (report.kind) {
      case 'durable':
        return this.#events.onDurable(report.buffers, report.stats)
      case 'stats':
        return this.#events.onStats(report.stats)
      case 'trouble': {
        const { kind, message, remedy } = report.error
        return this.#events.onTrouble(new VaultError(kind, message, remedy === undefined ? {} : { remedy }))
      }
      case 'closed':
        return this.#closed()
    }
  }
}
