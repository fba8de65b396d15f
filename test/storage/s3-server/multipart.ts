/** Multi-part uploads: invisible until they are completed. */

import { createHash, randomUUID } from 'node:crypto'
import { checkPutConditions, copySource, keptHeaders, newObject } from './objects.ts'
import { S3Error, type S3Answer, type S3Request } from './protocol.ts'
import type { Bucket, Buckets, StoredObject, StoredUpload } from './state.ts'
import { inside, textOf, xmlAnswer } from './xml.ts'

const partBytesAtLeast = 5 * 1024 * 1024

export function createUpload(request: S3Request, bucket: Bucket): S3Answer {
  const upload = {
    id: randomUUID(),
    key: request.key,
    startedMs: request.nowMs,
    headers: keptHeaders(request),
  }
  bucket.uploads.set(upload.id, upload)
  return xmlAnswer('InitiateMultipartUploadResult', {
    Bucket: request.bucket,
    Key: request.key,
    UploadId: upload.id,
  })
}

function uploadOf(request: S3Request, bucket: Bucket): StoredUpload {
  const upload = bucket.uploads.get(request.query.get('uploadId') ?? '')
  if (upload === undefined || upload.key !== request.key)
    throw new S3Error(404, 'NoSuchUpload', 'The specified upload does not exist.')
  return upload
}

export function uploadPart(request: S3Request, bucket: Bucket): S3Answer {
  const part = newObject(request.body, {}, request)
  bucket.parts.set(partName(uploadOf(request, bucket), partNumber(request)), part)
  const checksum = request.crc32 === undefined ? {} : { 'x-amz-checksum-crc32': request.crc32 }
  return { status: 200, headers: { etag: part.etag, ...checksum } }
}

export function uploadPartCopy(request: S3Request, bucket: Bucket, buckets: Buckets): S3Answer {
  const source = copySource(request, buckets)
  const part = newObject(source.body, {}, { nowMs: request.nowMs, crc32: undefined })
  bucket.parts.set(partName(uploadOf(request, bucket), partNumber(request)), part)
  return xmlAnswer('CopyPartResult', {
    ETag: part.etag,
    LastModified: new Date(part.modifiedMs).toISOString(),
  })
}

function partNumber(request: S3Request): number {
  const number = Number(request.query.get('partNumber'))
  if (!Number.isInteger(number) || number < 1 || number > 10_000)
    throw new S3Error(400, 'InvalidArgument', 'Part number must be an integer between 1 and 10000, inclusive')
  return number
}

function partName(upload: StoredUpload, number: number): string {
  return `${upload.id}/${number}`
}

function partsOf(upload: StoredUpload, bucket: Bucket): readonly (readonly [number, StoredObject])[] {
  return bucket.parts
    .names()
    .filter((name) => name.startsWith(`${upload.id}/`))
    .map((name) => [Number(name.slice(upload.id.length + 1)), bucket.parts.get(name)!] as const)
    .sort(([one], [other]) => one - other)
}

export function completeUpload(request: S3Request, bucket: Bucket, ignoresConditions: boolean): S3Answer {
  const upload = uploadOf(request, bucket)
  if (!ignoresConditions) checkPutConditions(request, bucket.objects.get(request.key))
  const parts = listedParts(request, upload, bucket)
  const body = Buffer.concat(parts.map((part) => part.body))
  const md5s = parts.map((part) => Buffer.from(part.etag.replaceAll('"', ''), 'hex'))
  const etag = `"${createHash('md5').update(Buffer.concat(md5s)).digest('hex')}-${parts.length}"`
  bucket.objects.set(request.key, {
    body,
    etag,
    modifiedMs: request.nowMs,
    headers: upload.headers,
    crc32: undefined,
  })
  forget(upload, bucket)
  return xmlAnswer('CompleteMultipartUploadResult', { Bucket: request.bucket, Key: request.key, ETag: etag })
}

function listedParts(request: S3Request, upload: StoredUpload, bucket: Bucket): StoredObject[] {
  const listed = inside(request.body.toString('utf8'), 'Part').map((part) => ({
    number: Number(textOf(part, 'PartNumber')),
    etag: textOf(part, 'ETag')!,
  }))
  if (listed.length === 0) throw new S3Error(400, 'MalformedXML', 'The XML you provided was not well-formed')
  if (listed.some(({ number }, i) => i > 0 && number <= listed[i - 1]!.number))
    throw new S3Error(400, 'InvalidPartOrder', 'The list of parts was not in ascending order.')
  return listed.map(({ number, etag }, i) => {
    const part = bucket.parts.get(partName(upload, number))
    if (part === undefined || part.etag.replaceAll('"', '') !== etag.replaceAll('"', ''))
      throw new S3Error(400, 'InvalidPart', 'One or more of the specified parts could not be found.')
    if (i < listed.length - 1 && part.body.length < partBytesAtLeast)
      throw new S3Error(
        400,
        'EntityTooSmall',
        'Your proposed upload is smaller than the minimum allowed object size.',
      )
    return part
  })
}

export function abortUpload(request: S3Request, bucket: Bucket): S3Answer {
  forget(uploadOf(request, bucket), bucket)
  return { status: 204 }
}

function forget(upload: StoredUpload, bucket: Bucket): void {
  for (const [number] of partsOf(upload, bucket)) bucket.parts.delete(partName(upload, number))
  bucket.uploads.delete(upload.id)
}

export function listParts(request: S3Request, bucket: Bucket): S3Answer {
  const upload = uploadOf(request, bucket)
  return xmlAnswer('ListPartsResult', {
    Bucket: request.bucket,
    Key: request.key,
    UploadId: upload.id,
    IsTruncated: false,
    Part: partsOf(upload, bucket).map(([number, part]) => ({
      PartNumber: number,
      ETag: part.etag,
      Size: part.body.length,
      LastModified: new Date(part.modifiedMs).toISOString(),
    })),
  })
}

/** @param pageSize at most so many an answer */
export function listUploads(request: S3Request, bucket: Bucket, pageSize: number): S3Answer {
  const prefix = request.query.get('prefix') ?? ''
  const after = [request.query.get('key-marker') ?? '', request.query.get('upload-id-marker') ?? ''].join(
    '\0',
  )
  const uploads = bucket.uploads
    .names()
    .map((id) => bucket.uploads.get(id)!)
    .map((upload) => ({ upload, place: `${upload.key}\0${upload.id}` }))
    .filter(({ upload, place }) => upload.key.startsWith(prefix) && (after === '\0' || place > after))
    .sort((one, other) => (one.place < other.place ? -1 : 1))
  const page = uploads.slice(0, pageSize).map(({ upload }) => upload)
  const last = page.at(-1)
  return xmlAnswer('ListMultipartUploadsResult', {
    Bucket: request.bucket,
    IsTruncated: uploads.length > page.length,
    ...(last === undefined ? {} : { NextKeyMarker: last.key, NextUploadIdMarker: last.id }),
    Upload: page.map((upload) => ({
      Key: upload.key,
      UploadId: upload.id,
      Initiated: new Date(upload.startedMs).toISOString(),
    })),
  })
}
