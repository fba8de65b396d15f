/** Every failure is a sentence with the way out. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ErrorKind } from '../../../src/core/errors.ts'
import { explainS3 } from '../../../src/storage/s3/explain.ts'
import { isTransient, readFailure } from '../../../src/storage/s3/failure.ts'

const context = { subject: 's3://vault/key', bucket: 'vault', region: 'eu-west-1', endpointUrl: null }

interface Case {
  /** What the SDK throws, or a code with its status. */
  readonly error: Error
  readonly kind: ErrorKind
  readonly message: RegExp
  readonly remedy: RegExp
  readonly transient: boolean
}

function answered(status: number, name: string, headers: Record<string, string> = {}): Error {
  return Object.assign(new Error('the body of the answer'), {
    name,
    $metadata: { httpStatusCode: status },
    $response: { statusCode: status, headers },
  })
}

function system(code: string): Error {
  return Object.assign(new Error(code), { code })
}

function row(error: Error, kind: ErrorKind, message: RegExp, remedy: RegExp, transient = false): Case {
  return { error, kind, message, remedy, transient }
}

const elsewhere = { 'x-amz-bucket-region': 'ap-south-1' }
const cases: readonly Case[] = [
  row(
    Object.assign(new Error('x'), { name: 'CredentialsProviderError' }),
    'preflight',
    /no AWS credentials/,
    /AWS_ACCESS_KEY_ID/,
  ),
  row(answered(403, 'AccessDenied'), 'preflight', /access is denied \(403 AccessDenied\)/, /s3:GetObject/),
  row(answered(403, 'Unknown'), 'preflight', /access is denied \(HTTP 403\)/, /s3:ListBucket/),
  row(answered(404, 'NoSuchBucket'), 'preflight', /no bucket vault at AWS S3 in eu-west-1/, /create it/),
  row(answered(301, 'PermanentRedirect', elsewhere), 'preflight', /not in eu-west-1/, /ap-south-1/),
  row(
    answered(400, 'AuthorizationHeaderMalformed', elsewhere),
    'preflight',
    /not in eu-west-1/,
    /ap-south-1/,
  ),
  row(answered(403, 'InvalidAccessKeyId'), 'preflight', /access key id is not known/, /AWS_ACCESS_KEY_ID/),
  row(
    answered(403, 'SignatureDoesNotMatch'),
    'preflight',
    /secret key does not belong/,
    /AWS_SECRET_ACCESS_KEY/,
  ),
  row(answered(400, 'ExpiredToken'), 'preflight', /token has expired/, /aws sso login/),
  row(answered(403, 'RequestTimeTooSkewed'), 'preflight', /clock is more than 15 minutes off/, /set-ntp/),
  row(answered(400, 'InvalidBucketName'), 'preflight', /is not a name for a bucket/, /storage.s3.bucket/),
  row(answered(501, 'NotImplemented'), 'preflight', /does not offer/, /single_writer/),
  row(answered(405, 'MethodNotAllowed'), 'preflight', /refuses it \(405 MethodNotAllowed\)/, /endpoint/),
  row(answered(503, 'SlowDown'), 'unavailable', /asks for fewer requests/, /wait/, true),
  row(answered(500, 'InternalError'), 'unavailable', /is failing/, /again/, true),
  row(answered(502, 'Unknown'), 'unavailable', /is failing \(HTTP 502\)/, /again/, true),
  row(answered(409, 'ConditionalRequestConflict'), 'unavailable', /is failing/, /again/, true),
  row(answered(400, 'BadDigest'), 'unavailable', /damaged/, /proxy/, true),
  row(answered(200, 'SyntaxError'), 'unavailable', /is not S3, or is damaged/, /console/, true),
  row(system('ECONNREFUSED'), 'unavailable', /cannot be reached/, /endpoint/, true),
  row(system('ECONNRESET'), 'unavailable', /broke off/, /again/, true),
  row(system('ENOTFOUND'), 'unavailable', /does not resolve/, /DNS/, true),
  row(
    Object.assign(new Error('x'), { name: 'TimeoutError' }),
    'unavailable',
    /does not answer in time/,
    /again/,
    true,
  ),
  row(system('EPROTO'), 'preflight', /there is no TLS at that endpoint/, /http:\/\//),
  row(system('ENOSPC'), 'preflight', /local disk is full/, /free space/),
  row(system('SELF_SIGNED_CERT_IN_CHAIN'), 'preflight', /unknown authority/, /NODE_EXTRA_CA_CERTS/),
]

for (const { error, kind, message, remedy, transient } of cases)
  test(`explained: ${message.source}`, () => {
    const explained = explainS3(error, context)
    assert.equal(explained.kind, kind)
    assert.match(explained.message, /^s3:\/\/vault\/key: /)
    assert.match(explained.message, message)
    assert.match(explained.remedy!, remedy)
    assert.equal(isTransient(readFailure(error)), transient)
  })

test('neither what was signed nor the request goes into the error', () => {
  const error = Object.assign(answered(403, 'SignatureDoesNotMatch'), {
    StringToSign: 'secret stuff',
    $response: { statusCode: 403, headers: { authorization: 'secret stuff' } },
  })
  const explained = explainS3(error, context)
  assert.ok(!JSON.stringify([explained, explained.cause]).includes('secret stuff'))
})
