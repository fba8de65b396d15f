/** Large files to keys that nobody contends: several parts at once, each retried by itself, the whole aborted when it fails. */

import { randomUUID } from 'node:crypto'
import { open, type FileHandle } from 'node:fs/promises'
import { forEachAtOnce } from '../../core/at-once.ts'
import type { S3Connection } from './connection.ts'
import { contentOf, sha256Name, tokenName, type Content } from './content.ts'
import { isAbsent, readFailure } from './failure.ts'
import { sendBody, signBody } from './put.ts'
import { abortUpload, type UnfinishedUpload } from './unfinished.ts'

/** A file up to this is one PutObject: three requests fewer. */
export const singlePutBytes = 16 * 1024 * 1024
const partBytesAtLeast = 8 * 1024 * 1024
const partsAtMost = 10_000
const partsAtOnce = 4
/** Of whole uploads, where the server lost one or a part of it. */
const uploadAttempts = 3

/**
 * Stores a file, whatever was there. It appears whole or not at all.
 *
 * @param content the file's, for its checksum
 * @throws what the failing request threw; the upload is aborted by then, or left for `staleUploads` when that fails too
 */
export async function uploadParts(
  connection: S3Connection,
  path: string,
  fullKey: string,
  content: Content,
  signal: AbortSignal,
): Promise<void> {
  const file = await open(path, 'r')
  try {
    for (let attempt = 1; ; attempt++) {
      try {
        await uploadOnce(connection, file, fullKey, content, signal)
        return
      } catch (error) {
        const { code } = readFailure(error)
        const isLost = code === 'NoSuchUpload' || code === 'InvalidPart'
        if (!isLost || attempt >= uploadAttempts) throw error
      }
    }
  } finally {
    await file.close()
  }
}

async function uploadOnce(
  connection: S3Connection,
  file: FileHandle,
  fullKey: string,
  content: Content,
  signal: AbortSignal,
): Promise<void> {
  const token = randomUUID()
  const upload = await createUpload(
    connection,
    fullKey,
    { [sha256Name]: content.sha256, [tokenName]: token },
    'CRC32',
    signal,
  )
  try {
    const ranges = partRanges(content.sizeBytes, partBytesAtLeast)
    const partBytes = ranges[0]![1]
    const etags = Array.from({ length: ranges.length }, () => '')
    // Used again by later parts: pages of a new one cost as much as its checksums.
    const buffers: Buffer[] = []
    await forEachAtOnce(ranges, partsAtOnce, async ([from, until], index) => {
      const buffer = buffers.pop() ?? Buffer.allocUnsafe(partBytes)
      const bytes = buffer.subarray(0, until - from)
      await readFully(file, bytes, from)
      etags[index] = await uploadPart(connection, upload, index + 1, contentOf(bytes), signal)
      buffers.push(buffer)
    })
    await completeUpload(connection, upload, etags, token, signal)
  } catch (error) {
    // What started the failure is told; an abort that fails too leaves an orphan, which staleUploads finds.
    await abortUpload(connection, upload).catch(() => undefined)
    throw error
  }
}

/** @returns half-open ranges, all but the last of one length, which fits the limit of 10,000 parts */
export function partRanges(
  sizeBytes: number,
  partBytes: number,
): readonly (readonly [from: number, until: number])[] {
  const mebibyte = 1024 * 1024
  const step = Math.max(partBytes, Math.ceil(sizeBytes / partsAtMost / mebibyte) * mebibyte)
  const count = Math.max(1, Math.ceil(sizeBytes / step))
  return Array.from({ length: count }, (_, i) => [i * step, Math.min(sizeBytes, (i + 1) * step)] as const)
}

async function readFully(file: FileHandle, into: Buffer, position: number): Promise<void> {
  for (let at = 0; at < into.length;) {
    const { bytesRead } = await file.read(into, at, into.length - at, position + at)
    if (bytesRead === 0) throw new Error('the file became shorter while it was uploaded')
    at += bytesRead
  }
}

/** @param checksums `CRC32`: every part brings its own, and completing it must repeat them; null: as for parts that are copied */
export async function createUpload(
  connection: S3Connection,
  fullKey: string,
  metadata: Readonly<Record<string, string>>,
  checksums: 'CRC32' | null,
  signal: AbortSignal,
): Promise<UnfinishedUpload> {
  const answer = await connection.request(
    'multipart',
    ({ client, sdk, options }) =>
      client.send(
        new sdk.CreateMultipartUploadCommand({
          Bucket: connection.bucket,
          Key: fullKey,
          Metadata: metadata,
          ...(checksums === null ? {} : { ChecksumAlgorithm: checksums }),
        }),
        options,
      ),
    signal,
  )
  return { fullKey, uploadId: answer.UploadId!, startedMs: connection.clock.nowMs() }
}

async function uploadPart(
  connection: S3Connection,
  upload: UnfinishedUpload,
  partNumber: number,
  content: Content,
  signal: AbortSignal,
): Promise<string> {
  const answer = await connection.request(
    'multipart',
    ({ client, sdk, options }) =>
      sendBody(connection, content, (body) => {
        const command = new sdk.UploadPartCommand({
          Bucket: connection.bucket,
          Key: upload.fullKey,
          UploadId: upload.uploadId,
          PartNumber: partNumber,
          ContentLength: content.sizeBytes,
          ChecksumCRC32: content.crc32,
          Body: body,
        })
        signBody(command, content.sha256)
        return client.send(command, options)
      }),
    signal,
  )
  return `${answer.ETag!} ${content.crc32}`
}

/** @param parts ETag and CRC32 of each, separated by a space; of copied parts the ETag alone */
export async function completeUpload(
  connection: S3Connection,
  upload: UnfinishedUpload,
  parts: readonly string[],
  token: string,
  signal: AbortSignal,
): Promise<void> {
  const list = parts.map((part, i) => {
    const [etag, crc32] = part.split(' ')
    return { PartNumber: i + 1, ETag: etag!, ...(crc32 === undefined ? {} : { ChecksumCRC32: crc32 }) }
  })
  try {
    await connection.request(
      'multipart',
      ({ client, sdk, options }) =>
        client.send(
          new sdk.CompleteMultipartUploadCommand({
            Bucket: connection.bucket,
            Key: upload.fullKey,
            UploadId: upload.uploadId,
            MultipartUpload: { Parts: list },
          }),
          options,
        ),
      signal,
    )
  } catch (error) {
    // The answer of an attempt that landed was lost: there is no such upload any more, and the object is ours.
    if (readFailure(error).status !== 404) throw error
    if (!(await isOurs(connection, upload.fullKey, token, signal))) throw error
  }
}

async function isOurs(
  connection: S3Connection,
  fullKey: string,
  token: string,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    const answer = await connection.request(
      'head',
      ({ client, sdk, options }) =>
        client.send(new sdk.HeadObjectCommand({ Bucket: connection.bucket, Key: fullKey }), options),
      signal,
    )
    return answer.Metadata?.[tokenName] === token
  } catch (error) {
    if (isAbsent(error)) return false
    throw error
  }
}
