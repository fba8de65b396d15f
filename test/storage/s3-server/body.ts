/** A request's body: unwrapped from aws-chunked where it is, and held against every checksum that came along. */

import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { crc32 } from 'node:zlib'
import { header, S3Error } from './protocol.ts'

export interface VerifiedBody {
  readonly bytes: Buffer
  /** Base64, where the client sent one. */
  readonly crc32: string | undefined
}

export async function readRaw(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk)
  return Buffer.concat(chunks)
}

/** @param refusesChunked as servers do that know no trailing checksums */
export function verifyBody(request: IncomingMessage, raw: Buffer, refusesChunked: boolean): VerifiedBody {
  const declared = header(request, 'x-amz-content-sha256') ?? ''
  const isChunked = declared.startsWith('STREAMING-')
  if (isChunked && refusesChunked)
    throw new S3Error(411, 'MissingContentLength', 'You must provide the Content-Length HTTP header.')
  const { bytes, trailers } = isChunked
    ? decodeChunked(raw, Number(header(request, 'x-amz-decoded-content-length')))
    : { bytes: raw, trailers: new Map<string, string>() }
  if (/^[0-9a-f]{64}$/.test(declared) && digest('sha256', bytes, 'hex') !== declared)
    throw new S3Error(
      400,
      'XAmzContentSHA256Mismatch',
      "The provided 'x-amz-content-sha256' header does not match what was computed.",
    )
  const sent = (name: string): string | undefined => header(request, name) ?? trailers.get(name)
  expectEqual(sent('content-md5'), () => digest('md5', bytes, 'base64'))
  expectEqual(sent('x-amz-checksum-sha256'), () => digest('sha256', bytes, 'base64'))
  expectEqual(sent('x-amz-checksum-crc32'), () => crcBase64(bytes))
  return { bytes, crc32: sent('x-amz-checksum-crc32') }
}

export function crcBase64(bytes: Buffer): string {
  const sum = Buffer.alloc(4)
  sum.writeUInt32BE(crc32(bytes))
  return sum.toString('base64')
}

function digest(algorithm: string, bytes: Buffer, encoding: 'hex' | 'base64'): string {
  return createHash(algorithm).update(bytes).digest(encoding)
}

function expectEqual(sent: string | undefined, computed: () => string): void {
  if (sent !== undefined && sent !== computed())
    throw new S3Error(400, 'BadDigest', 'The checksum you specified did not match what we received.')
}

interface Decoded {
  readonly bytes: Buffer
  readonly trailers: ReadonlyMap<string, string>
}

/** `<hex length>[;signature]\r\n<bytes>\r\n … 0\r\n<trailer lines>\r\n` */
function decodeChunked(raw: Buffer, decodedLength: number): Decoded {
  const chunks: Buffer[] = []
  let at = 0
  for (;;) {
    const end = raw.indexOf('\r\n', at)
    if (end < 0) throw incomplete()
    const length = Number.parseInt(raw.toString('latin1', at, end).split(';', 1)[0]!, 16)
    at = end + 2
    if (length === 0) break
    if (!(length > 0) || at + length + 2 > raw.length) throw incomplete()
    chunks.push(raw.subarray(at, at + length))
    at += length + 2
  }
  const bytes = Buffer.concat(chunks)
  if (bytes.length !== decodedLength) throw incomplete()
  const lines = raw.toString('latin1', at).split(/\r?\n/)
  const pairs = lines.filter((line) => line.includes(':')).map((line) => line.split(/:\s*/, 2))
  return { bytes, trailers: new Map(pairs.map(([name, value]) => [name!.toLowerCase(), value!.trim()])) }
}

function incomplete(): S3Error {
  return new S3Error(400, 'IncompleteBody', 'The request body terminated unexpectedly.')
}
