/** Opens a vault that is expected to be there: a question asked of a mistyped folder must not make one. */

import { stat } from 'node:fs/promises'
import { systemCode, VaultError } from '../core/errors.ts'
import { openLocalStore, type OpenedLocalStore } from '../storage/local.ts'

/** @throws {VaultError} `preflight` when there is no such folder */
export async function openVault(baseDir: string): Promise<OpenedLocalStore> {
  try {
    await stat(baseDir)
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error
    throw new VaultError('preflight', `${baseDir}: there is no vault here`, {
      remedy: 'set storage.base_dir to where data is recorded, or record some: mdv ingest, mdv demo',
      cause: error,
    })
  }
  return openLocalStore(baseDir)
}
