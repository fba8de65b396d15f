/**
 * Real files whose syncs are only remembered: at `loseParts` the machine forgets, by the draw of a seeded generator, bytes and names
 * that were not synced. Also refuses, shortens or cuts off operations on demand.
 */

import { link, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Random } from '../../src/core/clock.ts'
import { realDisk, type Disk, type DiskFile } from '../../src/storage/disk.ts'
import { CrashNow, type CrashKind } from '../storage/crashing-store.ts'

export type DiskStep = 'create' | 'write' | 'datasync' | 'truncate' | 'link' | 'unlink' | 'syncFolder'

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
  readonly #removed = new Map<string, { readonly grave: string; readonly inode: Inode | undefined }>()

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
      return this.#file(file, inode)
    })
  }

  async append(path: string): Promise<DiskFile> {
    if (this.isCrashed) throw new CrashNow()
    const file = await realDisk.append(path)
    const known = this.#inodes.get(path)
    const inode = known ?? { path, syncedBytes: (await stat(path)).size, beforeCut: null }
    this.#inodes.set(path, inode)
    return this.#file(file, inode)
  }

  link(path: string, newPath: string): Promise<void> {
    return this.#step('link', newPath, async () => {
      await link(path, newPath)
      const inode = this.#inodes.get(path)
      if (inode !== undefined) this.#inodes.set(newPath, inode)
      this.#newNames.add(newPath)
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
      for (const name of this.#newNames) if (dirname(name) === path) this.#newNames.delete(name)
      for (const name of this.#removed.keys()) if (dirname(name) === path) this.#removed.delete(name)
      return Promise.resolve(true)
    })
  }

  async makeFolder(path: string): Promise<void> {
    if (this.isCrashed) throw new CrashNow()
    await realDisk.makeFolder(path)
  }

  /** What the end of a process does. */
  async closeFiles(): Promise<void> {
    for (const file of this.#open) await file.close()
    this.#open.clear()
  }

  /** Power loss: what was synced stays; of the rest any part may be gone, or be zeros. Restores names whose removal was not synced. */
  async loseParts(random: Random): Promise<void> {
    await this.closeFiles()
    for (const [path, { grave }] of this.#removed) {
      if (random() < 0.5) await link(grave, path).catch(ignoreExisting)
    }
    for (const inode of new Set(this.#inodes.values())) await this.#loseBytes(inode, random)
    for (const path of this.#newNames) if (random() < 0.5) await rm(path, { force: true })
  }

  async #loseBytes(inode: Inode, random: Random): Promise<void> {
    const path = [...this.#inodes].find(([, one]) => one === inode)?.[0] ?? inode.path
    const bytes = await readFile(path).catch(() => null)
    if (bytes === null) return
    if (inode.beforeCut !== null && random() < 0.5) return writeFile(path, inode.beforeCut)
    if (bytes.length <= inode.syncedBytes) return
    const keep = inode.syncedBytes + Math.floor(random() * (bytes.length - inode.syncedBytes + 1))
    if (random() < 0.3) return writeFile(path, bytes.fill(0, keep))
    return truncate(path, keep)
  }

  #file(file: DiskFile, inode: Inode): DiskFile {
    this.#open.add(file)
    return {
      writev: async (pieces) => {
        // As one call: what it takes of the pieces is what a write of all of them would.
        const bytes = Buffer.concat(pieces)
        const taken = Math.min(bytes.length, this.writeBytesMax)
        return this.#step('write', inode.path, () => file.write(bytes, 0, taken))
      },
      write: (bytes, from, length) => {
        const taken = Math.min(length, this.writeBytesMax)
        return this.#step('write', inode.path, () => file.write(bytes, from, taken))
      },
      datasync: () =>
        this.#step('datasync', inode.path, async () => {
          inode.syncedBytes = await sizeOf(inode.path)
          inode.beforeCut = null
        }),
      truncate: (sizeBytes) =>
        this.#step('truncate', inode.path, async () => {
          inode.beforeCut = await readFile(inode.path)
          await file.truncate(sizeBytes)
          inode.syncedBytes = Math.min(inode.syncedBytes, sizeBytes)
        }),
      close: async () => {
        this.#open.delete(file)
        await file.close()
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

function ignoreExisting(error: unknown): void {
  if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
}
