/** Single objects: put, get, head, delete, copy, with their conditions. Nothing here waits, so every put is atomic. */

import { createHash } from 'node:crypto'
import { crcBase64 } from './body.ts'
import { header, S3Error, type S3Answer, type S3Request } from './protocol.ts'
import type { Bucket, Buckets, StoredObject } from './state.ts'
import { inside, textOf, xmlAnswer } from './xml.ts'

export function putObject(request: S3Request, bucket: Bucket, ignoresConditions: boolean): S3Answer {
  if (!ignoresConditions) checkPutConditions(request, bucket.objects.get(request.key))
  const object = newObject(request.body, keptHeaders(request), request)
  bucket.objects.set(request.key, object)
  return {
    status: 200,
    headers: {
      etag: object.etag,
      ...(request.crc32 === undefined ? {} : { 'x-amz-checksum-crc32': request.crc32 }),
    },
  }
}

export function checkPutConditions(request: S3Request, present: StoredObject | undefined): void {
  const ifNoneMatch = header(request, 'if-none-match')
  const ifMatch = header(request, 'if-match')
  if (ifNoneMatch !== undefined && ifNoneMatch !== '*')
    throw new S3Error(501, 'NotImplemented', 'If-None-Match takes only * here.')
  if (ifNoneMatch === '*' && present !== undefined) throw preconditionFailed('If-None-Match')
  if (ifMatch === undefined) return
  if (present === undefined) throw noSuchKey(request.key)
  if (!sameEtag(ifMatch, present.etag)) throw preconditionFailed('If-Match')
}

export function preconditionFailed(condition: string): S3Error {
  return new S3Error(
    412,
    'PreconditionFailed',
    'At least one of the pre-conditions you specified did not hold',
    {
      elements: { Condition: condition },
    },
  )
}

function noSuchKey(key: string): S3Error {
  return new S3Error(404, 'NoSuchKey', 'The specified key does not exist.', { elements: { Key: key } })
}

function sameEtag(one: string, other: string): boolean {
  return one.replaceAll('"', '') === other.replaceAll('"', '')
}

export function newObject(
  body: Buffer,
  headers: Readonly<Record<string, string>>,
  request: Pick<S3Request, 'nowMs' | 'crc32'>,
): StoredObject {
  const etag = `"${createHash('md5').update(body).digest('hex')}"`
  return { body, etag, headers, modifiedMs: request.nowMs, crc32: request.crc32 }
}

export function keptHeaders(request: S3Request): Record<string, string> {
  const kept: Record<string, string> = {
    'content-type': header(request, 'content-type') ?? 'binary/octet-stream',
  }
  for (const name of Object.keys(request.headers))
    if (name.startsWith('x-amz-meta-')) kept[name] = header(request, name)!
  return kept
}

/** GET and HEAD. */
export function getObject(request: S3Request, bucket: Bucket): S3Answer {
  const object = bucket.objects.get(request.key)
  if (object === undefined) throw noSuchKey(request.key)
  const ifMatch = header(request, 'if-match')
  if (ifMatch !== undefined && !sameEtag(ifMatch, object.etag)) throw preconditionFailed('If-Match')
  const headers: Record<string, string> = {
    ...object.headers,
    etag: object.etag,
    'last-modified': new Date(object.modifiedMs).toUTCString(),
    'accept-ranges': 'bytes',
  }
  const range = parseRange(header(request, 'range'), object.body.length)
  if (range !== undefined) {
    const [from, until] = range
    headers['content-range'] = `bytes ${from}-${until - 1}/${object.body.length}`
    return { status: 206, headers, body: object.body.subarray(from, until) }
  }
  if (header(request, 'x-amz-checksum-mode')?.toUpperCase() === 'ENABLED' && object.crc32 !== undefined)
    headers['x-amz-checksum-crc32'] = object.crc32
  return { status: 200, headers, body: object.body }
}

/** `bytes=2-4`, `bytes=2-`, `bytes=-4` → half-open; undefined: the whole object */
export function parseRange(
  value: string | undefined,
  sizeBytes: number,
): readonly [from: number, until: number] | undefined {
  const match = /^bytes=(\d*)-(\d*)$/.exec(value ?? '')
  if (match === null || (match[1] === '' && match[2] === '')) return undefined
  const isSuffix = match[1] === ''
  const from = isSuffix ? Math.max(0, sizeBytes - Number(match[2])) : Number(match[1])
  const until = isSuffix || match[2] === '' ? sizeBytes : Math.min(sizeBytes, Number(match[2]) + 1)
  if (from >= until)
    throw new S3Error(416, 'InvalidRange', 'The requested range is not satisfiable', {
      headers: { 'content-range': `bytes */${sizeBytes}` },
    })
  return [from, until]
}

export function deleteObject(request: S3Request, bucket: Bucket): S3Answer {
  bucket.objects.delete(request.key)
  return { status: 204 }
}

export function deleteObjects(request: S3Request, bucket: Bucket): S3Answer {
  if (header(request, 'content-md5') === undefined && request.crc32 === undefined)
    throw new S3Error(400, 'InvalidRequest', 'Missing required header for this request: Content-MD5')
  const keys = inside(request.body.toString('utf8'), 'Object').map((object) => textOf(object, 'Key')!)
  for (const key of keys) bucket.objects.delete(key)
  return xmlAnswer('DeleteResult', { Deleted: keys.map((key) => ({ Key: key })) })
}

export function copyObject(request: S3Request, bucket: Bucket, buckets: Buckets): S3Answer {
  const source = copySource(request, buckets)
  const isReplaced = header(request, 'x-amz-metadata-directive') === 'REPLACE'
  const crc = { crc32: source.crc32 ?? crcBase64(source.body), nowMs: request.nowMs }
  const object = newObject(source.body, isReplaced ? keptHeaders(request) : source.headers, crc)
  bucket.objects.set(request.key, object)
  return xmlAnswer('CopyObjectResult', {
    ETag: object.etag,
    LastModified: new Date(object.modifiedMs).toISOString(),
  })
}

/** The object a copy names, cut to its range. */
export function copySource(request: S3Request, buckets: Buckets): StoredObject {
  const [bucketName, ...parts] = decodeURIComponent(header(request, 'x-amz-copy-source')!)
    .replace(/^\//, '')
    .split('/')
  const bucket = buckets.get(bucketName!)
  if (bucket === undefined)
    throw new S3Error(404, 'NoSuchBucket', 'The specified bucket does not exist', {
      elements: { BucketName: bucketName! },
    })
  const object = bucket.objects.get(parts.join('/'))
  if (object === undefined) throw noSuchKey(parts.join('/'))
  const range = parseRange(header(request, 'x-amz-copy-source-range'), object.body.length)
  return range === undefined ? object : { ...object, body: object.body.subarray(...range), crc32: undefined }
}
