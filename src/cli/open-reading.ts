/** The vault as questions see it: what lies in a bucket has copies on this machine, in one bounded folder for all of them. */

import { join } from 'node:path'
import { CachedStore } from '../storage/cache-store.ts'
import type { OpenedStore } from '../storage/open.ts'
import { placeName, type Place } from '../storage/place.ts'
import type { CommandContext } from './command.ts'
import type { StorageConfig } from './config.ts'
import { openVault } from './open-vault.ts'

/** @throws {VaultError} as `openVault` */
export async function openForReading(context: CommandContext, storage: StorageConfig): Promise<OpenedStore> {
  const store = await openVault(context, storage, 'read')
  return storage.processed.backend === 'local' ? store : withCopies(context, storage, store)
}

/** The same store, with copies of what it has in `storage.processed`. */
export function withCopies(
  { clock, random }: Pick<CommandContext, 'clock' | 'random'>,
  storage: Pick<StorageConfig, 'processed' | 'cache_dir' | 'cache_max_gb'>,
  store: OpenedStore,
): OpenedStore {
  const settings = {
    dir: join(storage.cache_dir, 'copies'),
    maxBytes: storage.cache_max_gb * 1e9,
    clock,
    random,
  }
  const cached = new CachedStore(store, identityOf(storage.processed), settings)
  return Object.assign(cached, { notes: store.notes })
}

function identityOf(place: Place): string {
  return place.backend === 'local' ? place.baseDir : `${place.endpointUrl ?? 'aws'} ${placeName(place)}`
}
