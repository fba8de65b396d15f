/**
 * The recorder's writer on two threads of its own, one that encodes and one that hashes and writes: the thread that reads the sockets
 * only copies bytes. This is the near end. With both on one thread, that one is the limit: 320,000 frames a second against 365,000 on
 * two processors, and a queue of 1.2 GB after three million frames against 0.4.
 */

import { MessageChannel, Worker, type MessagePort, type Transferable } from 'node:worker_threads'
import { VaultError, type ErrorKind } from '../core/errors.ts'
import type { Batch, BatchBuffers } from '../segment/batch.ts'
import type { Chunk } from '../segment/chunk.ts'
import type { OpenWriter, Writer, WriterEvents, WriterOptions, WriterStats } from '../segment/writer.ts'

/** What the thread that encodes is started with. */
export interface EncoderStart {
  /** Where the chunks go. */
  readonly writer: MessagePort
}

export type EncoderRequest = { readonly kind: 'write'; readonly batch: Batch } | { readonly kind: 'close' }
export type WriterRequest = { readonly kind: 'write'; readonly chunk: Chunk } | { readonly kind: 'close' }

/** What the thread that writes is started with. */
export interface WriterStart {
  /** Where they come from. */
  readonly chunks: MessagePort
  readonly baseDir: string
  /** Of the folder; null: the disk's own. */
  readonly bytesMax: number | null
  readonly options: WriterOptions
}

/** The one word that the thread that writes gets without a detour. */
export const stopRequest = 'stop'

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
 * @param baseDir the vault's folder, which the thread that writes opens for itself
 * @param bytesMax what it may hold; null: what the disk takes
 */
export function writeInThread(baseDir: string, bytesMax: number | null): OpenWriter {
  return (options, events) => new WriterThread({ baseDir, bytesMax, options }, events)
}

class WriterThread implements Writer {
  readonly #encoder: Worker
  readonly #writer: Worker
  readonly #events: WriterEvents
  #closed: () => void = () => undefined

  constructor(start: Omit<WriterStart, 'chunks'>, events: WriterEvents) {
    this.#events = events
    const { port1, port2 } = new MessageChannel()
    this.#encoder = new Worker(new URL('./encoder-worker.js', import.meta.url), {
      workerData: { writer: port1 } satisfies EncoderStart,
      transferList: [port1],
    })
    this.#writer = new Worker(new URL('./writer-worker.js', import.meta.url), {
      workerData: { ...start, chunks: port2 } satisfies WriterStart,
      transferList: [port2],
    })
    this.#writer.on('message', (report: WriterReport) => this.#take(report))
    // Nothing can be recorded without them: the process ends, and the next start recovers what is durable.
    for (const worker of [this.#encoder, this.#writer])
      worker.on('error', (error) => {
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
    await Promise.all([this.#encoder.terminate(), this.#writer.terminate()])
  }

  /** Past the encoder: what that has not worked off is given up with the rest. */
  stop(): void {
    this.#writer.postMessage(stopRequest)
  }

  #send(request: EncoderRequest, memory: readonly Transferable[] = []): void {
    this.#encoder.postMessage(request, memory)
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
