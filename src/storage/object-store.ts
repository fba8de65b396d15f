/**
 * What the vault needs of a place that keeps objects. Everything durable rests on one primitive, put-if-absent;
 * there is no overwrite and no rename. Implementations: local.ts, s3.ts and layered.ts (one store for raw/, another for processed/);
 * one contract suite runs over all.
 */

import { VaultError } from '../core/errors.ts'

export interface ObjectInfo {
  readonly key: string
  readonly sizeBytes: number
  /** When it was stored, epoch milliseconds, by the store's clock. */
  readonly modifiedMs: number
}

/**
 * What `get` takes for one of our own records unless told otherwise. The largest written is some MB (a note of 100,000 adopted files); parsed
 * as JSON, 32 MiB of nothing but brackets take some 1.5 GB.
 */
export const recordBytesMax = 32 * 1024 * 1024

/** `created`: it is durable under its name. `exists`: something is there already; read it back before believing whose it is. */
export type PutOutcome = 'created' | 'exists'

/**
 * Keys are `/`-separated, relative, made by this project's own functions (core/ids.ts, table/keys.ts, segment/name.ts).
 * An implementation refuses (`invalid`) keys with empty, `.` or `..` parts, backslashes or control characters.
 * Every method throws VaultError: `unavailable` (try again), `preflight` (no permission, no space, not a folder).
 */
export interface ObjectStore {
  /** Where this is, for people: an absolute folder or a bucket URL. */
  readonly location: string

  /** Stores `body` under `key` unless something is there. On `created` the bytes and the name survive power loss. */
  putIfAbsent(key: string, body: Uint8Array): Promise<PutOutcome>

  /**
   * The same for a finished local file, which is consumed on `created` (moved or uploaded, then removed) and left alone on `exists`.
   * A local store links it where it lies in the folder `scratch` gave, and copies it from anywhere else.
   */
  publishFile(path: string, key: string): Promise<PutOutcome>

  /**
   * All bytes of an object, or undefined when there is none. For small objects: receipts, claims, bindings. Throws `corrupt` for one larger
   * than `bytesMax` (left out: recordBytesMax), before its bytes are read.
   */
  get(key: string, bytesMax?: number): Promise<Buffer | undefined>

  /** The object's size and time, or undefined when there is none. */
  head(key: string): Promise<ObjectInfo | undefined>

  /** Bytes [from, until) in chunks of at most a few MiB. Throws `invalid` when there is no such object. */
  read(key: string, from: number, until: number, signal: AbortSignal): AsyncIterable<Buffer>

  /** Every object whose key starts with `prefix`, in batches, keys ascending by UTF-16 code unit. A failed listing throws; it is never an empty one. */
  list(prefix: string, signal: AbortSignal): AsyncIterable<readonly ObjectInfo[]>

  /** Removes one object; `false` when there was none. Durable on return. */
  delete(key: string): Promise<boolean>

  /** A folder on local disk for unfinished files of this store, made on demand; `name` keeps users apart. Contents may vanish between runs. */
  scratch(name: string): Promise<string>

  /** The absolute path under which other local programs (DuckDB) can open the object as it is; undefined: only through `read`. */
  fileOf(key: string): string | undefined
}

/** A store whose objects are files: the only kind in which a segment can grow. */
export interface LocalObjectStore extends ObjectStore {
  /** Absolute path of a key, whether or not there is such an object. */
  pathOf(key: string): string
}

/** What `get` throws. @param subject `s3://bucket/key` or a path */
export function tooLarge(subject: string, sizeBytes: number | undefined, bytesMax: number): VaultError {
  const size = sizeBytes === undefined ? 'more' : `${sizeBytes} bytes, more`
  return new VaultError('corrupt', `${subject}: ${size} than the ${bytesMax} that such an object may have`, {
    remedy: 'no mdv wrote it: move it away, and see who else writes there',
  })
}

/** Every object under `prefix` in one array; for listings known to be small. */
export async function listAll(
  store: ObjectStore,
  prefix: string,
  signal: AbortSignal,
): Promise<ObjectInfo[]> {
  const all: ObjectInfo[] = []
  for await (const batch of store.list(prefix, signal)) all.push(...batch)
  return all
}
