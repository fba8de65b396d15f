/** What is asked of a bucket as such: where it is and how it is configured. */

import { S3Error, subResources, type S3Answer, type S3Request } from './protocol.ts'
import type { Bucket } from './state.ts'
import { xmlAnswer } from './xml.ts'

const absences: Readonly<Record<string, readonly [code: string, message: string]>> = {
  lifecycle: ['NoSuchLifecycleConfiguration', 'The lifecycle configuration does not exist'],
  policyStatus: ['NoSuchBucketPolicy', 'The bucket policy does not exist'],
  publicAccessBlock: [
    'NoSuchPublicAccessBlockConfiguration',
    'The public access block configuration was not found',
  ],
  replication: ['ReplicationConfigurationNotFoundError', 'The replication configuration was not found'],
}

/** @param region where this server is */
export function getSubResource(request: S3Request, bucket: Bucket, region: string): S3Answer {
  const word = Object.keys(subResources).find((name) => request.query.has(name))!
  const configured = bucket.configuration.get(word)
  if (configured !== undefined) return { status: 200, body: configured.xml }
  if (word === 'location')
    return {
      status: 200,
      body: `<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${region === 'us-east-1' ? '' : region}</LocationConstraint>`,
    }
  const absence = absences[word]
  if (absence === undefined) return xmlAnswer('VersioningConfiguration', {})
  throw new S3Error(404, ...absence)
}
