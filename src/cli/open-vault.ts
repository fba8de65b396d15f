/** The vault of a configuration as one store, whichever places its layers lie in. */

import { stat } from 'node:fs/promises'
import { systemCode, VaultError } from '../core/errors.ts'
import { emptyStore } from '../storage/empty-store.ts'
import { LayeredStore } from '../storage/layered.ts'
import { openStore, type Access, type OpenedStore, type StoreDeps } from '../storage/open.ts'
import { isSamePlace, placeName, type Place } from '../storage/place.ts'
import type { CommandContext } from './command.ts'
import type { StorageConfig } from './config.ts'

/** What has begun may take so long to end once a stop was asked for; a bucket that does not answer holds it up no longer. */
const stopGraceMs = 30_000

/** @param graceMs 0: a stop aborts at once what is under way */
export function storeDeps(
  context: CommandContext,
  storage: Pick<StorageConfig, 'cache_dir'>,
  graceMs = stopGraceMs,
): StoreDeps {
  const { clock, random, env, signal } = context
  return { clock, random, env, cacheDir: storage.cache_dir, stop: { signal, graceMs } }
}

/**
 * Opens raw/ and processed/. A question asked of a mistyped folder must not make one.
 *
 * @param make true: a local folder that is not there yet is made
 * @throws {VaultError} `preflight` when there is no such folder or bucket
 */
export async function openVault(
  context: CommandContext,
  storage: StorageConfig,
  access: Access,
  make = false,
): Promise<OpenedStore> {
  const { raw, processed } = storage
  const deps = storeDeps(context, storage, access === 'read' ? 0 : stopGraceMs)
  if (!make) await refuseMissing(raw)
  if (isSamePlace(raw, processed)) return openStore(processed, access, deps)
  // Segments come first: the folder of their Parquet is there once some were converted.
  const isYetToCome = access === 'read' && !(await isThere(processed))
  const segments = await openStore(raw, access, deps)
  const parquet = isYetToCome
    ? Object.assign(
        emptyStore(placeName(processed), (name) => segments.scratch(name)),
        { notes: [] },
      )
    : await openStore(processed, access, deps)
  return Object.assign(new LayeredStore(segments, parquet), { notes: [...segments.notes, ...parquet.notes] })
}

/** @throws {VaultError} `preflight` when a local place is not there */
export async function refuseMissing(place: Place): Promise<void> {
  if (!(await isThere(place))) throw noVault(place)
}

/** A bucket answers for itself when it is opened. */
async function isThere(place: Place): Promise<boolean> {
  if (place.backend !== 'local') return true
  try {
    await stat(place.baseDir)
    return true
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error
    return false
  }
}

function noVault(place: Place): VaultError {
  return new VaultError('preflight', `${placeName(place)}: there is no vault here`, {
    remedy: 'set storage.base_dir to where data is recorded, or record some: mdv ingest, mdv demo',
  })
}
