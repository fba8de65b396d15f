/** Put-if-absent in a bucket: PutObject with `If-None-Match: *`, where a refusal is believed only after looking whose object it is. */

import { Readable } from 'node:stream'
import type { PutOutcome } from '../object-store.ts'
import type { Attempt, S3Connection } from './connection.ts'
import { sha256Name, tokenName, type Content } from './content.ts'
import { DamagedAnswer, isAbsent, isConditionFailed } from './failure.ts'

/** Sending more than this once more costs more than asking first whether it landed. */
const askAboveBytes = 256 * 1024

export interface Put {
  /** In the bucket, prefix included. */
  readonly fullKey: string
  readonly content: Content
  /** Whoever finds it on the object knows the object as theirs. */
  readonly token: string
}

/**
 * @returns `created` also when an earlier attempt of this very put landed and only its answer was lost; `exists` also when the object
 *   that was in the way is gone again: someone had the name
 */
export async function putIfAbsent(
  connection: S3Connection,
  put: Put,
  signal?: AbortSignal,
): Promise<PutOutcome> {
  const send = async (attempt: Attempt): Promise<PutOutcome> => {
    await sendPut(connection, put, { IfNoneMatch: '*' }, attempt)
    return 'created'
  }
  const find = (stop: AbortSignal) => outcomeAt(connection, put, stop)
  const isLarge = put.content.sizeBytes > askAboveBytes
  try {
    return await connection.request('put', send, signal, isLarge ? find : undefined)
  } catch (error) {
    if (!isConditionFailed(error)) throw error
    return (await outcomeAt(connection, put, signal)) ?? 'exists'
  }
}

/** Whose object is there; undefined: none is. */
async function outcomeAt(
  connection: S3Connection,
  put: Put,
  signal?: AbortSignal,
): Promise<PutOutcome | undefined> {
  const found = await tokenAt(connection, put.fullKey, signal)
  if (found === undefined) return undefined
  return found === put.token ? 'created' : 'exists'
}

/**
 * For a server without conditions, and one process that writes: looks, then puts. Two puts of one key must not run at once.
 *
 * @returns as `putIfAbsent`
 */
export async function putAfterLooking(
  connection: S3Connection,
  put: Put,
  signal?: AbortSignal,
): Promise<PutOutcome> {
  const found = await outcomeAt(connection, put, signal)
  if (found !== undefined) return found
  await connection.request('put', (attempt) => sendPut(connection, put, {}, attempt), signal)
  return 'created'
}

/**
 * One PutObject.
 *
 * @returns its ETag
 * @throws {DamagedAnswer} for a 200 without one: something else than an S3 server answered
 */
export async function sendPut(
  connection: S3Connection,
  put: Put,
  condition: { readonly IfNoneMatch?: '*'; readonly IfMatch?: string },
  attempt: Attempt,
): Promise<string> {
  const { content } = put
  const command = new attempt.sdk.PutObjectCommand({
    Bucket: connection.bucket,
    Key: put.fullKey,
    ContentLength: content.sizeBytes,
    ChecksumCRC32: content.crc32,
    Metadata: { [sha256Name]: content.sha256, [tokenName]: put.token },
    ...condition,
  })
  const answer = await sendBody(connection, content, (body) => {
    command.input.Body = body
    signBody(command, content.sha256)
    return attempt.client.send(command, attempt.options)
  })
  if (answer.ETag === undefined) throw new DamagedAnswer('no ETag was answered')
  return answer.ETag
}

/** Opens the body for one attempt, counts it, and closes what a failed attempt leaves open. */
export async function sendBody<T>(
  connection: S3Connection,
  content: Content,
  send: (body: Buffer | Readable) => Promise<T>,
): Promise<T> {
  const body = content.open()
  try {
    connection.counter.countUp(content.sizeBytes)
    return await send(body)
  } finally {
    if (body instanceof Readable) body.destroy()
  }
}

interface HeaderStack {
  add(
    middleware: (next: (args: { request: unknown }) => Promise<never>) => typeof next,
    options: { step: 'build'; name: string },
  ): void
}

/** Has the request signed with the body's SHA-256, which the SDK leaves out for streams. */
export function signBody(command: { readonly middlewareStack: unknown }, sha256: string): void {
  const stack = command.middlewareStack as HeaderStack
  stack.add(
    (next) => (args) => {
      const request = args.request as { headers: Record<string, string> }
      request.headers['x-amz-content-sha256'] = sha256
      return next(args)
    },
    { step: 'build', name: 'mdvSignedBody' },
  )
}

/** @returns the token of the object there, '' for one without, undefined: there is none */
async function tokenAt(
  connection: S3Connection,
  fullKey: string,
  signal?: AbortSignal,
): Promise<string | undefined> {
  try {
    const answer = await connection.request(
      'head',
      ({ client, sdk, options }) =>
        client.send(new sdk.HeadObjectCommand({ Bucket: connection.bucket, Key: fullKey }), options),
      signal,
    )
    return answer.Metadata?.[tokenName] ?? ''
  } catch (error) {
    if (isAbsent(error)) return undefined
    throw error
  }
}
