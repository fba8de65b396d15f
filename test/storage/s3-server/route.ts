/** From an operation's name to what is done. */

import { getSubResource } from './bucket-requests.ts'
import { listObjects, type ListingFault } from './listing.ts'
import * as multipart from './multipart.ts'
import * as objects from './objects.ts'
import { S3Error, subResources, type S3Answer, type S3Request } from './protocol.ts'
import type { Bucket, Buckets } from './state.ts'

export interface Behaviour {
  readonly region: string
  /** As many servers do: every put replaces what was there. */
  readonly ignoresConditions: boolean
  /** Listings are cut to this. */
  readonly pageSize: number
}

interface Call {
  readonly request: S3Request
  readonly bucket: Bucket
  readonly buckets: Buckets
  readonly behaviour: Behaviour
  readonly fault: ListingFault | undefined
}

const handlers: Readonly<Record<string, (call: Call) => S3Answer>> = {
  HeadBucket: ({ behaviour }) => ({ status: 200, headers: { 'x-amz-bucket-region': behaviour.region } }),
  DeleteObjects: ({ request, bucket }) => objects.deleteObjects(request, bucket),
  ListObjectsV2: ({ request, bucket, behaviour, fault }) =>
    listObjects(request, bucket, behaviour.pageSize, fault),
  PutObject: ({ request, bucket, behaviour }) =>
    objects.putObject(request, bucket, behaviour.ignoresConditions),
  GetObject: ({ request, bucket }) => objects.getObject(request, bucket),
  HeadObject: ({ request, bucket }) => objects.getObject(request, bucket),
  DeleteObject: ({ request, bucket }) => objects.deleteObject(request, bucket),
  CopyObject: ({ request, bucket, buckets }) => objects.copyObject(request, bucket, buckets),
  CreateMultipartUpload: ({ request, bucket }) => multipart.createUpload(request, bucket),
  UploadPart: ({ request, bucket }) => multipart.uploadPart(request, bucket),
  UploadPartCopy: ({ request, bucket, buckets }) => multipart.uploadPartCopy(request, bucket, buckets),
  CompleteMultipartUpload: ({ request, bucket, behaviour }) =>
    multipart.completeUpload(request, bucket, behaviour.ignoresConditions),
  AbortMultipartUpload: ({ request, bucket }) => multipart.abortUpload(request, bucket),
  ListParts: ({ request, bucket }) => multipart.listParts(request, bucket),
  ListMultipartUploads: ({ request, bucket, behaviour }) =>
    multipart.listUploads(request, bucket, behaviour.pageSize),
}

/** @throws {S3Error} what S3 would answer */
export function answer(
  operation: string,
  request: S3Request,
  buckets: Buckets,
  behaviour: Behaviour,
  fault: ListingFault | undefined,
): S3Answer {
  if (operation === 'CreateBucket') {
    if (buckets.get(request.bucket) === undefined) buckets.create(request.bucket)
    return { status: 200, headers: { location: `/${request.bucket}` } }
  }
  if (!/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(request.bucket))
    throw new S3Error(400, 'InvalidBucketName', 'The specified bucket is not valid.')
  const bucket = buckets.get(request.bucket)
  if (bucket === undefined)
    throw new S3Error(404, 'NoSuchBucket', 'The specified bucket does not exist', {
      elements: { BucketName: request.bucket },
    })
  if (Object.values(subResources).includes(operation))
    return getSubResource(request, bucket, behaviour.region)
  const handler = handlers[operation]
  if (handler === undefined)
    throw new S3Error(
      501,
      'NotImplemented',
      'A header you provided implies functionality that is not implemented',
    )
  return handler({ request, bucket, buckets, behaviour, fault })
}
