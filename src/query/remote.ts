/** Parts that DuckDB reads in a bucket by itself, where its extension httpfs is installed: of a large part, only the columns and row groups asked for. */

import type { DuckDBConnection } from '@duckdb/node-api'
import { VaultError } from '../core/errors.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import { revealCredentials } from '../storage/place.ts'
import { remoteAccessOf, type RemoteAccess } from '../storage/remote-access.ts'
import { sqlText } from './views.ts'

/** @returns addresses of objects that this connection can read; undefined: they have to be fetched */
export async function remoteReading(
  connection: DuckDBConnection,
  store: ObjectStore,
): Promise<((key: string) => string) | undefined> {
  const access = await remoteAccessOf(store)
  if (access === null || !(await loadsHttpfs(connection))) return undefined
  await keepSecret(connection, access)
  return access.urlOf
}

/** @throws {VaultError} `preflight` without DuckDB's words: they may quote the statement, and the secrets in it */
async function keepSecret(connection: DuckDBConnection, access: RemoteAccess): Promise<void> {
  try {
    await connection.run(secretSql(access))
  } catch {
    throw new VaultError(
      'preflight',
      `${access.scope}: DuckDB does not take the credentials of this bucket`,
      {
        remedy: 'look at the keys, storage.s3.region and endpoint_url: mdv doctor',
      },
    )
  }
}

/** Never downloaded from here: whoever wants it says INSTALL httpfs in a DuckDB of the same version. */
async function loadsHttpfs(connection: DuckDBConnection): Promise<boolean> {
  try {
    await connection.run('LOAD httpfs')
    return true
  } catch {
    return false // not installed, or of another version: copies do as well
  }
}

function secretSql(access: RemoteAccess): string {
  const { region, endpointUrl, forcePathStyle, scope } = access
  const { accessKeyId, secretAccessKey, sessionToken } = revealCredentials(access.credentials)
  const settings = [
    'TYPE s3',
    `KEY_ID ${sqlText(accessKeyId)}`,
    `SECRET ${sqlText(secretAccessKey)}`,
    ...(sessionToken === null ? [] : [`SESSION_TOKEN ${sqlText(sessionToken)}`]),
    `REGION ${sqlText(region)}`,
    ...(endpointUrl === null ? [] : endpointSettings(new URL(endpointUrl))),
    `URL_STYLE ${sqlText(forcePathStyle ? 'path' : 'vhost')}`,
    `SCOPE ${sqlText(scope)}`,
  ]
  return `CREATE SECRET vault (${settings.join(', ')})`
}

function endpointSettings({ host, protocol }: URL): string[] {
  return [`ENDPOINT ${sqlText(host)}`, `USE_SSL ${protocol === 'https:'}`]
}
