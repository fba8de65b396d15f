/** Wraps a store and stops the world at its k-th durable step; nothing after it is done. */

import assert from 'node:assert/strict'
import { link, mkdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { LocalObjectStore, ObjectInfo, ObjectStore, PutOutcome } from '../../src/storage/object-store.ts'

export class CrashNow extends Error {
  constructor(where = 'the power went out') {
    super(where)
    this.name = 'CrashNow'
  }
}

/** `landed`: the step is done and its answer is lost. `lost`: it is not done. `half`: a file that a folder publishes has both its names. */
export type CrashKind = 'landed' | 'lost' | 'half'

export class CrashingStore implements LocalObjectStore {
  readonly location: string
  /** Which of the steps published a file. */
  readonly published: number[] = []
  /** Called before each step; what it waits for holds the program up. */
  pause: (step: number, key: string) => Promise<void> = async () => undefined
  readonly #inner: ObjectStore
  readonly #crashAt: number
  readonly #kind: CrashKind
  readonly #underWay = new Set<Promise<unknown>>()
  #steps = 0

  /** @param crashAt which durable step is the last, from 1; Infinity: none, to count them */
  constructor(inner: ObjectStore, crashAt = Number.POSITIVE_INFINITY, kind: CrashKind = 'landed') {
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

  /** Resolves when the steps that had begun before the crash have their end. */
  async quiet(): Promise<void> {
    await Promise.allSettled(this.#underWay)
  }

  fileOf(key: string): string | undefined {
    return this.#inner.fileOf(key)
  }

  pathOf(key: string): string {
    const path = this.#inner.fileOf(key)
    assert.ok(path !== undefined, `${this.location} has no files`)
    return path
  }

  putIfAbsent(key: string, body: Uint8Array): Promise<PutOutcome> {
    return this.#step(key, () => this.#inner.putIfAbsent(key, body))
  }

  publishFile(path: string, key: string): Promise<PutOutcome> {
    this.published.push(this.#steps + 1)
    const half = async (): Promise<void> => {
      await mkdir(dirname(this.pathOf(key)), { recursive: true })
      await link(path, this.pathOf(key))
    }
    return this.#step(key, () => this.#inner.publishFile(path, key), half)
  }

  delete(key: string): Promise<boolean> {
    return this.#step(key, () => this.#inner.delete(key))
  }

  async get(key: string, bytesMax?: number): Promise<Buffer | undefined> {
    this.#refuseAfter()
    return this.#inner.get(key, bytesMax)
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

  async #step<T>(key: string, operation: () => Promise<T>, half?: () => Promise<void>): Promise<T> {
    this.#refuseAfter()
    const step = ++this.#steps
    if (step === this.#crashAt) {
      if (this.#kind === 'landed') await operation()
      if (this.#kind === 'half') await half?.()
      throw new CrashNow(`at step ${step}: ${key}`)
    }
    await this.pause(step, key)
    const done = operation()
    this.#underWay.add(done)
    try {
      return await done
    } finally {
      this.#underWay.delete(done)
    }
  }

  #refuseAfter(): void {
    if (this.isCrashed) throw new CrashNow()
  }
}
