/**
 * Real files whose syncs are only remembered: at `loseParts` the machine forgets, by the draw of a seeded generator, bytes and names
 * that were not synced. Also refuses, shortens or cuts off operations on demand.
 */

import { link, readFile, rename, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { dirname, join, sep } from 'node:path'
import type { Random } from '../../src/core/clock.ts'
import { realDisk, type Disk, type DiskFile } from '../../src/storage/disk.ts'
import { CrashNow, type CrashKind } from '../storage/crashing-store.ts'

export type DiskStep =
  | 'create'
  | 'write'
  | 'datasync'
  | 'truncate'
  | 'link'
  | 'rename'
  | 'unlink'
  | 'syncFolder'

/** What power losses took, over all disks that count here: a test that met none has shown nothing. */
export class Losses {
  /** Files cut within what was not synced. */
  torn = 0
  /** Files whose unsynced end became zeros. */
  zeroed = 0
  /** Files of which nothing at all was kept, under a name that was. */
  emptied = 0
  /** Names that were not synced and are gone. */
  names = 0
  /** Folders of which that is true, with all that was in them. */
  folders = 0
  /** Removals and renamings that were not synced and did not happen. */
  undone = 0
}

interface Inode {
  path: string
  syncedBytes: number
  /** What a truncation that was not synced yet may bring back. */
  beforeCut: Buffer | null
}

/** Over all disks of a test file: several share a grave, one after the other. */
let graves = 0

export class ForgetfulDisk implements Disk {
  /** Throws to refuse a step. */
  refuse: (step: DiskStep, path: string) => void = () => undefined
  /** How long a write takes, after its bytes are there. */
  holdWrite: (path: string) => Promise<void> = () => Promise.resolve()
  /** How long a sync takes. */
  holdSync: (path: string) => Promise<void> = () => Promise.resolve()
  /** The most bytes one write takes. */
  writeBytesMax = Number.POSITIVE_INFINITY
  steps = 0
  readonly crashed: Promise<void>
  #crash: () => void = () => undefined
  readonly #crashAt: number
  readonly #kind: CrashKind
  readonly #grave: string
  readonly #inodes = new Map<string, Inode>()
  readonly #open = new Set<DiskFile>()
  readonly #newNames = new Set<string>()
  readonly #newFolders = new Set<string>()
  readonly #removed = new Map<string, { readonly grave: string; readonly inode: Inode | undefined }>()
  /** New name to old one. */
  readonly #renamed = new Map<string, string>()

  /** @param grave a folder on the same file system, outside the vault, for what is removed and not forgotten yet */
  constructor(grave: string, crashAt = Number.POSITIVE_INFINITY, kind: CrashKind = 'lost') {
    this.#grave = grave
    this.#crashAt = crashAt
    this.#kind = kind
    this.crashed = new Promise((resolve) => (this.#crash = resolve))
  }

  get isCrashed(): boolean {
    return this.steps >= this.#crashAt
  }

  create(path: string): Promise<DiskFile> {
    return this.#step('create', path, async () => {
      const file = await realDisk.create(path)
      const inode = { path, syncedBytes: 0, beforeCut: null }
      this.#inodes.set(path, inode)
      this.#newNames.add(path)
      return this.#file(file, inode, 0)
    })
  }

  async append(path: string): Promise<DiskFile> {
    if (this.isCrashed) throw new CrashNow()
    const file = await realDisk.append(path)
    return this.#file(file, await this.#inodeOf(path), await sizeOf(path))
  }

  link(path: string, newPath: string): Promise<void> {
    return this.#step('link', newPath, async () => {
      await link(path, newPath)
      this.#inodes.set(newPath, await this.#inodeOf(path))
      this.#newNames.add(newPath)
    })
  }

  rename(path: string, newPath: string): Promise<void> {
    return this.#step('rename', newPath, async () => {
      const inode = await this.#inodeOf(path)
      await rename(path, newPath)
      this.#inodes.delete(path)
      this.#inodes.set(newPath, inode)
      inode.path = newPath
      this.#newNames.delete(path)
      this.#renamed.set(newPath, path)
    })
  }

  unlink(path: string): Promise<void> {
    return this.#step('unlink', path, async () => {
      const grave = join(this.#grave, String(++graves))
      await link(path, grave)
      await rm(path)
      if (this.#newNames.delete(path)) this.#inodes.delete(path)
      else this.#removed.set(path, { grave, inode: this.#inodes.get(path) })
    })
  }

  syncFolder(path: string): Promise<boolean> {
    return this.#step('syncFolder', path, () => {
      for (const names of [this.#newNames, this.#newFolders])
        for (const name of names) if (dirname(name) === path) names.delete(name)
      for (const names of [this.#removed, this.#renamed])
        for (const name of names.keys()) if (dirname(name) === path) names.delete(name)
      return Promise.resolve(true)
    })
  }

  async makeFolder(path: string): Promise<string | undefined> {
    if (this.isCrashed) throw new CrashNow()
    const first = await realDisk.makeFolder(path)
    if (first !== undefined)
      for (let made = path; made.length >= first.length; made = dirname(made)) this.#newFolders.add(made)
    return first
  }

  /** What the end of a process does. */
  async closeFiles(): Promise<void> {
    for (const file of this.#open) await file.close()
    this.#open.clear()
  }

  /**
   * Power loss: what was synced stays; of the rest any part may be gone, or be zeros. Restores names whose removal was not synced.
   *
   * @param losses counts what was taken
   */
  async loseParts(random: Random, losses = new Losses()): Promise<void> {
    await this.closeFiles()
    for (const [path, { grave }] of this.#removed)
      if (random() < 0.5) {
        await link(grave, path).catch(ignoreMissingOrExisting)
        losses.undone++
      }
    for (const [newPath, path] of this.#renamed)
      if (random() < 0.5) {
        await rename(newPath, path).catch(ignoreMissingOrExisting)
        this.#inodes.set(path, this.#inodes.get(newPath)!)
        this.#inodes.delete(newPath)
        losses.undone++
      }
    for (const inode of new Set(this.#inodes.values())) await this.#loseBytes(inode, random, losses)
    for (const path of this.#newNames)
      if (random() < 0.5) {
        await rm(path, { force: true })
        losses.names++
      }
    for (const path of this.#newFolders)
      if (random() < 0.5) {
        await rm(path, { recursive: true, force: true })
        losses.folders++
      }
  }

  async #loseBytes(inode: Inode, random: Random, losses: Losses): Promise<void> {
    const found = await this.#contentOf(inode)
    if (found === null) return
    const { path, bytes } = found
    if (inode.beforeCut !== null && random() < 0.5) return writeFile(path, inode.beforeCut)
    if (bytes.length <= inode.syncedBytes) return
    // Often nothing is kept: a file system may write a name long before any of the bytes.
    const unsynced = bytes.length - inode.syncedBytes
    const keep = inode.syncedBytes + (random() < 0.2 ? 0 : Math.floor(random() * (unsynced + 1)))
    if (random() < 0.3) {
      losses.zeroed++
      return writeFile(path, bytes.fill(0, keep))
    }
    if (keep === 0) losses.emptied++
    else losses.torn++
    return truncate(path, keep)
  }

  /** By whichever of its names is left. */
  async #contentOf(inode: Inode): Promise<{ readonly path: string; readonly bytes: Buffer } | null> {
    const names = [...this.#inodes].filter(([, one]) => one === inode).map(([name]) => name)
    for (const path of [...names, inode.path]) {
      // Its first name may be that of a later file by now.
      if ((this.#inodes.get(path) ?? inode) !== inode) continue
      const bytes = await readFile(path).catch(() => null)
      if (bytes !== null) return { path, bytes }
    }
    return null
  }

  /** Of files that were there when this disk began: recovery's are durable, those in scratch were written by programs that sync nothing. */
  async #inodeOf(path: string): Promise<Inode> {
    const known = this.#inodes.get(path)
    if (known !== undefined) return known
    const syncedBytes = path.includes(`${sep}.mdv${sep}`) ? 0 : await sizeOf(path)
    const inode = { path, syncedBytes, beforeCut: null }
    this.#inodes.set(path, inode)
    return inode
  }

  #file(file: DiskFile, inode: Inode, sizeBytes: number): DiskFile {
    this.#open.add(file)
    const write = (bytes: Uint8Array, from: number, length: number): Promise<number> =>
      this.#step('write', inode.path, async () => {
        const taken = await file.write(bytes, from, length)
        sizeBytes += taken
        await this.holdWrite(inode.path)
        return taken
      })
    return {
      writev: async (pieces) => {
        // As one call: what it takes of the pieces is what a write of all of them would.
        const bytes = Buffer.concat(pieces)
        const taken = Math.min(bytes.length, this.writeBytesMax)
        return write(bytes, 0, taken)
      },
      write: (bytes, from, length) => {
        return write(bytes, from, Math.min(length, this.writeBytesMax))
      },
      datasync: async () => {
        // Of what is written while it works, it promises nothing.
        const covered = sizeBytes
        await this.holdSync(inode.path)
        return this.#step('datasync', inode.path, () => {
          inode.syncedBytes = covered
          inode.beforeCut = null
          return Promise.resolve()
        })
      },
      truncate: (newSizeBytes) =>
        this.#step('truncate', inode.path, async () => {
          inode.beforeCut = await readFile(inode.path)
          await file.truncate(newSizeBytes)
          sizeBytes = newSizeBytes
          inode.syncedBytes = Math.min(inode.syncedBytes, newSizeBytes)
        }),
      close: async () => {
        if (this.#open.delete(file)) await file.close()
      },
    }
  }

  async #step<T>(step: DiskStep, path: string, operation: () => Promise<T>): Promise<T> {
    if (this.isCrashed) throw new CrashNow()
    this.refuse(step, path)
    this.steps++
    if (!this.isCrashed) return operation()
    if (this.#kind === 'landed') await operation()
    this.#crash()
    throw new CrashNow()
  }
}

async function sizeOf(path: string): Promise<number> {
  return (await stat(path)).size
}

/** Something stands there again, or its folder is gone. */
function ignoreMissingOrExisting(error: unknown): void {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  if (code !== 'EEXIST' && code !== 'ENOENT') throw error
}
