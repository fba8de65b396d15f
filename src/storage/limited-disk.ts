/** A disk that refuses new bytes while a folder holds more than it may: as a full one, but for one folder. */

import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { formatBytes } from '../core/bytes.ts'
import type { Clock } from '../core/clock.ts'
import { systemCode, VaultError } from '../core/errors.ts'
import type { Disk, DiskFile } from './disk.ts'

export interface Limit {
  readonly folder: string
  readonly bytesMax: number
  /** What to change to let it hold more. */
  readonly setting: string
}

/** Fast enough: a second of the heaviest feed is some 100 MB. */
const lookEveryMs = 1000

/** Looks at the folder now and then; between two looks it may grow past its limit by what comes meanwhile. */
export function limitedDisk(disk: Disk, clock: Clock, limit: Limit): Disk {
  let heldBytes = 0
  const look = async (): Promise<void> => {
    heldBytes = (await folderBytes(limit.folder)) ?? heldBytes
    clock.after(lookEveryMs, () => void look())
  }
  void look()
  const refuseWhenFull = (): void => {
    if (heldBytes <= limit.bytesMax) return
    const { folder, bytesMax, setting } = limit
    throw new VaultError(
      'unavailable',
      `${folder} holds ${formatBytes(heldBytes)}, more than ${setting} allows (${formatBytes(bytesMax)}): new frames are dropped, and a gap is recorded`,
      { remedy: `bring the bucket back, or raise ${setting}; recording goes on by itself` },
    )
  }
  const limited = (file: DiskFile): DiskFile => ({
    write: async (bytes, from, length) => {
      refuseWhenFull()
      return file.write(bytes, from, length)
    },
    writev: async (pieces) => {
      refuseWhenFull()
      return file.writev(pieces)
    },
    datasync: () => file.datasync(),
    truncate: (sizeBytes) => file.truncate(sizeBytes),
    close: () => file.close(),
  })
  return {
    ...disk,
    create: async (path) => {
      refuseWhenFull()
      return limited(await disk.create(path))
    },
    // What ends a file that is there already: seals are needed to make room.
    append: (path) => disk.append(path),
  }
}

/** @returns undefined: something went while it was looked at */
async function folderBytes(folder: string): Promise<number | undefined> {
  let total = 0
  try {
    for (const name of await readdir(folder, { recursive: true }))
      total += (await stat(join(folder, name))).size
    return total
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined
    throw error
  }
}
