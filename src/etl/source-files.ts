/**
 * Segments as local files: as they lie where their store has files; otherwise copies, and while one is converted the next is on its way.
 * Copies lie in the worker's own scratch: those that were asked for until they are let go, and at most one that is yet to be.
 */

import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { VaultError } from '../core/errors.ts'
import { downloadSized } from '../storage/download.ts'
import type { ObjectStore } from '../storage/object-store.ts'

/** An object, with its size where it was listed. */
export interface SourceObject {
  readonly key: string
  readonly sizeBytes: number
}

interface Ahead {
  readonly object: SourceObject
  readonly path: string
  readonly abort: AbortController
  /** false: it could not be fetched, whatever the reason; it is asked for again when it is needed. */
  readonly isThere: Promise<boolean>
}

export class SourceFiles {
  readonly #store: ObjectStore
  readonly #dir: string
  #order: readonly SourceObject[] = []
  #ahead: Ahead | undefined
  readonly #taken = new Map<string, string>()
  #copies = 0

  constructor(store: ObjectStore, dir: string) {
    this.#store = store
    this.#dir = dir
  }

  /** What will probably be asked for, in this order. */
  expect(order: readonly SourceObject[]): void {
    this.#order = order
  }

  /**
   * The segment as a file, and the next one expected begins to come.
   *
   * @throws {VaultError} `held` when it is gone: another worker brought it to its end
   */
  async take({ key }: { readonly key: string }, signal: AbortSignal): Promise<string> {
    const info = await this.#store.head(key)
    if (info === undefined)
      throw new VaultError('held', `${key}: another worker brought it to its end meanwhile`)
    const path = this.#store.fileOf(key) ?? (await this.#copy(info, signal))
    this.#fetchAfter(key)
    return path
  }

  /** Removes the copies that were taken. */
  async release(): Promise<void> {
    for (const path of this.#taken.values()) await rm(path, { force: true })
    this.#taken.clear()
  }

  /** Removes all copies. Nothing comes any more on return. */
  async close(): Promise<void> {
    this.#order = []
    await this.#forgetAhead()
    await this.release()
  }

  async #copy(object: SourceObject, signal: AbortSignal): Promise<string> {
    const there = this.#taken.get(object.key)
    if (there !== undefined) return there
    const ahead = this.#ahead
    const isExpected = ahead?.object.key === object.key && ahead.object.sizeBytes === object.sizeBytes
    if (!isExpected) await this.#forgetAhead()
    else if (await ahead.isThere) {
      this.#ahead = undefined
      this.#taken.set(object.key, ahead.path)
      return ahead.path
    }
    this.#ahead = undefined
    const path = this.#nextPath()
    await downloadSized(this.#store, object, path, signal)
    this.#taken.set(object.key, path)
    return path
  }

  #fetchAfter(key: string): void {
    const next = this.#order[this.#order.findIndex((each) => each.key === key) + 1]
    if (next === undefined || this.#ahead !== undefined || this.#store.fileOf(next.key) !== undefined) return
    const path = this.#nextPath()
    const abort = new AbortController()
    const isThere = downloadSized(this.#store, next, path, abort.signal).then(
      () => true,
      () => false,
    )
    this.#ahead = { object: next, path, abort, isThere }
  }

  async #forgetAhead(): Promise<void> {
    const ahead = this.#ahead
    this.#ahead = undefined
    if (ahead === undefined) return
    ahead.abort.abort()
    await ahead.isThere
    await rm(ahead.path, { force: true })
  }

  #nextPath(): string {
    return join(this.#dir, `source_${++this.#copies}.ndjson`)
  }
}
