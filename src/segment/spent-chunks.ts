/**
 * Housekeeping after owners that died: chunks they left by dying between publishing a segment and removing them, and fences that they put before
 * a first chunk. Nobody will come back for these; a rescuer's fence stays for ever.
 */

import { VaultError } from '../core/errors.ts'
import { chunkKey } from '../storage/keys.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import { isOwnersFence, listChunkFolders, ownerOf, readChunkFolder, removeChunks } from './chunk-folder.ts'
import { PublishedSegments } from './published.ts'

/**
 * @returns what went wrong, one for each folder: it stays, and the others are looked at
 * @throws {VaultError} from the store when it cannot be listed
 */
export async function removeSpentChunks(
  store: ObjectStore,
  venue: string,
  signal: AbortSignal,
): Promise<VaultError[]> {
  const published = new PublishedSegments(store, venue, signal)
  const troubles: VaultError[] = []
  for (const folder of (await listChunkFolders(store, venue, signal)).keys())
    try {
      await removeIfSpent(store, folder, published, signal)
    } catch (error) {
      signal.throwIfAborted()
      if (!(error instanceof VaultError)) throw error
      troubles.push(error)
    }
  return troubles
}

async function removeIfSpent(
  store: ObjectStore,
  folder: string,
  published: PublishedSegments,
  signal: AbortSignal,
): Promise<void> {
  const found = await readChunkFolder(store, folder, signal)
  if (found.chunks.length === 0 && !isOwnersFence(found)) return
  const where = await published.find(ownerOf(folder))
  if (where === undefined || !(await published.holds(where, found))) return
  await removeChunks(store, found)
  if (isOwnersFence(found)) await store.delete(chunkKey(folder, 1))
}
