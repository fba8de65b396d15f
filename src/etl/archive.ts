/** Raw segments kept after conversion, compressed. One is read back and compared with the receipt before the original goes. */

import { createHash } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable, type Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import * as zlib from 'node:zlib'
import { VaultError } from '../core/errors.ts'
import { utcDate } from '../core/time.ts'
import type { SegmentHeader } from '../segment/format.ts'
import { archivedSegmentKey, rawArchive } from '../storage/keys.ts'
import { listAll, type ObjectInfo, type ObjectStore } from '../storage/object-store.ts'
import { unpacked } from '../storage/unpack.ts'
import type { ReceiptSource } from '../table/receipt.ts'

export type ArchiveEnding = 'zst' | 'gz'

/** What newer versions of node:zlib have (22.15, 23.8) and the types of older ones do not know. */
interface ZlibMaybeZstd {
  readonly createGzip: () => Transform
  readonly createZstdCompress?: () => Transform
}

const zstd: ZlibMaybeZstd = zlib

/** The best this version of Node can write. */
export const archiveEnding: ArchiveEnding = zstd.createZstdCompress === undefined ? 'gz' : 'zst'

/** A raw segment that is about to be deleted. */
export interface RawSegment {
  readonly key: string
  readonly label: string
  readonly header: SegmentHeader
}

/**
 * Keeps a raw segment under raw/archive, by the label that its receipt names: a second copy may lie under another one. Finds what an
 * earlier try kept, whichever ending it has.
 *
 * @returns the key whose bytes, unpacked, have the digest that the receipt names
 * @throws {VaultError} `corrupt` when the archived bytes are others
 */
export async function archiveRaw(
  store: ObjectStore,
  scratchDir: string,
  raw: RawSegment,
  source: ReceiptSource,
  signal: AbortSignal,
): Promise<string> {
  const date = utcDate(BigInt(raw.header.opened_ns))
  const venue = raw.header.venue
  for (const ending of ['zst', 'gz'] as const) {
    const key = archivedSegmentKey(venue, date, source.label, ending)
    if ((await store.head(key)) === undefined) continue
    await checkArchived(store, key, source, signal)
    return key
  }
  const key = archivedSegmentKey(venue, date, source.label, archiveEnding)
  const path = join(scratchDir, `${raw.label}.ndjson.${archiveEnding}`)
  await mkdir(scratchDir, { recursive: true })
  try {
    await pipeline(
      Readable.from(store.read(raw.key, 0, source.size_bytes, signal)),
      zstd.createZstdCompress?.() ?? zstd.createGzip(),
      createWriteStream(path),
    )
    await store.publishFile(path, key)
  } finally {
    await rm(path, { force: true })
  }
  // What lies there now is what counts, whoever put it.
  await checkArchived(store, key, source, signal)
  return key
}

async function checkArchived(
  store: ObjectStore,
  key: string,
  source: ReceiptSource,
  signal: AbortSignal,
): Promise<void> {
  const hash = createHash('sha256')
  await pipeline(await archivedBytes(store, key, source, signal), hash, { signal })
  const sha256 = hash.digest('hex')
  if (sha256 === source.file_sha256) return
  throw new VaultError(
    'corrupt',
    `${key}: unpacks to sha256 ${sha256.slice(0, 12)}…, the receipt of ${source.label} says ${source.file_sha256.slice(0, 12)}…`,
    { remedy: 'move that file away; the raw segment is kept until its archive is right' },
  )
}

/** Unpacks an archived segment into a file, which never has more bytes than its receipt says. */
export async function unpackArchived(
  store: ObjectStore,
  key: string,
  source: ReceiptSource,
  path: string,
  signal: AbortSignal,
): Promise<void> {
  await pipeline(await archivedBytes(store, key, source, signal), createWriteStream(path), { signal })
}

/** The bytes of an archived segment; damage in them, or more than there were, becomes one error with its place. */
export async function archivedBytes(
  store: ObjectStore,
  key: string,
  { size_bytes }: Pick<ReceiptSource, 'size_bytes'>,
  signal: AbortSignal,
): Promise<AsyncGenerator<Buffer>> {
  const info = await store.head(key)
  if (info === undefined) throw new VaultError('corrupt', `${key}: is not there`)
  return unpacked(key, store.read(key, 0, info.sizeBytes, signal), size_bytes, signal)
}

export interface ArchivedSegment {
  readonly object: ObjectInfo
  readonly label: string
  /** `2025-12-03`, of its opening. */
  readonly date: string
}

/** Archived segments, oldest label first; other files under raw/archive are not ours to judge. */
export async function listArchive(
  store: ObjectStore,
  venue: string,
  signal: AbortSignal,
): Promise<ArchivedSegment[]> {
  const found: ArchivedSegment[] = []
  for (const object of await listAll(store, rawArchive(venue), signal)) {
    const match = /\/date=(\d{4}-\d{2}-\d{2})\/(segment_[^/.]+)\.ndjson\.(?:zst|gz)$/.exec(object.key)
    if (match !== null) found.push({ object, date: match[1]!, label: match[2]! })
  }
  return found
}
