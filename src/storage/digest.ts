/**
 * SHA-256 of growing files, kept by a thread of its own: at a recorder's full load the digest would take a tenth of the
 * thread that reads the sockets. The digest is of what the file holds, not of what was meant to be written.
 */

import { Worker } from 'node:worker_threads'
import { VaultError } from '../core/errors.ts'
import type { DigestAnswer, DigestRequest } from './digest-worker.ts'

type Waiting = { readonly resolve: (sha256: string) => void; readonly reject: (error: Error) => void }

class DigestThread {
  readonly #worker = new Worker(new URL('./digest-worker.js', import.meta.url))
  readonly #waiting = new Map<number, Waiting>()
  #lastId = 0

  constructor() {
    this.#worker.unref()
    this.#worker.on('message', (answer: DigestAnswer) => this.#answered(answer))
    this.#worker.on('error', (error) => this.#failed(error))
  }

  follow(path: string, until: number): void {
    this.#ask({ path, until, id: null, isLast: false })
  }

  forget(path: string): void {
    this.#ask({ path, until: 0, id: null, isLast: true })
  }

  digest(path: string, until: number): Promise<string> {
    const id = ++this.#lastId
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject })
      // A process does not end while an answer is awaited.
      this.#worker.ref()
      this.#ask({ path, until, id, isLast: false })
    })
  }

  #ask(request: DigestRequest): void {
    this.#worker.postMessage(request)
  }

  #answered({ id, sha256, problem }: DigestAnswer): void {
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    if (this.#waiting.size === 0) this.#worker.unref()
    if (sha256 !== null) waiting?.resolve(sha256)
    else
      waiting?.reject(
        new VaultError('unavailable', `cannot read back what was written: ${problem}`, {
          remedy: 'look at the disk',
        }),
      )
  }

  #failed(error: Error): void {
    thread = null
    for (const { reject } of this.#waiting.values()) reject(error)
  }
}

/** One a process, started when first needed. */
let thread: DigestThread | null = null

function theThread(): DigestThread {
  thread ??= new DigestThread()
  return thread
}

/** Reads on in the background, so that the digest is there when it is asked for. */
export function followFile(path: string, until: number): void {
  theThread().follow(path, until)
}

/** SHA-256 of the first `until` bytes, in hex. @throws {VaultError} `unavailable` when they cannot be read */
export function digestFile(path: string, until: number): Promise<string> {
  return theThread().digest(path, until)
}

/** Nothing more will be asked of this file. */
export function forgetFile(path: string): void {
  theThread().forget(path)
}
