/** A vault that is copied to another store, or made equal to another by removal, and the copier may die at any step. */

import assert from 'node:assert/strict'
import { cpSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openLocalStore } from '../../src/storage/local.ts'
import type { LocalObjectStore, ObjectStore } from '../../src/storage/object-store.ts'
import type { SyncOptions } from '../../src/sync/round.ts'
import { CrashingStore, CrashNow } from '../storage/crashing-store.ts'
import { MemoryStore } from '../storage/memory-store.ts'
import { assertWhole, copyable, job, paperVault, sync } from '../sync/paper-vault.ts'
import type { Stand, Standing } from './stand.ts'
import type { Cleanup, CrashPoint, Ran, Scenario, World } from './sweep.ts'

interface Story {
  readonly name: string
  readonly options: Partial<SyncOptions>
  readonly source: (store: ObjectStore) => Promise<unknown>
  readonly target: (store: ObjectStore) => Promise<unknown>
}

const stories: readonly Story[] = [
  { name: 'copy', options: {}, source: paperVault, target: async () => undefined },
  {
    name: 'removal of another vault',
    // One at a time: receipts have to go before what they name.
    options: { isDeleting: true, atOnce: 1 },
    source: (store) => job(store, 1),
    target: paperVault,
  },
]

class SyncWorld implements World {
  readonly #source: ObjectStore
  readonly #folder: LocalObjectStore
  readonly #standing: Standing
  readonly #options: Partial<SyncOptions>

  constructor(
    source: ObjectStore,
    folder: LocalObjectStore,
    standing: Standing,
    options: Partial<SyncOptions>,
  ) {
    this.#source = source
    this.#folder = folder
    this.#standing = standing
    this.#options = options
  }

  async run({ at, kind }: CrashPoint): Promise<Ran> {
    const target = new CrashingStore(this.#standing.store, at, kind)
    await sync({ source: this.#source, target }, this.#options).catch((error: unknown) => {
      if (!(error instanceof CrashNow)) throw error
    })
    await target.quiet()
    return target
  }

  async assertWhole(): Promise<void> {
    await this.#standing.mirror()
    await assertWhole(this.#folder, 'at the target')
  }

  async finish(): Promise<void> {
    await sync({ source: this.#source, target: this.#standing.store }, this.#options)
    await this.assertWhole()
    assert.deepEqual(await copyable(this.#folder), await copyable(this.#source))
  }

  state(): Promise<unknown> {
    return copyable(this.#folder)
  }
}

async function newFolder(cleanup: Cleanup): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'mdv-sync-'))
  cleanup.after(() => rm(path, { recursive: true, force: true }))
  return path
}

export const syncScenarios: readonly Scenario[] = stories.map((story) => ({
  program: 'sync',
  story: story.name,
  kinds: ['landed', 'lost'],
  isTypical: true,
  async begin(stand: Stand, cleanup: Cleanup) {
    const source = new MemoryStore()
    await story.source(source)
    const origin = await newFolder(cleanup)
    await story.target(await openLocalStore(origin))
    return async (each: Cleanup): Promise<World> => {
      const copy = await newFolder(each)
      cpSync(origin, copy, { recursive: true })
      const folder = await openLocalStore(copy)
      return new SyncWorld(source, folder, await stand.stand(folder, each), story.options)
    }
  },
}))
