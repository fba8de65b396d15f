/** A connection to the region the bucket is in: named by someone, or found by asking. */

import { S3Connection } from './connection.ts'
import { explainS3 } from './explain.ts'
import { readFailure } from './failure.ts'
import { sendList } from './list.ts'
import { namedRegion, type S3Deps, type S3Settings, type Stop } from './settings.ts'

/** Every AWS endpoint knows where every bucket is; other servers mostly do not care. */
const askedFirst = 'us-east-1'

/**
 * Lists one key: it needs no right that is not needed anyway, and unlike HEAD its refusal says why.
 *
 * @throws {VaultError} `preflight` or `unavailable`: why nothing can be done with this bucket
 */
export async function connectToBucket(settings: S3Settings, deps: S3Deps): Promise<S3Connection> {
  const named = namedRegion(settings, deps.env)
  const connection = new S3Connection(settings, named ?? askedFirst, deps)
  const error = await tryToList(connection, deps.stop?.signal)
  if (error === undefined) return closedBy(deps.stop, connection)
  connection.close()
  const found = readFailure(error).bucketRegion
  const isElsewhere = found !== undefined && found !== connection.region
  if (!isElsewhere || named !== null) throw explainOpening(error, connection)
  deps.stop?.signal.throwIfAborted()
  const there = new S3Connection(settings, found, deps)
  const errorThere = await tryToList(there, deps.stop?.signal)
  if (errorThere === undefined) return closedBy(deps.stop, there)
  there.close()
  throw explainOpening(errorThere, there)
}

function closedBy(stop: Stop | undefined, connection: S3Connection): S3Connection {
  if (stop !== undefined) connection.closeAfter(stop)
  return connection
}

async function tryToList(connection: S3Connection, signal: AbortSignal | undefined): Promise<unknown> {
  try {
    const input = { Bucket: connection.bucket, Prefix: connection.keyPrefix, MaxKeys: 1 }
    await connection.request('list', (attempt) => sendList(input, attempt), signal)
    return undefined
  } catch (error) {
    signal?.throwIfAborted()
    return error ?? new Error('refused without a word')
  }
}

function explainOpening(error: unknown, connection: S3Connection): unknown {
  return explainS3(error, { ...connection.context(''), subject: `s3://${connection.bucket}` })
}
