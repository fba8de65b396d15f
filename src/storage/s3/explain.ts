/** Every failure of a bucket as one sentence with the way out. Pure; no secret and no signed text gets into it. */

import { VaultError, type ErrorKind } from '../../core/errors.ts'
import { isTransient, readFailure, type S3Failure } from './failure.ts'

export interface S3Context {
  /** The object or bucket it was about: `s3://bucket/key`. */
  readonly subject: string
  readonly bucket: string
  readonly region: string
  /** null: AWS. */
  readonly endpointUrl: string | null
  /** What AWS_PROFILE says. */
  readonly profile?: string | undefined
}

interface Sentence {
  readonly kind: ErrorKind
  readonly says: string
  readonly remedy: string
}

type Explanation = (context: S3Context, failure: S3Failure) => Sentence

const server = (context: S3Context): string => context.endpointUrl ?? `AWS S3 in ${context.region}`

const preflight =
  (says: string, remedy: string): Explanation =>
  () => ({ kind: 'preflight', says, remedy })

const credentialsMissing: Explanation = ({ profile }) => ({
  kind: 'preflight',
  says: `no AWS credentials were found${profile === undefined ? '' : `, none of a profile ${JSON.stringify(profile)} (AWS_PROFILE) either`}`,
  remedy:
    'set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, log in with aws sso login, or run where an instance or container role is',
})
const expired = preflight(
  'the session token has expired',
  'log in again (aws sso login) or renew AWS_SESSION_TOKEN',
)
const denied: Explanation = (context) => ({
  kind: 'preflight',
  says: 'access is denied',
  remedy: `give these credentials s3:GetObject, s3:PutObject and s3:DeleteObject on ${context.bucket}/*, and s3:ListBucket and s3:GetBucketLocation on ${context.bucket}`,
})
const wrongRegion: Explanation = (context, failure) => ({
  kind: 'preflight',
  says: `the bucket is not in ${context.region}`,
  remedy: `set the region to ${failure.bucketRegion ?? 'where the bucket is'} (storage.s3.region or AWS_REGION)`,
})
const unreachable: Explanation = (context) => ({
  kind: 'unavailable',
  says: `${server(context)} cannot be reached`,
  remedy: 'check that it runs, the endpoint, and the network between',
})
const unresolved: Explanation = (context) => ({
  kind: 'unavailable',
  says: `the name of ${server(context)} does not resolve`,
  remedy:
    'check the endpoint and region for a slip, and DNS; some servers need storage.s3.force_path_style: true',
})
const silent: Explanation = (context) => ({
  kind: 'unavailable',
  says: `${server(context)} does not answer in time`,
  remedy: 'try again; if it stays so, check the network between',
})
const brokenOff: Explanation = (context) => ({
  kind: 'unavailable',
  says: `${server(context)} broke off the connection`,
  remedy: 'try again; if it stays so, check the network and any proxy between',
})
const damaged: Explanation = () => ({
  kind: 'unavailable',
  says: 'the bytes were damaged on their way, again and again',
  remedy: 'check the network and any proxy between; the checksums of both ends disagree',
})

const unreadable: Explanation = (context) => ({
  kind: 'unavailable',
  says: `what ${server(context)} answers is not S3, or is damaged on its way, again and again`,
  remedy:
    "check that the endpoint is the server's API, not its console or another page, and any proxy between",
})

