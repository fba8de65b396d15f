/** What the server keeps: buckets, objects, unfinished uploads; in memory, and in a folder when it is to outlive the process. */

import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

export interface StoredObject {
  readonly body: Buffer
  /** Quoted, as in a header. */
  readonly etag: string
  readonly modifiedMs: number
  /** Metadata headers and the content type, by header name. */
  readonly headers: Readonly<Record<string, string>>
  readonly crc32: string | undefined
}

export interface StoredUpload {
  readonly id: string
  readonly key: string
  readonly startedMs: number
  readonly headers: Readonly<Record<string, string>>
}

type Named<T> = T & { readonly name: string }

/** A map whose values survive the process, a file each: a line of JSON, then the body. */
export class Shelf<T extends object> {
  readonly #values = new Map<string, T>()
  readonly #folder: string | undefined

  constructor(folder: string | undefined) {
    this.#folder = folder
    if (folder === undefined) return
    mkdirSync(folder, { recursive: true })
    for (const file of readdirSync(folder)) {
      if (file.endsWith('.tmp')) continue
      const { name, ...value } = parse<T>(readFileSync(join(folder, file)))
      this.#values.set(name, value as unknown as T)
    }
  }

  get(name: string): T | undefined {
    return this.#values.get(name)
  }

  names(): string[] {
    return [...this.#values.keys()]
  }

  set(name: string, value: T): void {
    this.#values.set(name, value)
    if (this.#folder === undefined) return
    const path = this.#path(name)
    const { body, ...rest } = value as T & { readonly body?: Buffer }
    const line = Buffer.from(JSON.stringify({ ...rest, name, hasBody: body !== undefined }) + '\n')
    writeFileSync(`${path}.tmp`, Buffer.concat([line, body ?? Buffer.alloc(0)]))
    renameSync(`${path}.tmp`, path)
  }

  delete(name: string): void {
    this.#values.delete(name)
    if (this.#folder !== undefined) rmSync(this.#path(name), { force: true })
  }

  #path(name: string): string {
    return join(this.#folder!, createHash('sha256').update(name).digest('hex'))
  }
}

function parse<T>(file: Buffer): Named<T> {
  const end = file.indexOf('\n')
  const { hasBody, ...value } = JSON.parse(file.toString('utf8', 0, end)) as { hasBody: boolean }
  return { ...value, ...(hasBody ? { body: file.subarray(end + 1) } : {}) } as unknown as Named<T>
}

export interface Bucket {
  readonly objects: Shelf<StoredObject>
  readonly uploads: Shelf<StoredUpload>
  /** By `<upload id>/<part number>`. */
  readonly parts: Shelf<StoredObject>
  /** What was configured, by the word in the query (`lifecycle`): the XML to answer with. */
  readonly configuration: Shelf<{ readonly xml: string }>
}

export class Buckets {
  readonly #byName = new Map<string, Bucket>()
  readonly #dataDir: string | undefined

  constructor(dataDir: string | undefined) {
    this.#dataDir = dataDir
    if (dataDir === undefined) return
    mkdirSync(dataDir, { recursive: true })
    for (const name of readdirSync(dataDir)) this.create(name)
  }

  get(name: string): Bucket | undefined {
    return this.#byName.get(name)
  }

  create(name: string): Bucket {
    const folder = (kind: string) => this.#dataDir && join(this.#dataDir, name, kind)
    const bucket: Bucket = {
      objects: new Shelf(folder('objects')),
      uploads: new Shelf(folder('uploads')),
      parts: new Shelf(folder('parts')),
      configuration: new Shelf(folder('configuration')),
    }
    this.#byName.set(name, bucket)
    return bucket
  }
}
