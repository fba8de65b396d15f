/** ListObjectsV2: keys in UTF-8 order, by prefix, delimiter and page. */

import { S3Error, type S3Answer, type S3Request } from './protocol.ts'
import type { Bucket } from './state.ts'
import { xmlAnswer } from './xml.ts'

/** Faults of a server's own: a page that comes again, one that says there is more and not where. */
export type ListingFault = 'repeated-page' | 'lost-token'

/** @param pageSize at most so many keys an answer, whatever was asked for */
export function listObjects(
  request: S3Request,
  bucket: Bucket,
  pageSize: number,
  fault?: ListingFault,
): S3Answer {
  const { query } = request
  const asked = Number(query.get('max-keys') ?? 1000)
  if (!Number.isInteger(asked) || asked < 0)
    throw new S3Error(400, 'InvalidArgument', 'Provided max-keys not an integer or within integer range')
  const prefix = query.get('prefix') ?? ''
  const delimiter = query.get('delimiter') ?? ''
  const after = fault === 'repeated-page' ? '' : startOf(query)
  const entries = entriesOf(sortedKeys(bucket, prefix), prefix, delimiter).filter(
    (entry) => after === '' || Buffer.compare(Buffer.from(entry.name), Buffer.from(after)) > 0,
  )
  const page = entries.slice(0, Math.min(asked, pageSize, 1000))
  const isTruncated = page.length < entries.length && page.length > 0
  const encode = query.get('encoding-type') === 'url' ? urlEncoded : (key: string) => key
  return xmlAnswer('ListBucketResult', {
    Name: request.bucket,
    Prefix: encode(prefix),
    ...(delimiter === '' ? {} : { Delimiter: encode(delimiter) }),
    MaxKeys: asked,
    KeyCount: page.length,
    IsTruncated: isTruncated,
    ...(query.get('encoding-type') === 'url' ? { EncodingType: 'url' } : {}),
    ...(isTruncated && fault !== 'lost-token' ? { NextContinuationToken: tokenOf(page.at(-1)!.name) } : {}),
    Contents: page
      .filter(({ isPrefix }) => !isPrefix)
      .map(({ name }) => {
        const object = bucket.objects.get(name)!
        return {
          Key: encode(name),
          LastModified: new Date(object.modifiedMs).toISOString(),
          ETag: object.etag,
          Size: object.body.length,
          StorageClass: 'STANDARD',
        }
      }),
    CommonPrefixes: page.filter(({ isPrefix }) => isPrefix).map(({ name }) => ({ Prefix: encode(name) })),
  })
}

function startOf(query: URLSearchParams): string {
  const token = query.get('continuation-token')
  if (token === null) return query.get('start-after') ?? ''
  if (!token.startsWith('t'))
    throw new S3Error(400, 'InvalidArgument', 'The continuation token provided is incorrect')
  return Buffer.from(token.slice(1), 'base64url').toString('utf8')
}

function tokenOf(name: string): string {
  return `t${Buffer.from(name).toString('base64url')}`
}

function sortedKeys(bucket: Bucket, prefix: string): string[] {
  return bucket.objects
    .names()
    .filter((key) => key.startsWith(prefix))
    .sort((one, other) => Buffer.compare(Buffer.from(one), Buffer.from(other)))
}

interface Entry {
  readonly name: string
  readonly isPrefix: boolean
}

/** Keys, those with a delimiter after the prefix folded into one entry. */
function entriesOf(keys: readonly string[], prefix: string, delimiter: string): Entry[] {
  const entries: Entry[] = []
  for (const key of keys) {
    const at = delimiter === '' ? -1 : key.indexOf(delimiter, prefix.length)
    const name = at < 0 ? key : key.slice(0, at + delimiter.length)
    if (at < 0 || entries.at(-1)?.name !== name) entries.push({ name, isPrefix: at >= 0 })
  }
  return entries
}

function urlEncoded(key: string): string {
  return encodeURIComponent(key).replaceAll('%2F', '/').replaceAll('%20', '+')
}