const explanations: Readonly<Record<string, Explanation>> = {
  CredentialsProviderError: credentialsMissing,
  NoCredentials: credentialsMissing,
  ExpiredToken: expired,
  ExpiredTokenException: expired,
  TokenRefreshRequired: expired,
  InvalidToken: preflight(
    'the session token is not valid',
    'renew AWS_SESSION_TOKEN, or unset it for long-lived keys',
  ),
  InvalidAccessKeyId: preflight(
    'the access key id is not known there',
    'check AWS_ACCESS_KEY_ID and that the endpoint is the one it belongs to',
  ),
  SignatureDoesNotMatch: preflight(
    'the secret key does not belong to the access key id',
    'check AWS_SECRET_ACCESS_KEY for a slip or a missing character',
  ),
  RequestTimeTooSkewed: preflight(
    "this machine's clock is more than 15 minutes off",
    'set the clock: timedatectl set-ntp true',
  ),
  AccessDenied: denied,
  AllAccessDisabled: denied,
  AccountProblem: denied,
  Forbidden: denied,
  NoSuchBucket: (context) => ({
    kind: 'preflight',
    says: `there is no bucket ${context.bucket} at ${server(context)}`,
    remedy: 'create it, or correct storage.s3.bucket',
  }),
  InvalidBucketName: (context) => ({
    kind: 'preflight',
    says: `${context.bucket} is not a name for a bucket`,
    remedy: 'correct storage.s3.bucket: 3 to 63 of a-z, 0-9, - and .',
  }),
  PermanentRedirect: wrongRegion,
  TemporaryRedirect: wrongRegion,
  AuthorizationHeaderMalformed: wrongRegion,
  IllegalLocationConstraintException: wrongRegion,
  NotImplemented: preflight(
    'the server does not offer what was asked of it',
    'use a server with conditional PutObject (AWS S3, MinIO, R2, Ceph), or storage.s3.single_writer: true',
  ),
  EntityTooLarge: preflight('too large for one request', 'make segments smaller: 5 GiB is the most'),
  QuotaExceeded: preflight('the quota of the bucket is used up', 'free space there or raise the quota'),
  XMinioStorageFull: preflight("the server's disk is full", 'free space on the server'),
  InsufficientStorage: preflight("the server's disk is full", 'free space on the server'),
  ECONNREFUSED: unreachable,
  EHOSTUNREACH: unreachable,
  ENETUNREACH: unreachable,
  ENETDOWN: unreachable,
  EHOSTDOWN: unreachable,
  ENOTFOUND: unresolved,
  EAI_AGAIN: unresolved,
  TimeoutError: silent,
  ETIMEDOUT: silent,
  RequestTimeout: silent,
  ECONNRESET: brokenOff,
  ECONNABORTED: brokenOff,
  EPIPE: brokenOff,
  ERR_STREAM_PREMATURE_CLOSE: brokenOff,
  BadDigest: damaged,
  InvalidDigest: damaged,
  XAmzContentSHA256Mismatch: damaged,
  IncompleteBody: damaged,
  DamagedAnswer: unreadable,
  SlowDown: (context) => ({
    kind: 'unavailable',
    says: `${server(context)} asks for fewer requests`,
    remedy: 'wait; if it stays so, run fewer workers on this prefix',
  }),
  ENOSPC: preflight('the local disk is full', 'free space where the working folder is'),
  EDQUOT: preflight('the local quota is used up', 'free space where the working folder is'),
  EROFS: preflight('the local disk is read-only', 'mount it writable, or use another working folder'),
  EACCES: preflight('a local file may not be read or written', 'give this user the right to'),
  ENOENT: preflight('the local file or its folder is gone', 'see what removes files of the working folder'),
  EPROTO: preflight(
    'there is no TLS at that endpoint, or none that both ends know',
    'check the port, and whether the endpoint begins with http:// rather than https://',
  ),
  DEPTH_ZERO_SELF_SIGNED_CERT: preflight(
    'its certificate is signed by itself',
    'give Node the certificate by NODE_EXTRA_CA_CERTS',
  ),
  SELF_SIGNED_CERT_IN_CHAIN: preflight(
    'its certificate is signed by an unknown authority',
    'give Node the certificate by NODE_EXTRA_CA_CERTS',
  ),
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: preflight(
    'its certificate is signed by an unknown authority',
    'give Node the certificate by NODE_EXTRA_CA_CERTS',
  ),
  CERT_HAS_EXPIRED: preflight('its certificate has expired', "renew the server's certificate"),
}

/** @returns `unavailable`: try again later; `preflight`: someone has to mend something first */
export function explainS3(error: unknown, context: S3Context): VaultError {
  if (error instanceof VaultError) return error
  const failure = readFailure(error)
  const { kind, says, remedy } = sentence(context, failure)
  const cause = bareCause(error, failure)
  return new VaultError(kind, `${context.subject}: ${says} (${detailOf(failure, cause)})`, {
    remedy,
    context: requestContext(context, failure),
    cause,
  })
}

function sentence(context: S3Context, failure: S3Failure): Sentence {
  const explanation = explanations[failure.code] ?? byStatus(failure.status)
  if (explanation !== undefined) return explanation(context, failure)
  return isTransient(failure)
    ? { kind: 'unavailable', says: `${server(context)} is failing`, remedy: 'try again later' }
    : {
        kind: 'preflight',
        says: `${server(context)} refuses it`,
        remedy: 'the code is its own reason; is the endpoint that of an S3 server?',
      }
}

function byStatus(status: number | undefined): Explanation | undefined {
  if (status === 301 || status === 307) return wrongRegion
  return status === 401 || status === 403 ? denied : undefined
}

/** The SDK says which profile or session it is about; of everything else the code is enough. */
function detailOf({ code, status }: S3Failure, cause: Error): string {
  if (code === 'CredentialsProviderError') return cause.message
  if (status === undefined) return code
  return code === `${status}` ? `HTTP ${code}` : `${status} ${code}`
}

function requestContext(context: S3Context, failure: S3Failure): Record<string, string> {
  const known = { region: context.region, endpoint: context.endpointUrl, requestId: failure.requestId }
  const pairs: Record<string, string> = {}
  for (const [name, value] of Object.entries(known))
    if (value !== null && value !== undefined) pairs[name] = value
  return pairs
}

/** The SDK's errors carry the signed request and, in answers to bad signatures, what was signed. */
function bareCause(error: unknown, failure: S3Failure): Error {
  const message = error instanceof Error ? error.message.split('\n', 1)[0]! : 'not an error'
  return Object.assign(new Error(message), { name: failure.code })
}
