/** A request as the handlers see it, and what they answer. */

import type { IncomingHttpHeaders } from 'node:http'

export interface S3Request {
  readonly method: string
  readonly bucket: string
  /** Empty: it is about the bucket. */
  readonly key: string
  readonly query: URLSearchParams
  readonly headers: IncomingHttpHeaders
  /** Decoded and verified. */
  readonly body: Buffer
  /** Of `body`, where the client sent one: base64. */
  readonly crc32: string | undefined
  readonly nowMs: number
}

export interface S3Answer {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Buffer | string
}

/** Refused, with S3's own code. */
export class S3Error extends Error {
  readonly code: string
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  /** Further elements of the error's XML. */
  readonly elements: Readonly<Record<string, string>>

  constructor(
    status: number,
    code: string,
    message: string,
    more: { headers?: Readonly<Record<string, string>>; elements?: Readonly<Record<string, string>> } = {},
  ) {
    super(message)
    this.status = status
    this.code = code
    this.headers = more.headers ?? {}
    this.elements = more.elements ?? {}
  }
}

export function header(request: { readonly headers: IncomingHttpHeaders }, name: string): string | undefined {
  const value = request.headers[name]
  return Array.isArray(value) ? value.join(',') : value
}

/** The name AWS has for what is asked, as in a policy's actions and on the bill. */
export function operationOf(request: Pick<S3Request, 'method' | 'key' | 'query' | 'headers'>): string {
  const has = (name: string): boolean => request.query.has(name)
  if (request.key === '') return bucketOperation(request.method, request.query)
  const isCopy = request.headers['x-amz-copy-source'] !== undefined
  switch (request.method) {
    case 'PUT':
      if (has('uploadId')) return isCopy ? 'UploadPartCopy' : 'UploadPart'
      return isCopy ? 'CopyObject' : 'PutObject'
    case 'GET':
      return has('uploadId') ? 'ListParts' : 'GetObject'
    case 'HEAD':
      return 'HeadObject'
    case 'DELETE':
      return has('uploadId') ? 'AbortMultipartUpload' : 'DeleteObject'
    case 'POST':
      return has('uploads') ? 'CreateMultipartUpload' : 'CompleteMultipartUpload'
    default:
      return 'Unknown'
  }
}

/** Parts of a bucket one can ask for, by their word in the query. */
export const subResources: Readonly<Record<string, string>> = {
  location: 'GetBucketLocation',
  versioning: 'GetBucketVersioning',
  lifecycle: 'GetLifecycleConfiguration',
  policyStatus: 'GetBucketPolicyStatus',
  publicAccessBlock: 'GetPublicAccessBlock',
  replication: 'GetReplicationConfiguration',
}

function bucketOperation(method: string, query: URLSearchParams): string {
  if (method === 'HEAD') return 'HeadBucket'
  if (method === 'PUT') return 'CreateBucket'
  if (method === 'POST') return query.has('delete') ? 'DeleteObjects' : 'Unknown'
  if (method !== 'GET') return 'Unknown'
  if (query.has('uploads')) return 'ListMultipartUploads'
  const name = Object.keys(subResources).find((word) => query.has(word))
  if (name !== undefined) return subResources[name]!
  return query.get('list-type') === '2' ? 'ListObjectsV2' : 'Unknown'
}
