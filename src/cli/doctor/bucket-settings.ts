/** How a bucket is set up: what costs money, hides deletions or lets strangers read. Servers without a setting say so. */

import { readFailure } from '../../storage/s3/failure.ts'
import type { BucketCheck } from './bucket.ts'
import { ok, warn, type Verdict } from './check.ts'

/** @returns undefined: not set; `unknown`: this server has no such setting, or these credentials may not look */
async function asked<T>(ask: () => Promise<T>): Promise<T | undefined | 'unknown'> {
  try {
    return await ask()
  } catch (error) {
    const { code, status } = readFailure(error)
    return status === 404 && /^NoSuch|NotFound/.test(code) ? undefined : 'unknown'
  }
}

const notTold: Verdict = ok('not told by this server, or not to these credentials')

const lifecycle: BucketCheck = (connection) => ({
  name: 'lifecycle',
  of: 'machine',
  async run() {
    const found = await asked(() =>
      connection.request('head', ({ client, sdk }) =>
        client.send(new sdk.GetBucketLifecycleConfigurationCommand({ Bucket: connection.bucket })),
      ),
    )
    if (found === 'unknown') return notTold
    const days = (found?.Rules ?? [])
      .filter((rule) => rule.Status === 'Enabled')
      .flatMap((rule) => rule.AbortIncompleteMultipartUpload?.DaysAfterInitiation ?? [])
    if (days.length === 0)
      return warn(
        'unfinished uploads are kept, and cost, for ever',
        'add a rule: AbortIncompleteMultipartUpload after 7 days',
      )
    return Math.min(...days) < 2
      ? warn(
          `unfinished uploads are removed after ${Math.min(...days)} day`,
          'allow 7 days: an interrupted mdv sync goes on with them',
        )
      : ok(`unfinished uploads are removed after ${Math.min(...days)} days`)
  },
})

const versioning: BucketCheck = (connection) => ({
  name: 'versioning',
  of: 'machine',
  async run() {
    const found = await asked(() =>
      connection.request('head', ({ client, sdk }) =>
        client.send(new sdk.GetBucketVersioningCommand({ Bucket: connection.bucket })),
      ),
    )
    if (found === 'unknown') return notTold
    return found?.Status === 'Enabled'
      ? warn(
          'on: what is deleted stays, and costs',
          'add a rule: NoncurrentVersionExpiration after a few days',
        )
      : ok('off')
  },
})

const replication: BucketCheck = (connection) => ({
  name: 'replication',
  of: 'machine',
  async run() {
    const found = await asked(() =>
      connection.request('head', ({ client, sdk }) =>
        client.send(new sdk.GetBucketReplicationCommand({ Bucket: connection.bucket })),
      ),
    )
    if (found === 'unknown') return notTold
    return ok(found === undefined ? 'none' : `${found.ReplicationConfiguration?.Rules?.length ?? 0} rules`)
  },
})

const publicAccess: BucketCheck = (connection) => ({
  name: 'public access',
  of: 'machine',
  async run() {
    const found = await asked(() =>
      connection.request('head', ({ client, sdk }) =>
        client.send(new sdk.GetBucketPolicyStatusCommand({ Bucket: connection.bucket })),
      ),
    )
    if (found === 'unknown') return notTold
    return found?.PolicyStatus?.IsPublic === true
      ? warn("the bucket's policy lets everybody in", 'block public access, unless that is meant')
      : ok('none by policy')
  },
})

export const settingChecks: readonly BucketCheck[] = [lifecycle, versioning, replication, publicAccess]
