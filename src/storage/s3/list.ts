/** Listings of any length. A listing that cannot be trusted to be whole is an error, never a shorter one. */

import type { ListObjectsV2CommandInput, ListObjectsV2CommandOutput } from '@aws-sdk/client-s3'
import { VaultError } from '../../core/errors.ts'
import type { ObjectInfo } from '../object-store.ts'
import type { Attempt, S3Connection } from './connection.ts'
import { DamagedAnswer } from './failure.ts'

/**
 * Objects whose key starts with `prefix`, without what is not the vault's: the markers consoles make for folders, and our own probes.
 *
 * A bucket is sorted by UTF-8, that is by code point; the interface by UTF-16 code unit. They differ only among characters from
 * U+D800 on, which no key of ours has: from the first page with one, everything is collected and sorted.
 */
export async function* listObjects(
  connection: S3Connection,
  prefix: string,
  signal: AbortSignal,
): AsyncGenerator<readonly ObjectInfo[]> {
  const collected: ObjectInfo[] = []
  for await (const page of pages(connection, connection.full(prefix), signal)) {
    const infos = page.filter(({ key }) => isOurs(key))
    if (collected.length > 0 || infos.some(({ key }) => /[\ud800-\uffff]/.test(key))) collected.push(...infos)
    else if (infos.length > 0) yield infos
  }
  if (collected.length > 0) yield collected.sort((a, b) => (a.key < b.key ? -1 : 1))
}

function isOurs(key: string): boolean {
  return key !== '' && !key.endsWith('/') && !key.startsWith('.mdv/')
}

async function* pages(
  connection: S3Connection,
  fullPrefix: string,
  signal: AbortSignal,
): AsyncGenerator<ObjectInfo[]> {
  const where = `s3://${connection.bucket}/${fullPrefix}`
  let token: string | undefined
  let lastKey: Buffer | undefined
  do {
    const answer = await page(connection, fullPrefix, token, signal)
    const infos = infosOf(answer, connection.keyPrefix, where)
    const [first, last] = [infos.at(0), infos.at(-1)]
    if (first !== undefined && lastKey !== undefined && Buffer.compare(Buffer.from(first.key), lastKey) <= 0)
      throw untrusted(where, 'repeats a page')
    if (last !== undefined) lastKey = Buffer.from(last.key)
    yield infos
    const next = answer.NextContinuationToken
    if (answer.IsTruncated === true && (next === undefined || next === token))
      throw untrusted(where, 'says there is more and not where')
    token = answer.IsTruncated === true ? next : undefined
  } while (token !== undefined)
}

function page(
  connection: S3Connection,
  fullPrefix: string,
  token: string | undefined,
  signal: AbortSignal,
): Promise<ListObjectsV2CommandOutput> {
  return connection.request(
    'list',
    (attempt) =>
      sendList(
        {
          Bucket: connection.bucket,
          Prefix: fullPrefix,
          EncodingType: 'url',
          ...(token === undefined ? {} : { ContinuationToken: token }),
        },
        attempt,
      ),
    signal,
  )
}

/**
 * One request for a page.
 *
 * @throws {DamagedAnswer} for an answer that is no listing: of a web page that a proxy or console sent with 200, the SDK makes an empty one
 */
export async function sendList(
  input: ListObjectsV2CommandInput,
  { client, sdk, options }: Attempt,
): Promise<ListObjectsV2CommandOutput> {
  const answer = await client.send(new sdk.ListObjectsV2Command(input), options)
  if (answer.Name === undefined && answer.IsTruncated === undefined)
    throw new DamagedAnswer('no listing was answered')
  return answer
}

/**
 * Objects of one page. Keys are as hostile as the bucket: what cannot be a key of ours is refused where it is opened.
 *
 * @throws {VaultError} `unavailable` for an object without a key, or one whose encoding is broken
 */
export function infosOf(
  answer: Pick<ListObjectsV2CommandOutput, 'Contents' | 'EncodingType'>,
  keyPrefix: string,
  where: string,
): ObjectInfo[] {
  return (answer.Contents ?? []).map((object) => {
    if (object.Key === undefined) throw untrusted(where, 'has an object without a key')
    const key = answer.EncodingType === 'url' ? urlDecoded(where, object.Key) : object.Key
    return {
      key: key.slice(keyPrefix.length),
      sizeBytes: object.Size ?? 0,
      modifiedMs: object.LastModified?.getTime() ?? 0,
    }
  })
}

/** @throws {VaultError} `unavailable` for what is no valid encoding of UTF-8 */
export function urlDecoded(where: string, key: string): string {
  try {
    return decodeURIComponent(key.replaceAll('+', '%20'))
  } catch (error) {
    if (error instanceof URIError)
      throw untrusted(where, `has a key with broken encoding: ${JSON.stringify(key)}`)
    throw error
  }
}

function untrusted(where: string, what: string): VaultError {
  return new VaultError('unavailable', `${where}: the server's listing ${what}`, {
    remedy: 'try again; if it stays so, the server cannot be used',
  })
}
