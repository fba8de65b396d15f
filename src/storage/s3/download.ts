/** A whole object into a file, several ranges at once, verified against the SHA-256 that was stored with it. */

import { createHash, type Hash } from 'node:crypto'
import { open, type FileHandle } from 'node:fs/promises'
import type { GetObjectCommandOutput } from '@aws-sdk/client-s3'
import { forEachAtOnce } from '../../core/at-once.ts'
import { VaultError } from '../../core/errors.ts'
import type { S3Connection } from './connection.ts'
import { sha256Name } from './content.ts'
import { DamagedAnswer, isAbsent, isConditionFailed, readFailure } from './failure.ts'
import { replaced, totalOf } from './read.ts'

/** Times four at once, twice while an answer is put together: 64 MiB at most. */
const rangeBytes = 8 * 1024 * 1024
const rangesAtOnce = 4

export interface Downloaded {
  readonly sizeBytes: number
  /** Of the bytes that came: 64 hex digits. */
  readonly sha256: string
  /** Whether a checksum was stored with the object, and so compared. */
  readonly wasVerified: boolean
}

/**
 * Writes the object to `path`, replacing what was there; not synced.
 *
 * @throws {VaultError} `invalid`: no such object; `unavailable`: replaced meanwhile; `corrupt`: not the bytes that were stored
 */
export async function downloadObject(
  connection: S3Connection,
  key: string,
  path: string,
  signal: AbortSignal,
): Promise<Downloaded> {
  const file = await open(path, 'w')
  try {
    return await fill(connection, key, file, signal)
  } finally {
    await file.close()
  }
}

interface Range {
  readonly from: number
  readonly until: number
  readonly etag: string | undefined
}

interface FetchedRange {
  readonly answer: GetObjectCommandOutput
  readonly bytes: Buffer
}

async function fill(
  connection: S3Connection,
  key: string,
  file: FileHandle,
  signal: AbortSignal,
): Promise<Downloaded> {
  const hash = createHash('sha256')
  const first = await fetchRange(connection, key, { from: 0, until: rangeBytes, etag: undefined }, signal)
  const sizeBytes = first === undefined ? 0 : totalOf(first.answer)
  if (first !== undefined) {
    await writeAt(file, first.bytes, 0)
    hash.update(first.bytes)
  }
  await fillRest(connection, key, file, sizeBytes, first?.answer.ETag, hash, signal)
  const sha256 = hash.digest('hex')
  const stored = first?.answer.Metadata?.[sha256Name]
  if (stored !== undefined && stored !== sha256)
    throw new VaultError('corrupt', `${connection.url(key)}: SHA-256 ${sha256} ≠ ${stored} stored with it`, {
      remedy: 'fetch it again; if it stays so, restore that object from a copy',
    })
  return { sizeBytes, sha256, wasVerified: stored !== undefined }
}

/** Ranges come in any order and are hashed in theirs: one that is early waits, and so holds back the next. */
async function fillRest(
  connection: S3Connection,
  key: string,
  file: FileHandle,
  sizeBytes: number,
  etag: string | undefined,
  hash: Hash,
  signal: AbortSignal,
): Promise<void> {
  const ranges: Range[] = []
  for (let from = rangeBytes; from < sizeBytes; from += rangeBytes)
    ranges.push({ from, until: Math.min(sizeBytes, from + rangeBytes), etag })
  let latest = Promise.resolve()
  await forEachAtOnce(ranges, rangesAtOnce, (range) => {
    const before = latest
    latest = (async () => {
      const fetched = await fetchRange(connection, key, range, signal)
      if (fetched === undefined) throw replaced(connection.url(key))
      await writeAt(file, fetched.bytes, range.from)
      await before
      hash.update(fetched.bytes)
    })()
    return latest
  })
}

/** @returns undefined: the range lies behind the end */
async function fetchRange(
  connection: S3Connection,
  key: string,
  range: Range,
  signal: AbortSignal,
): Promise<FetchedRange | undefined> {
  try {
    return await connection.request(
      'get',
      async ({ client, sdk, options }) => {
        const command = new sdk.GetObjectCommand({
          Bucket: connection.bucket,
          Key: connection.full(key),
          Range: `bytes=${range.from}-${range.until - 1}`,
          ...(range.etag === undefined ? {} : { IfMatch: range.etag }),
        })
        const answer = await client.send(command, options)
        const { buffer, byteOffset, byteLength } = await answer.Body!.transformToByteArray()
        const bytes = Buffer.from(buffer, byteOffset, byteLength)
        connection.counter.countDown(bytes.length)
        if (bytes.length !== Math.min(range.until, totalOf(answer)) - range.from)
          throw new DamagedAnswer('fewer bytes than announced')
        return { answer, bytes }
      },
      signal,
    )
  } catch (error) {
    if (readFailure(error).status === 416) return undefined
    if (isAbsent(error))
      throw new VaultError('invalid', `${connection.url(key)}: there is no such object`, { cause: error })
    if (isConditionFailed(error)) throw replaced(connection.url(key))
    throw connection.explain(error, key, signal)
  }
}

async function writeAt(file: FileHandle, bytes: Buffer, position: number): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    const { bytesWritten } = await file.write(bytes, at, bytes.length - at, position + at)
    at += bytesWritten
  }
}
