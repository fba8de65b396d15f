/**
 * An object store in a folder. Put-if-absent is: write a temporary file, fsync it, link it to its name, remove the temporary
 * name, fsync the folder. Where the file system has no hard links, an exclusive lock file and a rename stand in for the link.
 */

import { randomUUID } from 'node:crypto'
import { constants } from 'node:fs'
import { copyFile, lstat, open, readdir, rm } from 'node:fs/promises'
import { dirname, join, resolve, sep } from 'node:path'
import { systemCode, VaultError } from '../core/errors.ts'
import { makeFolders, realDisk, syncNames, writeAll, type Disk } from './disk.ts'
import { probe, type Abilities } from './local-abilities.ts'
import { explain } from './local-failure.ts'
import { entriesOrNone, isSameFile, openOrNothing, refuseLink, statOrNothing } from './local-look.ts'
import {
  recordBytesMax,
  tooLarge,
  type LocalObjectStore,
  type ObjectInfo,
  type PutOutcome,
} from './object-store.ts'

/** Ours, beside the objects: temporary files and scratch. Listings never show it. */
const ownFolder = '.mdv'
const chunkBytes = 4 * 1024 * 1024
/** Files of a listing whose size and time are asked for side by side. */
const looksAtOnce = 128
const listBatch = 1000
/** Far longer than any put takes. */
const forgottenAfterMs = 24 * 60 * 60 * 1000

/** A local store and what its file system cannot do, said aloud by whoever opens it. */
export interface OpenedLocalStore extends LocalObjectStore {
  readonly notes: readonly string[]
}

/**
 * Opens the folder, making it when absent, and tries what the vault needs of it.
 *
 * @throws {VaultError} `preflight`: a file stands in the way, the folder cannot be made or written
 */
export async function openLocalStore(baseDir: string, disk: Disk = realDisk): Promise<OpenedLocalStore> {
  const location = resolve(baseDir)
  try {
    const temporaries = join(location, ownFolder, 'tmp')
    // Before anything is made in there, or removed for its age.
    for (const folder of [temporaries, dirname(temporaries)]) await refuseLink(folder)
    const first = await disk.makeFolder(temporaries)
    if (first !== undefined) await syncNames(disk, temporaries, dirname(first))
    const abilities = await probe(temporaries, disk)
    await removeForgotten(temporaries)
    return new LocalStore(location, disk, abilities)
  } catch (error) {
    throw explain(error, location, 'open')
  }
}

/** What crashed writers left: files a day older than the newest, by the file system's own clock. */
async function removeForgotten(folder: string): Promise<void> {
  const files: { path: string; modifiedMs: number }[] = []
  for (const name of await readdir(folder)) {
    const path = join(folder, name)
    const stat = await statOrNothing(path)
    if (stat?.isFile() === true) files.push({ path, modifiedMs: stat.mtimeMs })
  }
  const newestMs = (await lstat(folder)).mtimeMs
  for (const file of files)
    if (newestMs - file.modifiedMs > forgottenAfterMs) await rm(file.path, { force: true })
}

/** A vault gains folders each day, for every product and table: more are not kept in mind, but looked at again. */
const rememberedMax = 20_000

function remember(folders: Set<string>, path: string): void {
  if (folders.size >= rememberedMax) folders.clear()
  folders.add(path)
}

class LocalStore implements OpenedLocalStore {
  readonly location: string
  readonly notes: readonly string[]
  readonly #disk: Disk
  readonly #abilities: Abilities
  /** Folders whose names are known to be durable, by path. */
  readonly #named = new Set<string>()
  /** Folders that were looked at and are none of them links. */
  readonly #plain = new Set<string>()
  /** The put before this one, where only one may run at a time. */
  #turn: Promise<unknown> = Promise.resolve()

  constructor(location: string, disk: Disk, abilities: Abilities) {
    this.location = location
    this.#disk = disk
    this.#abilities = abilities
    const notes: string[] = []
    if (!abilities.links)
      notes.push(`${location}: no hard links here; one writer at a time only, by lock file and rename`)
    if (!abilities.folderSync)
      notes.push(`${location}: folders cannot be fsynced here; a power loss may forget the newest names`)
    this.notes = notes
  }

  pathOf(key: string): string {
    checkKey(key)
    return join(this.location, ...key.split('/'))
  }

  fileOf(key: string): string {
    return this.pathOf(key)
  }

