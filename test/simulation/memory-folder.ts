/** A folder in memory, as a disk and as a store: a year of segments is opened, sealed and published in it within seconds. */

import { dirname } from 'node:path'
import type { Disk, DiskFile } from '../../src/storage/disk.ts'
import type { LocalObjectStore, ObjectInfo, ObjectStore, PutOutcome } from '../../src/storage/object-store.ts'

const root = '/memory'

export class MemoryFolder {
  /** By folder, then by name, so that a listing costs what its folder holds. */
  readonly #folders = new Map<string, Map<string, Buffer>>()
  readonly disk: Disk = {
    create: async (path) => {
      if (this.#read(path) !== undefined)
        throw Object.assign(new Error(`EEXIST: ${path}`), { code: 'EEXIST' })
      this.#write(path, Buffer.alloc(0))
      return this.#file(path)
    },
    append: async (path) => this.#file(path),
    link: async (path, newPath) => this.#write(newPath, this.#read(path)!),
    rename: async (path, newPath) => {
      this.#write(newPath, this.#read(path)!)
      this.#remove(path)
    },
    unlink: async (path) => void this.#remove(path),
    syncFolder: async () => true,
    makeFolder: async () => undefined,
  }
  readonly store: LocalObjectStore = this.#makeStore()

  /** Keys under a prefix that ends with a slash. */
  keys(prefix: string): string[] {
    return [...(this.#folders.get(dirname(`${root}/${prefix}x`)) ?? new Map<string, Buffer>()).keys()]
      .sort()
      .map((name) => prefix + name)
  }

  /** Takes the bytes out. */
  take(key: string): Buffer {
    const bytes = this.#read(`${root}/${key}`)!
    this.#remove(`${root}/${key}`)
    return bytes
  }

  #read(path: string): Buffer | undefined {
    return this.#folders.get(dirname(path))?.get(path.slice(dirname(path).length + 1))
  }

  #write(path: string, bytes: Buffer): void {
    const folder = dirname(path)
    const names = this.#folders.get(folder) ?? new Map<string, Buffer>()
    this.#folders.set(folder, names.set(path.slice(folder.length + 1), bytes))
  }

  #remove(path: string): boolean {
    return this.#folders.get(dirname(path))?.delete(path.slice(dirname(path).length + 1)) ?? false
  }

  #file(path: string): DiskFile {
    const add = (bytes: Uint8Array): number => {
      this.#write(path, Buffer.concat([this.#read(path)!, bytes]))
      return bytes.length
    }
    return {
      write: async (bytes, from, length) => add(bytes.subarray(from, from + length)),
      writev: async (pieces) => add(Buffer.concat(pieces)),
      datasync: async () => undefined,
      truncate: async (sizeBytes) => this.#write(path, this.#read(path)!.subarray(0, sizeBytes)),
      close: async () => undefined,
    }
  }

  #makeStore(): LocalObjectStore {
    const pathOf = (key: string): string => `${root}/${key}`
    const put = (key: string, body: Buffer): PutOutcome => {
      if (this.#read(pathOf(key)) !== undefined) return 'exists'
      this.#write(pathOf(key), body)
      return 'created'
    }
    const get: ObjectStore['get'] = async (key) => this.#read(pathOf(key))
    const infosUnder = (prefix: string): ObjectInfo[] =>
      this.keys(prefix.slice(0, prefix.lastIndexOf('/') + 1))
        .filter((key) => key.startsWith(prefix))
        .map((key) => ({ key, sizeBytes: this.#read(pathOf(key))!.length, modifiedMs: 0 }))
    return {
      location: root,
      pathOf,
      fileOf: pathOf,
      putIfAbsent: async (key, body) => put(key, Buffer.from(body)),
      publishFile: async (path, key) => {
        const outcome = put(key, this.#read(path)!)
        if (outcome === 'created') this.#remove(path)
        return outcome
      },
      get,
      head: async (key) => infosUnder(key).find((info) => info.key === key),
      async *read(key, from, until): AsyncGenerator<Buffer> {
        yield (await get(key))!.subarray(from, until)
      },
      async *list(prefix): AsyncGenerator<readonly ObjectInfo[]> {
        yield infosUnder(prefix)
      },
      delete: async (key) => this.#remove(pathOf(key)),
      scratch: async (name) => `${root}/.scratch/${name}`,
    }
  }
}
