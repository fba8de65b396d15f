/** Opens a bucket: finds its region, and tries whether the server can be shared before anybody relies on it. */

import { VaultError } from '../../core/errors.ts'
import type { S3Connection } from './connection.ts'
import { probeAgain, probeConditions } from './probe.ts'
import { connectToBucket } from './region.ts'
import { rememberShared, wasShared } from './remembered.ts'
import type { S3Deps, S3Mode, S3Settings } from './settings.ts'
import { S3Store } from './store.ts'

export type OpenedS3Store = S3Store

/**
 * @throws {VaultError} `preflight`: credentials, bucket, region or rights are wrong, or the server ignores conditions and `mode` is
 *   `shared`; `unavailable`: try again
 */
export async function openS3Store(settings: S3Settings, mode: S3Mode, deps: S3Deps): Promise<OpenedS3Store> {
  const connection = await connectToBucket(settings, deps)
  try {
    if (mode === 'read') return new S3Store(connection, settings.workDir, true, [])
    const signal = deps.stop?.signal
    const failedCheck = await connection.explained(
      '',
      () => failedCheckOf(connection, settings.workDir, signal),
      signal,
    )
    if (failedCheck === undefined) return new S3Store(connection, settings.workDir, true, [])
    if (mode === 'shared') throw notShareable(connection, failedCheck)
    const note = `s3://${connection.bucket}: ${failedCheck}; only this one process may write there`
    return new S3Store(connection, settings.workDir, false, [note])
  } catch (error) {
    connection.close()
    throw error
  }
}

async function failedCheckOf(
  connection: S3Connection,
  workDir: string,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  if (await wasShared(connection, workDir)) return probeAgain(connection, signal)
  const probed = await probeConditions(connection, signal)
  if (probed.verdict === 'single-writer') return probed.failedCheck
  await rememberShared(connection, workDir)
  return undefined
}

function notShareable(connection: S3Connection, failedCheck: string): VaultError {
  return new VaultError(
    'preflight',
    `s3://${connection.bucket}: this server cannot be shared: ${failedCheck}`,
    {
      remedy:
        'use AWS S3 or a server that honours If-None-Match (on some, with versioning off); or set storage.s3.single_writer: true and run one mdv process at a time: two would overwrite each other',
    },
  )
}
