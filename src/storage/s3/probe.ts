/**
 * Tries whether the server honours conditional writes, with objects of its own in the configured bucket and prefix. What a server is
 * called does not tell: one and the same Ceph does on one bucket and silently does not on a versioned one.
 */

import { randomUUID } from 'node:crypto'
import type { S3Connection } from './connection.ts'
import { contentOf } from './content.ts'
import { isAbsent, readFailure } from './failure.ts'
import { sendPut, type Put } from './put.ts'

export type ConditionVerdict =
  | {
      readonly verdict: 'shared'
      /** Compare-and-set: which way of writing the ETag works. Not needed by the vault, told by the doctor. */
      readonly ifMatch: 'both' | 'unquoted' | 'quoted' | 'ignored' | 'refused'
    }
  | {
      readonly verdict: 'single-writer'
      /** What was tried and what came: `a second create with If-None-Match:* was answered 200 instead of 412`. */
      readonly failedCheck: string
    }

const racers = 8

/**
 * The whole probe: 13 puts.
 *
 * @throws what a failing request threw: a probe that could not run has no verdict
 */
export async function probeConditions(
  connection: S3Connection,
  signal?: AbortSignal,
): Promise<ConditionVerdict> {
  return withFolder(connection, async (folder) => {
    const put = (name: string, condition: Condition) => statusOf(connection, folder + name, condition, signal)
    const first = await put('twice', { IfNoneMatch: '*' })
    const failedCheck = (await checkSecond(first, put)) ?? (await checkRace(put))
    if (failedCheck !== undefined) return { verdict: 'single-writer', failedCheck }
    return { verdict: 'shared', ifMatch: await tryIfMatch(first.etag ?? '', (each) => put('twice', each)) }
  })
}

/**
 * Two puts, for a server that was shared the last time: versioning, which makes some servers ignore conditions, may have been switched on
 * since.
 *
 * @returns what failed
 */
export async function probeAgain(
  connection: S3Connection,
  signal?: AbortSignal,
): Promise<string | undefined> {
  return withFolder(connection, async (folder) => {
    const put = (name: string, condition: Condition) => statusOf(connection, folder + name, condition, signal)
    return checkSecond(await put('twice', { IfNoneMatch: '*' }), put)
  })
}

type PutProbe = (name: 'twice' | 'race', condition: Condition) => Promise<PutAnswer>

async function checkSecond(first: PutAnswer, put: PutProbe): Promise<string | undefined> {
  if (first.status !== 200) return `a create with If-None-Match:* was answered ${first.status} instead of 200`
  const second = await put('twice', { IfNoneMatch: '*' })
  return second.status === 412
    ? undefined
    : `a second create with If-None-Match:* was answered ${second.status} instead of 412`
}

async function checkRace(put: PutProbe): Promise<string | undefined> {
  const race = Array.from({ length: racers }, () => put('race', { IfNoneMatch: '*' }))
  const winners = (await Promise.all(race)).filter(({ status }) => status === 200).length
  return winners === 1
    ? undefined
    : `of ${racers} creates at once ${winners} were answered 200 instead of one`
}

async function withFolder<T>(connection: S3Connection, probe: (folder: string) => Promise<T>): Promise<T> {
  const folder = connection.full(`.mdv/probe/${randomUUID()}/`)
  try {
    return await probe(folder)
  } finally {
    for (const name of ['twice', 'race']) await remove(connection, folder + name)
  }
}

interface Condition {
  readonly IfNoneMatch?: '*'
  readonly IfMatch?: string
}

interface PutAnswer {
  readonly status: number
  readonly etag: string | undefined
}

async function tryIfMatch(
  etag: string,
  put: (condition: Condition) => Promise<PutAnswer>,
): Promise<Extract<ConditionVerdict, { verdict: 'shared' }>['ifMatch']> {
  const stale = await put({ IfMatch: '"00000000000000000000000000000000"' })
  if (stale.status === 200) return 'ignored'
  if (stale.status === 501) return 'refused'
  const quoted = await put({ IfMatch: `"${bare(etag)}"` })
  const unquoted = await put({ IfMatch: bare(quoted.etag ?? etag) })
  if (quoted.status === 200) return unquoted.status === 200 ? 'both' : 'quoted'
  return unquoted.status === 200 ? 'unquoted' : 'refused'
}

function bare(etag: string): string {
  return etag.replaceAll('"', '')
}

/**
 * One put with a body of its own. An answer that was lost is taken for what it was: attempts share a token, and a 412 to a later attempt
 * is looked into, so that the probe on a bad line does not find fault with the server.
 */
async function statusOf(
  connection: S3Connection,
  fullKey: string,
  condition: Condition,
  signal: AbortSignal | undefined,
): Promise<PutAnswer> {
  const token = randomUUID()
  const put: Put = { fullKey, token, content: contentOf(Buffer.from(`probe ${token}`)) }
  let attempts = 0
  try {
    const etag = await connection.request(
      'put',
      (attempt) => {
        attempts = attempt.number + 1
        return sendPut(connection, put, condition, attempt)
      },
      signal,
    )
    return { status: 200, etag }
  } catch (error) {
    const { status } = readFailure(error)
    if (status !== 412 && status !== 501 && status !== 400) throw error
    const found = status === 412 && attempts > 1 ? await look(connection, put, signal) : undefined
    return found ?? { status, etag: undefined }
  }
}

/** @returns the success that `put` was, if the object there is its own */
async function look(
  connection: S3Connection,
  put: Put,
  signal: AbortSignal | undefined,
): Promise<PutAnswer | undefined> {
  const answer = await connection.request(
    'head',
    ({ client, sdk, options }) =>
      client.send(new sdk.HeadObjectCommand({ Bucket: connection.bucket, Key: put.fullKey }), options),
    signal,
  )
  return answer.Metadata?.['mdv-token'] === put.token ? { status: 200, etag: answer.ETag } : undefined
}

async function remove(connection: S3Connection, fullKey: string): Promise<void> {
  try {
    await connection.request('delete', ({ client, sdk, options }) =>
      client.send(new sdk.DeleteObjectCommand({ Bucket: connection.bucket, Key: fullKey }), options),
    )
  } catch (error) {
    if (!isAbsent(error)) throw error
  }
}
