/** What was brought in from elsewhere: one object each under `_adopted/`, put last and never changed. */

import type { ObjectStore } from '../storage/object-store.ts'
import { listAll } from '../storage/object-store.ts'
import { processed } from '../storage/keys.ts'
import { VaultError } from '../core/errors.ts'

/** A file of lines that became segments. The file itself was only read. */
export interface AdoptedFile {
  readonly format: 1
  readonly kind: 'segments'
  /** Where it lay, for people: the name is not part of what is adopted, its digest is. */
  readonly path: string
  readonly sha256: string
  readonly size_bytes: number
  readonly mapping: string
  readonly recorder: string
  readonly segments: readonly {
    readonly first_n: number
    readonly lines: number
    readonly file_sha256: string
  }[]
  readonly frames: number
  readonly rejected: number
  readonly rejects_key: string | null
  readonly software: string
  readonly adopted_ms: number
}

/** A folder of Parquet that stays where it is and is read there. */
export interface AdoptedFolder {
  readonly format: 1
  readonly kind: 'parquet'
  /** The view is `adopted_<name>`. */
  readonly name: string
  /** k supersedes k-1: the folder as it was when it was looked at last. */
  readonly generation: number
  readonly path: string
  /** Relative to `path`, with slashes. */
  readonly files: readonly { readonly path: string; readonly size_bytes: number }[]
  readonly rows: number
  readonly columns: readonly { readonly name: string; readonly type: string }[]
  readonly software: string
  readonly adopted_ms: number
}

export const adoptedPrefix = (venue: string): string => `${processed(venue)}_adopted/`

export const adoptedFileKey = (venue: string, sha256: string): string =>
  `${adoptedPrefix(venue)}${sha256}.json`

export const adoptedFolderKey = (venue: string, name: string, generation: number): string =>
  `${adoptedPrefix(venue)}parquet_${name}.g${generation}.json`

export async function readAdoptedFile(
  store: ObjectStore,
  venue: string,
  sha256: string,
): Promise<AdoptedFile | undefined> {
  const key = adoptedFileKey(venue, sha256)
  const body = await store.get(key)
  return body === undefined ? undefined : (parse(key, body, 'segments') as AdoptedFile)
}

/** Every adopted file's note. */
export async function readAdoptedFiles(
  store: ObjectStore,
  venue: string,
  signal: AbortSignal,
): Promise<AdoptedFile[]> {
  const files: AdoptedFile[] = []
  for (const { key } of await listAll(store, adoptedPrefix(venue), signal)) {
    const sha256 = /\/([0-9a-f]{64})\.json$/.exec(key)?.[1]
    const file = sha256 === undefined ? undefined : await readAdoptedFile(store, venue, sha256)
    if (file !== undefined) files.push(file)
  }
  return files
}

/** The newest generation of each adopted folder, by name. */
export async function readAdoptedFolders(
  store: ObjectStore,
  venue: string,
  signal: AbortSignal,
): Promise<AdoptedFolder[]> {
  const newest = new Map<string, AdoptedFolder>()
  for (const object of await listAll(store, `${adoptedPrefix(venue)}parquet_`, signal)) {
    const body = await store.get(object.key)
    if (body === undefined) continue
    const folder = parse(object.key, body, 'parquet') as AdoptedFolder
    if (folder.generation > (newest.get(folder.name)?.generation ?? 0)) newest.set(folder.name, folder)
  }
  return [...newest.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
}

function parse(key: string, body: Buffer, kind: 'segments' | 'parquet'): unknown {
  const value: unknown = JSON.parse(body.toString('utf8'))
  if (typeof value === 'object' && value !== null && 'kind' in value && value.kind === kind) return value
  throw new VaultError(
    'corrupt',
    `${key} does not describe an adopted ${kind === 'parquet' ? 'folder' : 'file'}`,
    {
      remedy: 'restore it from a backup',
    },
  )
}
