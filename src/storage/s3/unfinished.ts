/** Multi-part uploads that were begun and neither completed nor aborted: invisible, and on the bill. */

import type { ListMultipartUploadsCommandInput, ListMultipartUploadsCommandOutput } from '@aws-sdk/client-s3'
import { VaultError } from '../../core/errors.ts'
import type { S3Connection } from './connection.ts'
import { isAbsent } from './failure.ts'
import { urlDecoded } from './list.ts'

export interface UnfinishedUpload {
  /** In the bucket, prefix included. */
  readonly fullKey: string
  readonly uploadId: string
  /** By the server's clock, epoch milliseconds. */
  readonly startedMs: number
}

type Marker = Pick<ListMultipartUploadsCommandInput, 'KeyMarker' | 'UploadIdMarker'>

/**
 * Every upload of a key that starts with `fullPrefix` and was begun before `startedBeforeMs` (epoch milliseconds), as far as the server
 * tells: MinIO does only for a whole key, and removes uploads itself after a day.
 */
export async function unfinishedUploads(
  connection: S3Connection,
  fullPrefix: string,
  startedBeforeMs: number,
  signal: AbortSignal,
): Promise<UnfinishedUpload[]> {
  const found: UnfinishedUpload[] = []
  for (let marker: Marker | undefined = {}; marker !== undefined;) {
    const answer = await page(connection, fullPrefix, marker, signal)
    const where = `s3://${connection.bucket}/${fullPrefix}`
    const decode = (key: string): string => (answer.EncodingType === 'url' ? urlDecoded(where, key) : key)
    for (const upload of answer.Uploads ?? []) {
      const startedMs = upload.Initiated?.getTime() ?? 0
      if (startedMs < startedBeforeMs)
        found.push({ fullKey: decode(upload.Key!), uploadId: upload.UploadId!, startedMs })
    }
    marker = answer.IsTruncated === true ? nextMarker(connection, answer, decode) : undefined
  }
  return found
}

function page(
  connection: S3Connection,
  fullPrefix: string,
  marker: Marker,
  signal: AbortSignal,
): Promise<ListMultipartUploadsCommandOutput> {
  return connection.request(
    'multipart',
    ({ client, sdk, options }) =>
      client.send(
        new sdk.ListMultipartUploadsCommand({
          Bucket: connection.bucket,
          Prefix: fullPrefix,
          EncodingType: 'url',
          ...marker,
        }),
        options,
      ),
    signal,
  )
}

function nextMarker(
  connection: S3Connection,
  answer: ListMultipartUploadsCommandOutput,
  decode: (key: string) => string,
): Marker {
  const { NextKeyMarker, NextUploadIdMarker } = answer
  if (NextKeyMarker === undefined)
    throw new VaultError(
      'unavailable',
      `s3://${connection.bucket}: the server's list of uploads says there is more and not where`,
    )
  return {
    KeyMarker: decode(NextKeyMarker),
    ...(NextUploadIdMarker === undefined ? {} : { UploadIdMarker: NextUploadIdMarker }),
  }
}

/** Removes the parts of an upload. One that is gone is no error. */
export async function abortUpload(connection: S3Connection, upload: UnfinishedUpload): Promise<void> {
  try {
    await connection.request('multipart', ({ client, sdk, options }) =>
      client.send(
        new sdk.AbortMultipartUploadCommand({
          Bucket: connection.bucket,
          Key: upload.fullKey,
          UploadId: upload.uploadId,
        }),
        options,
      ),
    )
  } catch (error) {
    if (!isAbsent(error)) throw error
  }
}
