/** What the file system under a folder can do, tried there. */

import { randomUUID } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { systemCode } from '../core/errors.ts'
import type { Disk } from './disk.ts'

export interface Abilities {
  readonly links: boolean
  readonly folderSync: boolean
}

/** Tries a link and a folder sync in the folder itself: what a file system can do is not in its name. */
export async function probe(folder: string, disk: Disk): Promise<Abilities> {
  const path = join(folder, `probe-${randomUUID()}`)
  const file = await disk.create(path)
  await file.close()
  const links = await succeeds(
    () => disk.link(path, `${path}-link`),
    ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EISDIR', 'EMLINK'],
  )
  const folderSync = await disk.syncFolder(folder)
  await rm(path, { force: true })
  await rm(`${path}-link`, { force: true })
  return { links, folderSync }
}

async function succeeds(attempt: () => Promise<void>, refusals: readonly string[]): Promise<boolean> {
  try {
    await attempt()
    return true
  } catch (error) {
    if (refusals.includes(systemCode(error) ?? '')) return false
    throw error
  }
}
