/** A file that refused a write or an fsync: cut back to what was durable, sealed, and so made an ordinary segment. */

import { dirname } from 'node:path'
import { systemCode } from '../core/errors.ts'
import { writeAll, type Disk } from '../storage/disk.ts'
import type { ActiveFile } from './active-file.ts'

export interface Suspect {
  readonly file: ActiveFile
  /** Sealed and synced, only not published yet. */
  isSealed: boolean
}

/**
 * Cuts at the end of the durable lines, writes their seal, syncs. A file in which no line was durable is removed.
 *
 * Crash before the cut is durable: the file still holds lines that a newer segment holds too; recovery cuts it before the
 * first n of that segment. Crash after: an ordinary sealed file under raw/active. A failed file without durable lines has the same
 * first n as the segment that replaced it: recovery keeps the later of the two.
 */
export async function sealDurablePart(disk: Disk, suspect: Suspect): Promise<void> {
  if (suspect.isSealed) return
  const { lines, seal } = suspect.file.durable
  if (lines === 0) return removeFile(disk, suspect.file.path)
  const file = await disk.append(suspect.file.path)
  try {
    await file.truncate(seal.bytes)
    await writeAll(file, Buffer.from(`${JSON.stringify({ seal: { ...seal, recovered: true } })}\n`))
    await file.datasync()
  } finally {
    await file.close()
  }
  suspect.isSealed = true
}

async function removeFile(disk: Disk, path: string): Promise<void> {
  try {
    await disk.unlink(path)
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error
  }
  await disk.syncFolder(dirname(path))
}
