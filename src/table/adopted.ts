/** What was brought in from elsewhere: one object each under `_adopted/`, put last and never changed. */

import type { ObjectStore } from '../storage/object-store.ts'
import { listAll } from '../storage/object-store.ts'
import { processed } from '../storage/keys.ts'
import { VaultError } from '../core/errors.ts'
import { StrictFields } from './receipt-fields.ts'

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

/** Relative, with slashes, never up and out. */
const insidePath = /^(?!\/)(?!(?:.*\/)?\.\.(?:\/|$))[^\0]+$/s

/** Of an adopted folder. */
export const adoptedName = /^[a-z0-9_]{1,100}$/

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
  return body === undefined ? undefined : parseFile(key, body)
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
    const folder = parseFolder(object.key, body)
    if (folder.generation > (newest.get(folder.name)?.generation ?? 0)) newest.set(folder.name, folder)
  }
  return [...newest.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
}

function parseFile(key: string, body: Buffer): AdoptedFile {
  const fields = StrictFields.parse(key, body)
  fields.format(1)
  return {
    format: 1,
    kind: fields.oneOf('kind', ['segments']),
    path: fields.text('path'),
    sha256: fields.sha256('sha256'),
    size_bytes: fields.count('size_bytes'),
    mapping: fields.text('mapping'),
    recorder: fields.matching('recorder', /^[a-z2-7]{10}$/, 'a recorder'),
    segments: fields.list('segments', (segment) => ({
      first_n: segment.count('first_n'),
      lines: segment.count('lines'),
      file_sha256: segment.sha256('file_sha256'),
    })),
    frames: fields.count('frames'),
    rejected: fields.count('rejected'),
    rejects_key: fields.textOrNull('rejects_key'),
    software: fields.text('software'),
    adopted_ms: fields.count('adopted_ms'),
  }
}

/** Its name becomes the name of a view: nothing but a word may stand there. */
function parseFolder(key: string, body: Buffer): AdoptedFolder {
  const fields = StrictFields.parse(key, body)
  fields.format(1)
  const folder: AdoptedFolder = {
    format: 1,
    kind: fields.oneOf('kind', ['parquet']),
    name: fields.matching('name', adoptedName, 'a name'),
    generation: fields.count('generation'),
    path: fields.text('path'),
    files: fields.list('files', (file) => ({
      path: file.matching('path', insidePath, 'a path inside the folder'),
      size_bytes: file.count('size_bytes'),
    })),
    rows: fields.count('rows'),
    columns: fields.list('columns', (column) => ({ name: column.text('name'), type: column.text('type') })),
    software: fields.text('software'),
    adopted_ms: fields.count('adopted_ms'),
  }
  if (key.endsWith(`/parquet_${folder.name}.g${folder.generation}.json`)) return folder
  throw new VaultError('corrupt', `${key}: describes ${folder.name}, generation ${folder.generation}`, {
    remedy: 'give it its own name again, or restore it from a backup',
  })
}
