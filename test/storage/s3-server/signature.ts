/** Signature version 4, header form: who asks, and whether the request is the one that was signed. */

import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { header, S3Error } from './protocol.ts'

export interface Account {
  readonly accessKeyId: string
  readonly secretAccessKey: string
}

export interface SignatureRules {
  readonly accounts: readonly Account[]
  readonly region: string
  /** A session token that is over. */
  readonly expiredToken?: string
  readonly nowMs: number
}

const skewMsAtMost = 15 * 60 * 1000

interface Authorization {
  readonly accessKeyId: string
  readonly date: string
  readonly region: string
  readonly signedHeaders: readonly string[]
  readonly signature: string
}

/** @throws {S3Error} as S3 does, in its order: form, key, region, token, clock, signature */
export function verifySignature(request: IncomingMessage, rules: SignatureRules): void {
  const authorization = parse(header(request, 'authorization'))
  const account = rules.accounts.find(({ accessKeyId }) => accessKeyId === authorization.accessKeyId)
  if (account === undefined)
    throw new S3Error(
      403,
      'InvalidAccessKeyId',
      'The AWS Access Key Id you provided does not exist in our records.',
    )
  if (authorization.region !== rules.region)
    throw new S3Error(
      400,
      'AuthorizationHeaderMalformed',
      `The authorization header is malformed; the region '${authorization.region}' is wrong; expecting '${rules.region}'`,
      { headers: { 'x-amz-bucket-region': rules.region }, elements: { Region: rules.region } },
    )
  const token = header(request, 'x-amz-security-token')
  if (token !== undefined && token === rules.expiredToken)
    throw new S3Error(400, 'ExpiredToken', 'The provided token has expired.')
  const stamp = header(request, 'x-amz-date') ?? ''
  if (!(Math.abs(parseStamp(stamp) - rules.nowMs) <= skewMsAtMost))
    throw new S3Error(
      403,
      'RequestTimeTooSkewed',
      'The difference between the request time and the current time is too large.',
    )
  const expected = signatureOf(request, authorization, stamp, account.secretAccessKey)
  const [given, wanted] = [Buffer.from(authorization.signature), Buffer.from(expected)]
  if (given.length !== wanted.length || !timingSafeEqual(given, wanted))
    throw new S3Error(
      403,
      'SignatureDoesNotMatch',
      'The request signature we calculated does not match the signature you provided.',
    )
}

function parse(value: string | undefined): Authorization {
  if (value === undefined) throw new S3Error(403, 'AccessDenied', 'Access Denied')
  const match =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/s3\/aws4_request, ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})$/.exec(
      value,
    )
  if (match === null)
    throw new S3Error(400, 'AuthorizationHeaderMalformed', 'The authorization header is malformed.')
  const [, accessKeyId, date, region, signedHeaders, signature] = match
  return {
    accessKeyId: accessKeyId!,
    date: date!,
    region: region!,
    signedHeaders: signedHeaders!.split(';'),
    signature: signature!,
  }
}

/** `20261123T175500Z` → epoch milliseconds. */
function parseStamp(stamp: string): number {
  return Date.parse(stamp.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z'))
}

function signatureOf(
  request: IncomingMessage,
  authorization: Authorization,
  stamp: string,
  secret: string,
): string {
  const { date, region } = authorization
  const scope = `${date}/${region}/s3/aws4_request`
  const canonical = createHash('sha256').update(canonicalRequest(request, authorization)).digest('hex')
  const key = ['s3', 'aws4_request'].reduce(hmac, hmac(hmac(`AWS4${secret}`, date), region))
  return hmac(key, `AWS4-HMAC-SHA256\n${stamp}\n${scope}\n${canonical}`).toString('hex')
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest()
}

function canonicalRequest(request: IncomingMessage, { signedHeaders }: Authorization): string {
  const [path, query = ''] = request.url!.split('?', 2)
  const pairs = query === '' ? [] : query.split('&').map((pair) => (pair.includes('=') ? pair : `${pair}=`))
  for (const name of Object.keys(request.headers))
    if (name.startsWith('x-amz-') && !signedHeaders.includes(name))
      throw new S3Error(
        403,
        'AccessDenied',
        `There were headers present in the request which were not signed: ${name}`,
      )
  const headers = signedHeaders.map(
    (name) => `${name}:${(header(request, name) ?? '').trim().replace(/ +/g, ' ')}\n`,
  )
  return [
    request.method,
    path,
    pairs.sort().join('&'),
    headers.join(''),
    signedHeaders.join(';'),
    header(request, 'x-amz-content-sha256') ?? '',
  ].join('\n')
}
