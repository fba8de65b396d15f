/** A store for each kind of place. A new backend is one line here and one file beside it. */

import { join } from 'node:path'
import type { Clock, Random } from '../core/clock.ts'
import { openLocalStore } from './local.ts'
import type { ObjectStore } from './object-store.ts'
import type { LocalPlace, Place, S3Place } from './place.ts'
import type { Stop } from './s3/settings.ts'

export interface StoreDeps {
  readonly clock: Clock
  readonly random: Random
  readonly env: Readonly<Record<string, string | undefined>>
  /** Local folder for scratch and copies, for stores that are not on this machine's disk. */
  readonly cacheDir: string
  /** Left out: stores elsewhere wait for their answers, however long those take. */
  readonly stop?: Stop | undefined
}

/** `read`: nothing will be written, so that nothing about writing is tried or required. */
export type Access = 'read' | 'write'

export interface OpenedStore extends ObjectStore {
  /** What this place cannot do, to be said aloud. */
  readonly notes: readonly string[]
}

type Open<P> = (place: P, access: Access, deps: StoreDeps) => Promise<OpenedStore>

const backends: { readonly local: Open<LocalPlace>; readonly s3: Open<S3Place> } = {
  local: (place) => openLocalStore(place.baseDir),
  s3: async (place, access, deps) => {
    // The SDK takes 100 ms to load, which only a bucket is worth.
    const { openS3Store } = await import('./s3/open.ts')
    const mode = access === 'read' ? 'read' : place.singleWriter ? 'single-writer' : 'shared'
    return openS3Store({ ...place, workDir: join(deps.cacheDir, 'work') }, mode, deps)
  },
}

/** @throws {VaultError} `preflight` or `unavailable`, with the way out */
export function openStore(place: Place, access: Access, deps: StoreDeps): Promise<OpenedStore> {
  return place.backend === 'local' ? backends.local(place, access, deps) : backends.s3(place, access, deps)
}
