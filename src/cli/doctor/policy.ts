/** The least rights that the vault needs on a bucket, as an IAM policy. Pure. */

import type { S3Place } from '../../storage/place.ts'

/** Uploads in parts are for `mdv sync` of large objects; without the last two, unfinished ones cannot be found and removed. */
const objectActions = ['s3:GetObject', 's3:PutObject', 's3:DeleteObject', 's3:AbortMultipartUpload']

export function leastPolicy(places: readonly S3Place[]): string {
  const statements = places.flatMap((place, i) => statementsOf(place, places.length === 1 ? '' : `${i + 1}`))
  return JSON.stringify({ Version: '2012-10-17', Statement: statements }, null, 2)
}

function statementsOf({ bucket, prefix }: S3Place, suffix: string): object[] {
  const arn = `arn:aws:s3:::${bucket}`
  const condition = prefix === '' ? {} : { Condition: { StringLike: { 's3:prefix': [`${prefix}/*`] } } }
  return [
    {
      Sid: `VaultObjects${suffix}`,
      Effect: 'Allow',
      Action: objectActions,
      Resource: `${arn}/${prefix === '' ? '' : `${prefix}/`}*`,
    },
    { Sid: `VaultListing${suffix}`, Effect: 'Allow', Action: ['s3:ListBucket'], Resource: arn, ...condition },
    {
      Sid: `VaultBucket${suffix}`,
      Effect: 'Allow',
      Action: ['s3:GetBucketLocation', 's3:ListBucketMultipartUploads'],
      Resource: arn,
    },
  ]
}
