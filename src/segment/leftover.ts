/** Files that no longer grow: sealed where they are whole, and where they refused a write or an fsync cut back to what was durable. */

import { dirname } from 'node:path'
import { systemCode } from '../core/errors.ts'
import { writeAll, type Disk } from '../storage/disk.ts'
import type { ActiveFile } from './active-file.ts'

export interface Leftover {
  readonly file: ActiveFile
  /** `whole`: every line in it is durable and its handle is good. `failed`: to be cut. `sealed`: synced, only not published yet. */
  state: 'whole' | 'failed' | 'sealed'
}

/**
 * Cuts at the end of the durable lines, writes their seal, syncs. A file in which no line was durable is removed.
 *
 * Crash before the cut is durable: the file still holds lines that a newer segment holds too; recovery cuts it before the
 * first n of that segment. Crash after: an ordinary sealed file under raw/active. A failed file without durable lines has the same
 * first n as the segment that replaced it: recovery keeps the later of the two.
 */
export async function sealDurablePart(disk: Disk, leftover: Leftover): Promise<void> {
  if (leftover.state === 'sealed') return
  if (leftover.state === 'whole') return sealWhole(leftover)
  if (leftover.file.durableLines === 0) return removeFile(disk, leftover.file.path)
  const seal = leftover.file.durableSeal()
  const file = await disk.append(leftover.file.path)
  try {
    await file.truncate(seal.bytes)
    await writeAll(file, Buffer.from(`${JSON.stringify({ seal: { ...seal, recovered: true } })}\n`))
    await file.datasync()
  } finally {
    await file.close()
  }
  leftover.state = 'sealed'
}

/** By its own handle, which is let go when it fails: the next attempt cuts and seals by another. */
async function sealWhole(leftover: Leftover): Promise<void> {
  try {
    await leftover.file.seal()
    leftover.state = 'sealed'
  } catch (error) {
    await leftover.file.abandon()
    leftover.state = 'failed'
    throw error
  }
}

async function removeFile(disk: Disk, path: string): Promise<void> {
  try {
    await disk.unlink(path)
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error
  }
  await disk.syncFolder(dirname(path))
}
