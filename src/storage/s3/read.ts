/** Bytes of an object: whole and small, or a range as it comes. */

import { createHash } from 'node:crypto'
import type { Readable } from 'node:stream'
import type { GetObjectCommandOutput } from '@aws-sdk/client-s3'
import { VaultError } from '../../core/errors.ts'
import { tooLarge } from '../object-store.ts'
import { callOnAbort } from './abort.ts'
import type { S3Connection } from './connection.ts'
import { sha256Name } from './content.ts'
import { DamagedAnswer, isAbsent, isConditionFailed, readFailure } from './failure.ts'

/** What comes off a socket is gathered to this much before it is handed on. */
const chunkBytes = 1024 * 1024

/**
 * All bytes, at most `bytesMax`, verified against the SHA-256 we stored with them; undefined: there is no such object. The server's CRC32 is not asked for as
 * well: the SDK's check of it is a stream of its own.
 */
export async function getWhole(
  connection: S3Connection,
  fullKey: string,
  bytesMax: number,
  signal?: AbortSignal,
): Promise<Buffer | undefined> {
  try {
    return await connection.request(
      'get',
      async ({ client, sdk, options }) => {
        const command = new sdk.GetObjectCommand({ Bucket: connection.bucket, Key: fullKey })
        const answer = await client.send(command, options)
        const subject = `s3://${connection.bucket}/${fullKey}`
        const body = await collected(answer.Body as Readable, answer.ContentLength, bytesMax, subject)
        connection.counter.countDown(body.length)
        verify(body, answer)
        return body
      },
      signal,
    )
  } catch (error) {
    if (isAbsent(error)) return undefined
    throw error
  }
}

/** What the server announces is believed for refusing only: what comes is counted. */
async function collected(
  stream: Readable,
  announced: number | undefined,
  bytesMax: number,
  subject: string,
): Promise<Buffer> {
  if (announced !== undefined && announced > bytesMax) {
    stream.destroy()
    throw tooLarge(subject, announced, bytesMax)
  }
  const parts: Buffer[] = []
  let sizeBytes = 0
  for await (const part of stream as AsyncIterable<Buffer>) {
    sizeBytes += part.length
    if (sizeBytes > bytesMax) throw tooLarge(subject, undefined, bytesMax)
    parts.push(part)
  }
  return Buffer.concat(parts)
}

function verify(body: Buffer, answer: GetObjectCommandOutput): void {
  const stored = answer.Metadata?.[sha256Name]
  if (stored !== undefined && createHash('sha256').update(body).digest('hex') !== stored)
    throw new DamagedAnswer(`${body.length} bytes do not have the SHA-256 they were stored with`)
}

/** What the first answer told of the object, which every later one must agree with. */
interface Identity {
  readonly etag: string | undefined
  readonly sizeBytes: number
}

/**
 * Bytes [from, until), from as few requests as the connections last: where one breaks, the next begins.
 *
 * @throws {VaultError} `invalid`: there is no such object; `unavailable`: it was replaced while it was read
 */
export async function* readRange(
  connection: S3Connection,
  key: string,
  from: number,
  until: number,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  let identity: Identity | undefined
  let failures = 0
  for (let at = from; identity === undefined || at < Math.min(until, identity.sizeBytes);) {
    const answer = await openRange(connection, key, at, until, identity, signal)
    if (answer === undefined) return
    const body = answer.Body as Readable
    if (until <= from) {
      body.destroy()
      return
    }
    identity ??= { etag: answer.ETag, sizeBytes: totalOf(answer) }
    const startedAt = at
    const release = callOnAbort([signal, connection.closing], (reason) => body.destroy(reason as Error))
    try {
      for await (const chunk of gathered(body)) {
        connection.counter.countDown(chunk.length)
        at += chunk.length
        yield chunk
      }
      if (at < Math.min(until, identity.sizeBytes)) throw new DamagedAnswer('fewer bytes than announced')
    } catch (error) {
      failures = at > startedAt ? 0 : failures + 1
      signal.throwIfAborted()
      connection.closing.throwIfAborted()
      if (!connection.mayTryAgain(error, failures + 1)) throw connection.explain(error, key, signal)
      await connection.pause(failures, signal)
    } finally {
      release()
    }
  }
}

/** @returns undefined: the range lies behind the end */
async function openRange(
  connection: S3Connection,
  key: string,
  from: number,
  until: number,
  identity: Identity | undefined,
  signal: AbortSignal,
): Promise<GetObjectCommandOutput | undefined> {
  try {
    return await connection.request(
      'get',
      ({ client, sdk, options }) =>
        client.send(
          new sdk.GetObjectCommand({
            Bucket: connection.bucket,
            Key: connection.full(key),
            Range: `bytes=${from}-${Math.max(from, until - 1)}`,
            ...(identity?.etag === undefined ? {} : { IfMatch: identity.etag }),
          }),
          options,
        ),
      signal,
    )
  } catch (error) {
    if (readFailure(error).status === 416) return undefined
    if (isAbsent(error))
      throw new VaultError('invalid', `${connection.url(key)}: there is no such object`, { cause: error })
    if (isConditionFailed(error)) throw replaced(connection.url(key))
    throw connection.explain(error, key, signal)
  }
}

export function replaced(subject: string): VaultError {
  return new VaultError('unavailable', `${subject}: the object was replaced while it was read`, {
    remedy: 'read it again; mdv never replaces an object, so see who else writes there',
  })
}

/** The object's whole size, of an answer to a range. */
export function totalOf(answer: GetObjectCommandOutput): number {
  const total = /\/(\d+)$/.exec(answer.ContentRange ?? '')?.[1]
  return total === undefined ? (answer.ContentLength ?? 0) : Number(total)
}

/** Chunks off a socket, 64 KiB and less, as larger ones; what came before it broke is handed on first. */
async function* gathered(stream: Readable): AsyncGenerator<Buffer> {
  let parts: Buffer[] = []
  let sizeBytes = 0
  let broken: Error | undefined
  try {
    for await (const part of stream as AsyncIterable<Buffer>) {
      parts.push(part)
      sizeBytes += part.length
      if (sizeBytes < chunkBytes) continue
      yield Buffer.concat(parts)
      parts = []
      sizeBytes = 0
    }
  } catch (error) {
    broken = error instanceof Error ? error : new DamagedAnswer(String(error))
  }
  if (sizeBytes > 0) yield Buffer.concat(parts)
  if (broken !== undefined) throw broken
}
