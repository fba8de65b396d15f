/** Wraps a store and stops the world at its k-th durable step, which lands or is lost; nothing after it is done. */

import type { LocalObjectStore, ObjectInfo, PutOutcome } from '../../src/storage/object-store.ts'

export class CrashNow extends Error {
  constructor() {
    super('the power went out')
    this.name = 'CrashNow'
  }
}

/** `landed`: the step is done and its answer is lost. `lost`: it is not done. */
export type CrashKind = 'landed' | 'lost'

export class CrashingStore implements LocalObjectStore {
  readonly location: string
  readonly #inner: LocalObjectStore
  readonly #crashAt: number
  readonly #kind: CrashKind
  #steps = 0

  /** @param crashAt which durable step is the last, from 1; Infinity: none, to count them */
  constructor(inner: LocalObjectStore, crashAt: number, kind: CrashKind) {
    this.#inner = inner
    this.location = inner.location
    this.#crashAt = crashAt
    this.#kind = kind
  }

  /** Durable steps so far: how far a loop over all crashes has to go. */
  get steps(): number {
    return this.#steps
  }

  get isCrashed(): boolean {
    return this.#steps >= this.#crashAt
  }

  fileOf(key: string): string {
    return this.pathOf(key)
  }

  pathOf(key: string): string {
    return this.#inner.pathOf(key)
  }

  putIfAbsent(key: string, body: Uint8Array): Promise<PutOutcome> {
    return this.#step(() => this.#inner.putIfAbsent(key, body))
  }

  publishFile(path: string, key: string): Promise<PutOutcome> {
    return this.#step(() => this.#inner.publishFile(path, key))
  }

  delete(key: string): Promise<boolean> {
    return this.#step(() => this.#inner.delete(key))
  }

  async get(key: string): Promise<Buffer | undefined> {
    this.#refuseAfter()
    return this.#inner.get(key)
  }

  async head(key: string): Promise<ObjectInfo | undefined> {
    this.#refuseAfter()
    return this.#inner.head(key)
  }

  async *read(key: string, from: number, until: number, signal: AbortSignal): AsyncGenerator<Buffer> {
    this.#refuseAfter()
    yield* this.#inner.read(key, from, until, signal)
  }

  async *list(prefix: string, signal: AbortSignal): AsyncGenerator<readonly ObjectInfo[]> {
    this.#refuseAfter()
    yield* this.#inner.list(prefix, signal)
  }

  async scratch(name: string): Promise<string> {
    this.#refuseAfter()
    return this.#inner.scratch(name)
  }

  async #step<T>(operation: () => Promise<T>): Promise<T> {
    this.#refuseAfter()
    this.#steps++
    if (!this.isCrashed) return operation()
    if (this.#kind === 'landed') await operation()
    throw new CrashNow()
  }

  #refuseAfter(): void {
    if (this.isCrashed) throw new CrashNow()
  }
}
