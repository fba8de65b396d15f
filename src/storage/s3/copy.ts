/** From one bucket to another without the bytes passing through here. */

import { randomUUID } from 'node:crypto'
import { forEachAtOnce } from '../../core/at-once.ts'
import type { S3Connection } from './connection.ts'
import { sha256Name, tokenName } from './content.ts'
import { completeUpload, createUpload, partRanges } from './upload.ts'
import { abortUpload, type UnfinishedUpload } from './unfinished.ts'

/** What one CopyObject takes. */
export const singleCopyBytes = 5 * 1024 ** 3
const copyPartBytes = 512 * 1024 * 1024
const partsAtOnce = 8

export interface CopySource {
  readonly bucket: string
  /** In that bucket, any prefix included. */
  readonly fullKey: string
  readonly sizeBytes: number
  /** 64 hex digits, to be stored with a copy made of parts; one made at once takes the source's along. */
  readonly sha256: string | null
}

/** @param singleBytes up to which one request does; for tests */
export async function copyObject(
  connection: S3Connection,
  source: CopySource,
  fullKey: string,
  signal: AbortSignal,
  singleBytes = singleCopyBytes,
): Promise<void> {
  const copySource = `${source.bucket}/${source.fullKey.split('/').map(encodeURIComponent).join('/')}`
  if (source.sizeBytes > singleBytes) {
    await copyParts(connection, source, copySource, fullKey, signal, Math.min(singleBytes, copyPartBytes))
    return
  }
  await connection.request(
    'copy',
    ({ client, sdk, options }) =>
      client.send(
        new sdk.CopyObjectCommand({ Bucket: connection.bucket, Key: fullKey, CopySource: copySource }),
        options,
      ),
    signal,
  )
}

async function copyParts(
  connection: S3Connection,
  source: CopySource,
  copySource: string,
  fullKey: string,
  signal: AbortSignal,
  partBytes: number,
): Promise<void> {
  const token = randomUUID()
  const metadata = {
    [tokenName]: token,
    ...(source.sha256 === null ? {} : { [sha256Name]: source.sha256 }),
  }
  const upload = await createUpload(connection, fullKey, metadata, null, signal)
  try {
    const ranges = partRanges(source.sizeBytes, partBytes)
    const etags = Array.from({ length: ranges.length }, () => '')
    await forEachAtOnce(ranges, partsAtOnce, async ([from, until], index) => {
      const range = `bytes=${from}-${until - 1}`
      etags[index] = await copyPart(connection, upload, copySource, range, index + 1, signal)
    })
    await completeUpload(connection, upload, etags, token, signal)
  } catch (error) {
    await abortUpload(connection, upload).catch(() => undefined)
    throw error
  }
}

async function copyPart(
  connection: S3Connection,
  upload: UnfinishedUpload,
  copySource: string,
  range: string,
  partNumber: number,
  signal: AbortSignal,
): Promise<string> {
  const answer = await connection.request(
    'copy',
    ({ client, sdk, options }) =>
      client.send(
        new sdk.UploadPartCopyCommand({
          Bucket: connection.bucket,
          Key: upload.fullKey,
          UploadId: upload.uploadId,
          PartNumber: partNumber,
          CopySource: copySource,
          CopySourceRange: range,
        }),
        options,
      ),
    signal,
  )
  return answer.CopyPartResult!.ETag!
}
