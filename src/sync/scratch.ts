/** A folder for unfinished copies, of this process alone; what killed ones left is removed. */

import { randomUUID } from 'node:crypto'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { systemCode } from '../core/errors.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import { isProvablyDead, thisProcess, type ProcessIdentity } from '../storage/process-identity.ts'

const ownerFile = 'owner.json'

export interface Scratch {
  /** A path nobody uses. */
  newPath(): string
  remove(): Promise<void>
}

/** Made at the first need: a sync of small objects leaves no trace. */
export class LazyScratch {
  readonly #opened = new Map<ObjectStore, Promise<Scratch>>()

  of(store: ObjectStore): Promise<Scratch> {
    let scratch = this.#opened.get(store)
    if (scratch === undefined) this.#opened.set(store, (scratch = openScratch(store)))
    return scratch
  }

  async remove(): Promise<void> {
    for (const opening of this.#opened.values()) await (await opening).remove()
    this.#opened.clear()
  }
}

async function openScratch(store: ObjectStore): Promise<Scratch> {
  const parent = await store.scratch('sync')
  await removeAbandoned(parent)
  const folder = join(parent, randomUUID())
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, ownerFile), JSON.stringify(await thisProcess()))
  let made = 0
  return {
    newPath: () => join(folder, String(++made)),
    remove: () => rm(folder, { recursive: true, force: true }),
  }
}

async function removeAbandoned(parent: string): Promise<void> {
  for (const name of await readdir(parent)) {
    const folder = join(parent, name)
    const owner = await readOwner(folder)
    if (owner !== undefined && (await isProvablyDead(owner)))
      await rm(folder, { recursive: true, force: true })
  }
}

/** undefined: it is being made, or being removed. */
async function readOwner(folder: string): Promise<ProcessIdentity | undefined> {
  try {
    return JSON.parse(await readFile(join(folder, ownerFile), 'utf8')) as ProcessIdentity
  } catch (error) {
    if (error instanceof SyntaxError || ['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? ''))
      return undefined
    throw error
  }
}
