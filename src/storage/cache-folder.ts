/**
 * A bounded folder of copies on this machine, shared by any number of processes. A copy is written beside and renamed into place, so that it is
 * whole or not there; room is made by removing what was used longest ago, except what a running process holds. Nothing in it is ever needed.
 */

import { mkdir, readdir, readFile, rename, rm, rmdir, stat, utimes, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { formatBytes } from '../core/bytes.ts'
import type { Clock, Random } from '../core/clock.ts'
import { systemCode, VaultError } from '../core/errors.ts'
import { isProvablyDead, thisProcess, type ProcessIdentity } from './process-identity.ts'

export interface CacheSettings {
  /** Absolute; made on demand. */
  readonly dir: string
  readonly maxBytes: number
  readonly clock: Clock
  readonly random: Random
}

/** A copy that someone wants to have or has. `name`: path below the folder, with `/`. */
export interface CopyName {
  readonly name: string
  readonly sizeBytes: number
}

/** A folder of its own in the cache for as long as one user works, and what it wants not to be removed meanwhile. */
export interface Hold extends AsyncDisposable {
  /** Absolute: for unfinished copies, and for those that are not to be kept. */
  readonly folder: string
}

interface Owner {
  readonly identity: ProcessIdentity
  readonly held: readonly CopyName[]
}

const removedAtOnce = 20
const ownerName = 'owner.json'
/** An owner whose death cannot be proved (of another machine, or without a note) is believed in for so long. */
const believedMs = 24 * 3_600_000

export class CacheFolder {
  readonly dir: string
  readonly maxBytes: number
  readonly #clock: Clock
  readonly #random: Random

  constructor({ dir, maxBytes, clock, random }: CacheSettings) {
    this.dir = dir
    this.maxBytes = maxBytes
    this.#clock = clock
    this.#random = random
  }

  pathOf(name: string): string {
    return join(this.dir, ...name.split('/'))
  }

  /** Twelve characters nobody else has. */
  token(): string {
    return Array.from({ length: 12 }, () => Math.floor(this.#random() * 36).toString(36)).join('')
  }

  /**
   * Until it is disposed of, or this process is dead, none of `held` is removed to make room.
   *
   * @param token nobody else's: the name of the user's folder
   */
  async hold(token: string, held: readonly CopyName[]): Promise<Hold> {
    const folder = join(this.#usersDir, token)
    await mkdir(folder, { recursive: true, mode: 0o700 })
    const owner: Owner = { identity: await thisProcess(), held }
    await writeFile(join(folder, 'owner.new'), JSON.stringify(owner))
    await rename(join(folder, 'owner.new'), join(folder, ownerName))
    return { folder, [Symbol.asyncDispose]: () => removeFolder(folder) }
  }

  /** Whether a copy of just that size is here; it then counts as used now. */
  async use({ name, sizeBytes }: CopyName): Promise<boolean> {
    try {
      if ((await stat(this.pathOf(name))).size !== sizeBytes) return false
      await this.touch(name)
      return true
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return false
      throw error
    }
  }

  async touch(name: string): Promise<void> {
    const now = new Date(this.#clock.nowMs())
    await utimes(this.pathOf(name), now, now)
  }

  /** Whether a copy was last used (or at least last counted as used) so long ago. */
  isUnused(usedMs: number, forMs: number): boolean {
    return this.#clock.nowMs() - usedMs > forMs
  }

  /** Puts a finished file in its place. Another process may have put the same there: either will do. */
  async keep(path: string, copy: CopyName): Promise<void> {
    const target = this.pathOf(copy.name)
    for (let triesLeft = 3; ; triesLeft--) {
      await mkdir(dirname(target), { recursive: true, mode: 0o700 })
      try {
        await rename(path, target)
        return await this.touch(copy.name)
      } catch (error) {
        // Windows replaces no file that is open; elsewhere another process, making room, took the folder away.
        if (await this.use(copy)) return await rm(path, { force: true })
        if (systemCode(error) !== 'ENOENT' || triesLeft === 0) throw error
      }
    }
  }

  /**
   * Removes copies until all that is held fits, and what dead users left. A copy that comes into use in the very moment it is removed is gone:
   * its user fetches it again.
   *
   * @throws {VaultError} `preflight` when everything else is in use
   */
  async makeRoom(): Promise<void> {
    const held = await this.#heldByAll()
    const copies = await this.#copies()
    const there = new Set(copies.map((copy) => copy.name))
    const awaited = [...held].filter(([name]) => !there.has(name))
    let bytes = sum(copies.map((copy) => copy.sizeBytes)) + sum(awaited.map(([, sizeBytes]) => sizeBytes))
    const free = copies.filter((copy) => !held.has(copy.name)).sort((a, b) => a.usedMs - b.usedMs)
    while (bytes > this.maxBytes && free.length > 0) {
      // To look through the folder took a while: what someone began to use meanwhile stays.
      const heldNow = await this.#heldByAll()
      for (const copy of free.splice(0, removedAtOnce)) {
        if (bytes <= this.maxBytes || heldNow.has(copy.name)) continue
        await this.#remove(copy.name)
        bytes -= copy.sizeBytes
      }
    }
    if (bytes > this.maxBytes) throw this.#full(bytes)
  }

  /** @throws {VaultError} `preflight` when so much can never fit */
  refuseBeyond(bytes: number): void {
    if (bytes > this.maxBytes) throw this.#full(bytes)
  }

  #full(bytes: number): VaultError {
    const words = `${formatBytes(bytes)} would have to be here at once, storage.cache_max_gb allows ${formatBytes(this.maxBytes)}`
    return new VaultError('preflight', `${this.dir}: ${words}`, {
      remedy: 'ask for less (name product_id and date), or set storage.cache_max_gb higher',
    })
  }

  get #usersDir(): string {
    return join(this.dir, 'users')
  }

  /** What live users hold, by name, with sizes; folders of dead ones are removed. */
  async #heldByAll(): Promise<Map<string, number>> {
    const held = new Map<string, number>()
    for (const user of await namesIn(this.#usersDir)) {
      const folder = join(this.#usersDir, user)
      const owner = await readOwner(folder)
      if (await this.#isGone(folder, owner)) await removeFolder(folder)
      else for (const { name, sizeBytes } of owner?.held ?? []) held.set(name, sizeBytes)
    }
    return held
  }

  async #isGone(folder: string, owner: Owner | undefined): Promise<boolean> {
    if (owner !== undefined && (await isProvablyDead(owner.identity))) return true
    try {
      return this.isUnused((await stat(folder)).mtimeMs, believedMs)
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return true
      throw error
    }
  }

  async #copies(): Promise<(CopyName & { readonly usedMs: number })[]> {
    const copies: (CopyName & { readonly usedMs: number })[] = []
    for (const place of await namesIn(this.dir)) {
      if (place === 'users') continue
      await collectFiles(this.pathOf(place), place, copies)
    }
    return copies
  }

  /** The folders above it go with their last copy. On Windows a file that is open stays: it is in use. */
  async #remove(name: string): Promise<void> {
    try {
      await rm(this.pathOf(name), { force: true })
      for (let above = dirname(this.pathOf(name)); above.length > this.dir.length; above = dirname(above))
        await rmdir(above)
    } catch (error) {
      if (systemCode(error) === undefined) throw error
    }
  }
}

/** Tried again for Windows, where a file just closed may still be held. */
function removeFolder(folder: string): Promise<void> {
  return rm(folder, { recursive: true, force: true, maxRetries: 3 })
}

async function collectFiles(
  folder: string,
  name: string,
  into: (CopyName & { readonly usedMs: number })[],
): Promise<void> {
  for (const entry of await entriesIn(folder)) {
    const path = join(folder, entry.name)
    const inner = `${name}/${entry.name}`
    if (entry.isDirectory()) await collectFiles(path, inner, into)
    else {
      const info = await stat(path).catch(gone)
      if (info !== undefined) into.push({ name: inner, sizeBytes: info.size, usedMs: info.mtimeMs })
    }
  }
}

async function entriesIn(folder: string): Promise<{ readonly name: string; isDirectory(): boolean }[]> {
  return (await readdir(folder, { withFileTypes: true }).catch(gone)) ?? []
}

async function namesIn(folder: string): Promise<string[]> {
  return (await readdir(folder).catch(gone)) ?? []
}

async function readOwner(folder: string): Promise<Owner | undefined> {
  const text = await readFile(join(folder, ownerName), 'utf8').catch(gone)
  if (text === undefined) return undefined
  try {
    return JSON.parse(text) as Owner
  } catch {
    return undefined // cut by a crash: believed in until it is old
  }
}

/** Another process removed it: for a cache that is the same as never having been there. */
function gone(error: unknown): undefined {
  if (systemCode(error) === 'ENOENT') return undefined
  throw error
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, each) => total + each, 0)
}
