/** What an error of the SDK, of Node's sockets or of a server says, as plain fields. Pure. */

import { systemCode } from '../../core/errors.ts'

export interface S3Failure {
  /** The server's word (`SlowDown`), the system's (`ECONNRESET`) or the SDK's (`TimeoutError`). */
  readonly code: string
  /** Of the answer; undefined when there was none. */
  readonly status: number | undefined
  /** The region the server says the bucket is in. */
  readonly bucketRegion: string | undefined
  readonly requestId: string | undefined
}

/** An answer that was damaged on its way, found by us: worth another attempt. */
export class DamagedAnswer extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'DamagedAnswer'
  }
}

interface SdkError {
  readonly name?: string
  readonly Code?: string
  readonly Region?: string
  readonly $metadata?: { readonly httpStatusCode?: number; readonly requestId?: string }
  readonly $response?: {
    readonly statusCode?: number
    readonly headers?: Readonly<Record<string, string>>
  }
}

export function readFailure(error: unknown): S3Failure {
  if (!(error instanceof Error)) return { code: 'Unknown', ...noAnswer }
  const sdk = error as SdkError
  const status = sdk.$metadata?.httpStatusCode ?? sdk.$response?.statusCode
  return {
    code: codeOf(error, sdk, status),
    status,
    bucketRegion: sdk.$response?.headers?.['x-amz-bucket-region'] ?? sdk.Region,
    requestId: sdk.$metadata?.requestId,
  }
}

const noAnswer = { status: undefined, bucketRegion: undefined, requestId: undefined }

function codeOf(error: Error, sdk: SdkError, status: number | undefined): string {
  const isUnreadable = status !== undefined && status >= 200 && status < 300
  if (isUnreadable || error.message.startsWith('Checksum mismatch')) return 'DamagedAnswer'
  const word = status === undefined ? systemCode(error) : sdk.Code
  if (word !== undefined) return word
  const isSdkWord = error.name !== 'Error' && error.name !== 'Unknown' && error.name !== 'UnknownError'
  return isSdkWord ? error.name : `${status ?? 'Unknown'}`
}

const transientCodes = new Set([
  'SlowDown',
  'ServiceUnavailable',
  'InternalError',
  'RequestTimeout',
  'Throttling',
  'ThrottlingException',
  'RequestLimitExceeded',
  'TooManyRequests',
  // Another conditional request for the key is under way.
  'ConditionalRequestConflict',
  'OperationAborted',
  // Damaged on the way to or from the server.
  'BadDigest',
  'InvalidDigest',
  'XAmzContentSHA256Mismatch',
  'IncompleteBody',
  'DamagedAnswer',
  'TimeoutError',
])

const transientSystemCodes = new Set([
  'ECONNRESET',
  'ECONNREFUSED',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENETDOWN',
  'EHOSTDOWN',
  'EAI_AGAIN',
  'ENOTFOUND',
  'ERR_STREAM_PREMATURE_CLOSE',
])

/** Whether the same request may succeed a moment later. */
export function isTransient({ code, status }: S3Failure): boolean {
  if (transientCodes.has(code) || transientSystemCodes.has(code) || code.startsWith('HPE_')) return true
  // 501: this server never will.
  return status !== undefined && (status === 429 || status === 408 || (status >= 500 && status !== 501))
}

/** No such object. The bucket's absence has the same status and is not that. */
export function isAbsent(error: unknown): boolean {
  const { status, code } = readFailure(error)
  return status === 404 && code !== 'NoSuchBucket'
}

/** The condition of the request did not hold. */
export function isConditionFailed(error: unknown): boolean {
  return readFailure(error).status === 412
}
