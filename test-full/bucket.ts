/** The environment of processes whose vault lies in a bucket of the test server. */

import { join } from 'node:path'
import { testAccount, type S3Server } from '../test/storage/s3-server/server.ts'

export const bucket = 'vault'

/** Set for every process that this one starts from now on. */
export function useBucket(
  server: S3Server,
  folder: string,
  more: Readonly<Record<string, string>> = {},
): void {
  Object.assign(process.env, {
    MDV_STORAGE_BACKEND: 's3',
    MDV_STORAGE_S3_BUCKET: bucket,
    MDV_STORAGE_S3_PREFIX: 'test',
    MDV_STORAGE_S3_REGION: 'us-east-1',
    MDV_STORAGE_S3_ENDPOINT_URL: server.url,
    MDV_STORAGE_S3_FORCE_PATH_STYLE: 'true',
    MDV_STORAGE_S3_AWS_ACCESS_KEY_ID: testAccount.accessKeyId,
    MDV_STORAGE_S3_AWS_SECRET_ACCESS_KEY: testAccount.secretAccessKey,
    MDV_STORAGE_CACHE_DIR: join(folder, 'cache'),
    MDV_INGESTION_SPOOL_DIR: join(folder, 'spool'),
    ...more,
  })
}
