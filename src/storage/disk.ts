/**
 * The few file operations the vault makes on the way to durable, as a value: the real ones here, and in tests doubles that
 * accept half a write, refuse an fsync or forget what was not synced.
 */

import { constants } from 'node:fs'
import { link, mkdir, open, rename, stat, unlink, type FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'
import { systemCode } from '../core/errors.ts'

export interface DiskFile {
  /** Bytes taken, which may be fewer than given (a full disk takes part without an error). */
  write(bytes: Uint8Array, from: number, length: number): Promise<number>
  /** The same for several pieces in one call. */
  writev(pieces: readonly Uint8Array[]): Promise<number>
  datasync(): Promise<void>
  truncate(sizeBytes: number): Promise<void>
  close(): Promise<void>
}

export interface Disk {
  /** A new file; fails with EEXIST. */
  create(path: string): Promise<DiskFile>
  /** An existing file, for appending at its end. */
  append(path: string): Promise<DiskFile>
  link(path: string, newPath: string): Promise<void>
  /** Takes the place of what stands at the new name. */
  rename(path: string, newPath: string): Promise<void>
  unlink(path: string): Promise<void>
  /** Makes names in a folder survive power loss; `false` where the platform cannot. */
  syncFolder(path: string): Promise<boolean>
  /** With those above it. @returns the topmost one made; undefined when all were there */
  makeFolder(path: string): Promise<string | undefined>
}

/** What Windows and some network file systems answer to opening or syncing a folder. */
const cannotSyncFolders = new Set(['EPERM', 'EISDIR', 'EINVAL', 'EBADF', 'ENOTSUP', 'EOPNOTSUPP'])

const noFollow = constants.O_NOFOLLOW ?? 0

class RealFile implements DiskFile {
  readonly #handle: FileHandle

  constructor(handle: FileHandle) {
    this.#handle = handle
  }

  async write(bytes: Uint8Array, from: number, length: number): Promise<number> {
    return (await this.#handle.write(bytes, from, length)).bytesWritten
  }

  async writev(pieces: readonly Uint8Array[]): Promise<number> {
    return (await this.#handle.writev(pieces)).bytesWritten
  }

  async datasync(): Promise<void> {
    await this.#handle.datasync()
  }

  async truncate(sizeBytes: number): Promise<void> {
    await this.#handle.truncate(sizeBytes)
  }

  async close(): Promise<void> {
    await this.#handle.close()
  }
}

export const realDisk: Disk = {
  create: async (path) =>
    new RealFile(
      await open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | noFollow, 0o644),
    ),
  append: async (path) => new RealFile(await open(path, constants.O_WRONLY | constants.O_APPEND | noFollow)),
  link,
  rename,
  unlink,
  syncFolder: async (path) => {
    let folder: FileHandle | undefined
    try {
      folder = await open(path, constants.O_RDONLY)
      await folder.sync()
      return true
    } catch (error) {
      if (cannotSyncFolders.has(systemCode(error) ?? '')) return false
      throw error
    } finally {
      await folder?.close()
    }
  },
  makeFolder: makeFolders,
}

/**
 * Makes a folder and those above it. Not by `recursive: true`: where a folder stands and yet takes none (an automounter's, /proc)
 * Node 20 asks again for ever, without a pause.
 *
 * @returns the topmost folder made; undefined when all were there
 */
export async function makeFolders(path: string): Promise<string | undefined> {
  try {
    return await makeOne(path)
  } catch (error) {
    if (systemCode(error) !== 'ENOENT' || dirname(path) === path) throw error
  }
  const first = await makeFolders(dirname(path))
  const last = await makeOne(path)
  return first ?? last
}

async function makeOne(path: string): Promise<string | undefined> {
  try {
    await mkdir(path)
    return path
  } catch (error) {
    if (systemCode(error) === 'EEXIST' && (await stat(path)).isDirectory()) return undefined
    throw error
  }
}

/** Writes all of `bytes`: `write` may take a part and say so only in its result. */
export async function writeAll(
  file: DiskFile,
  bytes: Uint8Array,
  from = 0,
  until = bytes.length,
): Promise<void> {
  let at = from
  while (at < until) {
    const taken = await file.write(bytes, at, until - at)
    if (taken <= 0) throw Object.assign(new Error('the disk took no byte and gave no error'), { code: 'EIO' })
    at += taken
  }
}

/** Makes the names of `folder` and of the folders above it durable, up to and including its name's place in `above`. */
export async function syncNames(disk: Disk, folder: string, above: string): Promise<void> {
  for (let path = folder; path.length > above.length; path = dirname(path))
    if (!(await disk.syncFolder(dirname(path)))) return
}

/** What a system call takes at most (IOV_MAX). */
const piecesMax = 1024

/** Writes all pieces, in order, in as few calls as the disk allows: at full load each call waits a turn of a long event loop. */
export async function writeAllPieces(file: DiskFile, pieces: readonly Uint8Array[]): Promise<void> {
  for (let next = 0; next < pieces.length;) {
    const some = pieces.slice(next, next + piecesMax)
    let taken = await file.writev(some)
    for (const piece of some) {
      if (taken < piece.length) {
        await writeAll(file, piece, taken)
        taken = 0
        next++
        break
      }
      taken -= piece.length
      next++
    }
  }
}
