/** Scans on threads of their own, a task at a time on each. This is the near end; the far end is scan-worker.ts. */

import { Worker } from 'node:worker_threads'
import { VaultError, type ErrorKind } from '../../core/errors.ts'
import type { DigestTask, ScannedSegment, Scans, SegmentTask } from './scan-task.ts'

export type ScanRequest =
  | { readonly kind: 'task'; readonly task: SegmentTask | DigestTask }
  | { readonly kind: 'chunk'; readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly kind: 'end' }

export type ScanReport =
  /** A chunk was taken: another may come. */
  | { readonly kind: 'took' }
  | { readonly kind: 'done'; readonly result: ScannedSegment | string }
  | { readonly kind: 'failed'; readonly failure: ScanFailure }

/** An error as it goes from thread to thread. `vault` null: it was none of ours. */
export interface ScanFailure {
  readonly vault: { readonly kind: ErrorKind; readonly remedy: string | undefined } | null
  readonly message: string
}

/** Chunks on their way to a thread: it has the next one when it is done with one. */
const chunksAhead = 3

export class ScanThreads implements Scans {
  readonly #threadsMax: number
  readonly #all = new Set<ScanThread>()
  readonly #idle: ScanThread[] = []
  readonly #waiting: ((thread: ScanThread) => void)[] = []

  constructor(threadsMax: number) {
    this.#threadsMax = threadsMax
  }

  segment(task: SegmentTask, bytes: AsyncIterable<Buffer>, signal: AbortSignal): Promise<ScannedSegment> {
    return this.#on(async (thread) => (await thread.run(task, bytes, signal)) as ScannedSegment)
  }

  sha256(path: string): Promise<string> {
    return this.#on(async (thread) => (await thread.run({ kind: 'digest', path }, null, null)) as string)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#all].map((thread) => thread.end()))
    this.#all.clear()
  }

  async #on<T>(work: (thread: ScanThread) => Promise<T>): Promise<T> {
    const thread = await this.#take()
    try {
      return await work(thread)
    } finally {
      this.#giveBack(thread)
    }
  }

  #take(): ScanThread | Promise<ScanThread> {
    const idle = this.#idle.pop()
    if (idle !== undefined) return idle
    if (this.#all.size < this.#threadsMax) return this.#start()
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  #start(): ScanThread {
    const thread = new ScanThread()
    this.#all.add(thread)
    return thread
  }

  #giveBack(thread: ScanThread): void {
    if (thread.isSpent) this.#all.delete(thread)
    const next = this.#waiting.shift()
    if (next !== undefined) next(thread.isSpent ? this.#start() : thread)
    else if (!thread.isSpent) this.#idle.push(thread)
  }
}

/** How a task's bytes go to its thread. */
interface Flow {
  /** Chunks that may still be sent. */
  credit: number
  /** It has its end: nothing more is asked for. */
  isOver: boolean
  /** Called when one of the two changed. */
  wake: () => void
}

class ScanThread {
  readonly #worker = new Worker(new URL('./scan-worker.js', import.meta.url))
  #onReport: (report: ScanReport) => void = () => undefined
  #onFailure: (error: Error) => void = () => undefined
  /** It was left in the middle of a task, and is of no use any more. */
  isSpent = false

  constructor() {
    this.#worker.on('message', (report: ScanReport) => this.#onReport(report))
    this.#worker.on('error', (error) => {
      this.isSpent = true
      this.#onFailure(error)
    })
  }

  async run(
    task: SegmentTask | DigestTask,
    bytes: AsyncIterable<Buffer> | null,
    signal: AbortSignal | null,
  ): Promise<ScannedSegment | string> {
    const flow = { credit: chunksAhead, isOver: false, wake: (): void => undefined }
    const result = this.#resultOf(flow)
    this.#send({ kind: 'task', task })
    try {
      for await (const chunk of bytes ?? []) {
        signal?.throwIfAborted()
        // The chunk may be a piece of memory that others use.
        const own = new Uint8Array(chunk)
        this.#send({ kind: 'chunk', bytes: own }, own.buffer)
        flow.credit--
        while (flow.credit === 0 && !flow.isOver) await new Promise<void>((resolve) => (flow.wake = resolve))
        if (flow.isOver) break
      }
    } catch (error) {
      await this.end()
      throw error
    }
    this.#send({ kind: 'end' })
    return result
  }

  #resultOf(flow: Flow): Promise<ScannedSegment | string> {
    const result = new Promise<ScannedSegment | string>((resolve, reject) => {
      this.#onFailure = reject
      this.#onReport = (report) => {
        if (report.kind === 'took') flow.credit++
        else if (report.kind === 'done') resolve(report.result)
        else reject(errorOf(report.failure))
        flow.wake()
      }
    })
    const over = (): void => {
      flow.isOver = true
      flow.wake()
    }
    result.then(over, over)
    return result
  }

  async end(): Promise<void> {
    this.isSpent = true
    await this.#worker.terminate()
  }

  #send(request: ScanRequest, memory?: ArrayBuffer): void {
    this.#worker.postMessage(request, memory === undefined ? [] : [memory])
  }
}

function errorOf({ vault, message }: ScanFailure): Error {
  if (vault === null) return new Error(message)
  return new VaultError(vault.kind, message, vault.remedy === undefined ? {} : { remedy: vault.remedy })
}