  async putIfAbsent(key: string, body: Uint8Array): Promise<PutOutcome> {
    const path = this.pathOf(key)
    return this.#explained(key, async () => {
      // Random, not the PID: two containers that share the folder may both be process 7.
      const temporary = join(this.location, ownFolder, 'tmp', `put-${randomUUID()}`)
      const file = await this.#disk.create(temporary)
      try {
        await writeAll(file, body)
        await file.datasync()
      } catch (error) {
        // On a full disk, attempts must not take what little is left.
        await rm(temporary, { force: true })
        throw error
      } finally {
        await file.close()
      }
      try {
        return await this.#publish(temporary, path, true)
      } catch (error) {
        // Nobody knows its name any more; where it cannot go now, it goes with those a day old.
        await this.#disk.unlink(temporary).catch(() => undefined)
        throw error
      }
    })
  }

  async publishFile(source: string, key: string): Promise<PutOutcome> {
    const path = this.pathOf(key)
    return this.#explained(key, async () => {
      const file = await this.#disk.append(source)
      try {
        await file.datasync()
      } finally {
        await file.close()
      }
      try {
        return await this.#publish(source, path, false)
      } catch (error) {
        if (systemCode(error) !== 'EXDEV') throw error
        return this.#publishCopy(source, path)
      }
    })
  }

  /** From another file system nothing can be linked. Crash before the last step: the next attempt answers `exists`, with the same bytes. */
  async #publishCopy(source: string, path: string): Promise<PutOutcome> {
    const temporary = join(this.location, ownFolder, 'tmp', `put-${randomUUID()}`)
    await copyFile(source, temporary, constants.COPYFILE_EXCL)
    const file = await this.#disk.append(temporary)
    try {
      await file.datasync()
    } finally {
      await file.close()
    }
    const outcome = await this.#publish(temporary, path, true)
    if (outcome === 'created') await this.#disk.unlink(source)
    return outcome
  }

  /** Gives a synced file its name if nobody has it. `discard`: remove the file also when the name is taken. */
  async #publish(source: string, path: string, discard: boolean): Promise<PutOutcome> {
    await this.#makeFolder(dirname(path))
    const outcome = await (this.#abilities.links
      ? this.#link(source, path)
      : this.#inTurn(() => this.#lockAndRename(source, path)))
    // Also on `exists`: whoever made the name may have died before syncing it, and we are about to rely on it.
    await this.#syncFolder(dirname(path))
    // Crash or refusal before here: the file has both names, and the next attempt finds that they are one file.
    if (outcome === 'exists' ? discard : this.#abilities.links) await this.#disk.unlink(source)
    return outcome
  }

  async #link(source: string, path: string): Promise<PutOutcome> {
    try {
      await this.#disk.link(source, path)
      return 'created'
    } catch (error) {
      if (systemCode(error) !== 'EEXIST') throw error
      return (await isSameFile(source, path)) ? 'created' : 'exists'
    }
  }

  #inTurn<T>(operation: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(operation, operation)
    this.#turn = turn
    return turn
  }

  async #lockAndRename(source: string, path: string): Promise<PutOutcome> {
    const lock = join(this.location, ownFolder, 'put.lock')
    const handle = await open(lock, 'wx').catch((error: unknown) => {
      throw new VaultError('held', `${lock} is held by another writer`, {
        cause: error,
        remedy: 'this file system has no hard links and allows one writer; if none runs, remove that file',
      })
    })
    try {
      if ((await statOrNothing(path)) !== undefined) return 'exists'
      await this.#disk.rename(source, path)
      return 'created'
    } finally {
      await handle.close()
      await rm(lock, { force: true })
    }
  }

  async get(key: string, bytesMax = recordBytesMax): Promise<Buffer | undefined> {
    const path = this.pathOf(key)
    return this.#explained(key, async () => {
      await this.#refuseLinks(dirname(path))
      const handle = await openOrNothing(path)
      if (handle === undefined) return undefined
      try {
        const { size } = await handle.stat()
        if (size > bytesMax) throw tooLarge(path, size, bytesMax)
        return await handle.readFile()
      } finally {
        await handle.close()
      }
    })
  }

  async head(key: string): Promise<ObjectInfo | undefined> {
    const path = this.pathOf(key)
    return this.#explained(key, async () => {
      await this.#refuseLinks(dirname(path))
      const stat = await statOrNothing(path)
      return stat?.isFile() === true ? { key, sizeBytes: stat.size, modifiedMs: stat.mtimeMs } : undefined
    })
  }

  async *read(key: string, from: number, until: number, signal: AbortSignal): AsyncGenerator<Buffer> {
    const path = this.pathOf(key)
    const handle = await this.#explained(key, async () => {
      await this.#refuseLinks(dirname(path))
      return openOrNothing(path)
    })
    if (handle === undefined)
      throw new VaultError('invalid', `${this.location}/${key}: there is no such object`)
    try {
      for (let at = from; at < until;) {
        signal.throwIfAborted()
        const chunk = Buffer.allocUnsafe(Math.min(chunkBytes, until - at))
        const { bytesRead } = await this.#explained(key, () => handle.read(chunk, 0, chunk.length, at))
        if (bytesRead === 0) return
        yield chunk.subarray(0, bytesRead)
        at += bytesRead
      }
    } finally {
      await handle.close()
    }
  }

  async *list(prefix: string, signal: AbortSignal): AsyncGenerator<readonly ObjectInfo[]> {
    const folder = prefix.slice(0, prefix.lastIndexOf('/') + 1)
    if (folder !== '') await this.#refuseLinks(this.pathOf(folder.slice(0, -1)))
    let batch: ObjectInfo[] = []
    for await (const info of this.#walk(folder, prefix, signal)) {
      batch.push(info)
      if (batch.length < listBatch) continue
      yield batch
      batch = []
    }
    if (batch.length > 0) yield batch
  }

  /** Keys in ascending order: a folder sorts as its name with the slash that follows it. */
  async *#walk(folder: string, prefix: string, signal: AbortSignal): AsyncGenerator<ObjectInfo> {
    signal.throwIfAborted()
    const path = folder === '' ? this.location : join(this.location, ...folder.split('/'))
    const entries = await this.#explained(folder, () => entriesOrNone(path))
    const names = entries
      .filter(
        (entry) => (entry.isDirectory() || entry.isFile()) && !(folder === '' && entry.name === ownFolder),
      )
      .map((entry) => (entry.isDirectory() ? `${entry.name}/` : entry.name))
      .sort((a, b) => (a < b ? -1 : 1))
    let files: string[] = []
    for (const name of names) {
      const key = folder + name
      const isFolder = name.endsWith('/')
      if (!isFolder && key.startsWith(prefix)) files.push(key)
      if (!isFolder && files.length < looksAtOnce) continue
      yield* await this.#look(files)
      files = []
      if (isFolder && (key.startsWith(prefix) || prefix.startsWith(key)))
        yield* this.#walk(key, prefix, signal)
    }
    yield* await this.#look(files)
  }

  /** Gone between listing and looking: as if listed a moment later. */
  async #look(keys: readonly string[]): Promise<ObjectInfo[]> {
    const found = await Promise.all(
      keys.map((key) =>
        this.#explained(key, async () => {
          const stat = await statOrNothing(join(this.location, ...key.split('/')))
          return stat === undefined ? [] : [{ key, sizeBytes: stat.size, modifiedMs: stat.mtimeMs }]
        }),
      ),
    )
    return found.flat()
  }

  async delete(key: string): Promise<boolean> {
    const path = this.pathOf(key)
    return this.#explained(key, async () => {
      await this.#refuseLinks(dirname(path))
      try {
        await this.#disk.unlink(path)
      } catch (error) {
        if (systemCode(error) === 'ENOENT' || systemCode(error) === 'ENOTDIR') return false
        throw error
      }
      await this.#syncFolder(dirname(path))
      return true
    })
  }

  async scratch(name: string): Promise<string> {
    checkKey(name)
    const path = join(this.location, ownFolder, 'scratch', name)
    await this.#explained(name, async () => {
      // What dead users left in it is removed by whoever asks.
      await this.#refuseLinks(path)
      await makeFolders(path)
    })
    return path
  }

  /**
   * Makes a folder and sees to it that its name, and those of the folders above it, are durable. Once for each folder also when it
   * was there already: whoever made it may have died before syncing.
   */
  async #makeFolder(path: string): Promise<void> {
    await this.#refuseLinks(path)
    const first = await this.#disk.makeFolder(path)
    if (first === undefined && this.#named.has(path)) return
    if (this.#abilities.folderSync) await syncNames(this.#disk, path, this.location)
    remember(this.#named, path)
  }

  /** A link planted inside would carry objects out of the vault. The base folder itself may be one. */
  async #refuseLinks(path: string): Promise<void> {
    const looked: string[] = []
    for (let folder = path; folder.length > this.location.length; folder = dirname(folder)) {
      if (this.#plain.has(folder)) return
      if ((await refuseLink(folder))?.isDirectory() === true) looked.push(folder)
    }
    for (const folder of looked) remember(this.#plain, folder)
  }

  async #syncFolder(path: string): Promise<void> {
    if (this.#abilities.folderSync) await this.#disk.syncFolder(path)
  }

  async #explained<T>(key: string, operation: () => Promise<T>): Promise<T> {
    try {
      return await operation()
    } catch (error) {
      throw explain(error, `${this.location}${sep}${key}`, 'use')
    }
  }
}

/** Keys come from our own functions; a foreign one must not leave the folder. */
function checkKey(key: string): void {
  const parts = key.split('/')
  const bad = parts[0] === ownFolder || parts.some((part) => part === '' || part === '.' || part === '..')
  // eslint-disable-next-line no-control-regex
  if (bad || /[\\\u0000-\u001f]/.test(key))
    throw new VaultError('invalid', `not a key: ${JSON.stringify(key)}`)
}
