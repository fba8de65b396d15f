/** Gives finished parts their names in the vault, several at once, while later ones are still being written. */

import { createHash } from 'node:crypto'
import { forEachAtOnce } from '../core/at-once.ts'
import { VaultError } from '../core/errors.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import { fileSha256 } from '../storage/download.ts'
import type { Claim } from './job-claim.ts'

/** A finished local file and where it is to lie. */
export interface Publication {
  readonly path: string
  readonly key: string
  readonly sha256: string
}

/** Parts are synced one by one; ext4 carries several syncs in one journal commit, and one connection to a bucket fills no line. */
const putsAtOnce = 8

export class Publisher {
  readonly #store: ObjectStore
  readonly #claim: Claim
  readonly #waiting: Publication[] = []
  readonly #running = new Set<Promise<void>>()
  readonly #created = new Set<string>()
  #failure: { readonly error: unknown } | undefined
  #areOurs = true

  constructor(store: ObjectStore, claim: Claim) {
    this.#store = store
    this.#claim = claim
  }

  /** Keys that nobody else had put: whoever made them holds the claim, and nobody removes them while it lasts. */
  get created(): ReadonlySet<string> {
    return this.#created
  }

  add(publications: readonly Publication[]): void {
    this.#waiting.push(...publications)
    this.#start()
  }

  /** Nothing is under way on return, and nothing more begins. */
  async stop(): Promise<void> {
    this.#waiting.length = 0
    await this.#idle()
  }

  /** Takes back what nobody else had put. What cannot be removed now is what a crash would leave: the next try goes on with it. */
  async withdraw(): Promise<void> {
    await this.stop()
    try {
      await forEachAtOnce([...this.#created], putsAtOnce, async (key) => {
        this.#claim.assertCurrent()
        await this.#store.delete(key)
      })
    } catch (error) {
      if (!(error instanceof VaultError)) throw error
    }
  }

  /** @returns false when one of the names holds other bytes @throws what the first failed put threw */
  async end(): Promise<boolean> {
    await this.#idle()
    if (this.#failure !== undefined) throw this.#failure.error
    return this.#areOurs
  }

  async #idle(): Promise<void> {
    while (this.#running.size > 0) await Promise.race(this.#running)
  }

  #start(): void {
    while (this.#running.size < putsAtOnce && this.#failure === undefined && this.#areOurs) {
      const next = this.#waiting.shift()
      if (next === undefined) return
      const running = this.#put(next).then(() => {
        this.#running.delete(running)
        this.#start()
      })
      this.#running.add(running)
    }
  }

  async #put({ path, key, sha256 }: Publication): Promise<void> {
    try {
      this.#claim.assertCurrent()
      const outcome = await publishSame(this.#store, path, key, sha256)
      if (outcome === 'created') this.#created.add(key)
      if (outcome === 'other') this.#areOurs = false
    } catch (error) {
      this.#failure ??= { error }
    }
  }
}

/**
 * Gives a file its name. What has the name already counts as ours only when its bytes are the `same`: an earlier try made it.
 *
 * @param sha256 of the file, lower-case hex
 */
export async function publishSame(
  store: ObjectStore,
  path: string,
  key: string,
  sha256: string,
): Promise<'created' | 'same' | 'other'> {
  if ((await store.publishFile(path, key)) === 'created') return 'created'
  return (await sha256OfObject(store, key, new AbortController().signal)) === sha256 ? 'same' : 'other'
}

/** A file whose digest nobody took yet. */
export async function publicationOf(path: string, key: string): Promise<Publication> {
  return { path, key, sha256: await fileSha256(path) }
}

/** @returns undefined when there is no such object */
export async function sha256OfObject(
  store: ObjectStore,
  key: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  const info = await store.head(key)
  if (info === undefined) return undefined
  const hash = createHash('sha256')
  for await (const chunk of store.read(key, 0, info.sizeBytes, signal)) hash.update(chunk)
  return hash.digest('hex')
}
