/** A strict S3 server for tests: it refuses what S3 refuses, and fails when told to. Path style only. */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { readRaw, verifyBody } from './body.ts'
import { Faults, type FaultKind } from './faults.ts'
import { operationOf, S3Error, type S3Answer, type S3Request } from './protocol.ts'
import { answer } from './route.ts'
import { verifySignature, type Account } from './signature.ts'
import { Buckets } from './state.ts'
import { errorXml } from './xml.ts'

export interface S3ServerOptions {
  /** 0 or left out: a free one. */
  readonly port?: number
  /** Made at the start. */
  readonly buckets?: readonly string[]
  /** Left out: all is forgotten at the end. */
  readonly dataDir?: string
  readonly seed?: number
  readonly region?: string
  readonly accounts?: readonly Account[]
}

export const testAccount: Account = { accessKeyId: 'AKIDMDVTEST', secretAccessKey: 'mdv-test-secret' }

const refusals: Readonly<Partial<Record<FaultKind, readonly [number, string]>>> = {
  'slow-down': [503, 'SlowDown'],
  internal: [500, 'InternalError'],
  conflict: [409, 'ConditionalRequestConflict'],
  precondition: [412, 'PreconditionFailed'],
}

const webPage: S3Answer = {
  status: 200,
  headers: { 'content-type': 'text/html' },
  body: '<html><body>Please log in</body></html>',
}

export class S3Server {
  readonly faults: Faults
  readonly buckets: Buckets
  /** Requests that came in, by AWS's name of the operation. */
  readonly counts = new Map<string, number>()
  ignoresConditions = false
  refusesChunked = false
  pageSize = 1000
  slowMs = 50
  /** Added to the server's idea of now. */
  clockOffsetMs = 0
  /** A session token that is over. */
  expiredToken: string | undefined
  /** Operations these credentials have no right to. */
  readonly denied = new Set<string>()
  readonly #options: S3ServerOptions
  #server: Server | undefined
  #port: number

  private constructor(options: S3ServerOptions) {
    this.#options = options
    this.#port = options.port ?? 0
    this.faults = new Faults(options.seed ?? 1)
    this.buckets = new Buckets(options.dataDir)
    for (const name of options.buckets ?? [])
      if (this.buckets.get(name) === undefined) this.buckets.create(name)
  }

  static async start(options: S3ServerOptions = {}): Promise<S3Server> {
    const server = new S3Server(options)
    await server.up()
    return server
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`
  }

  get region(): string {
    return this.#options.region ?? 'us-east-1'
  }

  /** Listens again, on the same port. */
  async up(): Promise<void> {
    const server = createServer((request, response) => {
      void this.#serve(request, response).catch(() => request.socket.destroy())
    })
    server.keepAliveTimeout = 60_000
    this.#server = server
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(this.#port, '127.0.0.1', resolve)
    })
    this.#port = (server.address() as AddressInfo).port
  }

  /** As if the machine had gone: connections are cut, new ones refused. What was stored stays. */
  async down(): Promise<void> {
    const server = this.#server
    this.#server = undefined
    if (server === undefined) return
    const closed = new Promise((resolve) => server.close(resolve))
    server.closeAllConnections()
    await closed
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const raw = await readRaw(request)
    const { bucket, key, query } = target(request)
    const operation = operationOf({ method: request.method!, key, query, headers: request.headers })
    this.counts.set(operation, (this.counts.get(operation) ?? 0) + 1)
    const fault = this.faults.draw(operation)
    if (fault === 'reset-before') return reset(request)
    if (fault === 'web-page') return send(request, response, webPage, undefined)
    if (fault === 'slow') await sleep(this.slowMs, undefined, { ref: false })
    const answered = this.#answer(operation, request, raw, { bucket, key, query }, fault)
    if (fault === 'reset-after') return reset(request)
    if (fault === 'hang') return
    send(request, response, answered, fault)
  }

  #answer(
    operation: string,
    request: IncomingMessage,
    raw: Buffer,
    where: Pick<S3Request, 'bucket' | 'key' | 'query'>,
    fault: FaultKind | undefined,
  ): S3Answer {
    try {
      const refusal = fault && refusals[fault]
      if (refusal !== undefined) throw new S3Error(...refusal, 'Told to fail.')
      const nowMs = Date.now() + this.clockOffsetMs
      this.#authorize(operation, request, nowMs)
      const { bytes, crc32 } = verifyBody(request, raw, this.refusesChunked)
      const asked: S3Request = {
        ...where,
        method: request.method!,
        headers: request.headers,
        body: bytes,
        crc32,
        nowMs,
      }
      const listingFault = fault === 'repeated-page' || fault === 'lost-token' ? fault : undefined
      return answer(operation, asked, this.buckets, this, listingFault)
    } catch (error) {
      if (!(error instanceof S3Error)) throw error
      return {
        status: error.status,
        headers: { 'content-type': 'application/xml', ...error.headers },
        body: errorXml(error, request.url!),
      }
    }
  }

  #authorize(operation: string, request: IncomingMessage, nowMs: number): void {
    verifySignature(request, {
      accounts: this.#options.accounts ?? [testAccount],
      region: this.region,
      ...(this.expiredToken === undefined ? {} : { expiredToken: this.expiredToken }),
      nowMs,
    })
    if (this.denied.has(operation)) throw new S3Error(403, 'AccessDenied', 'Access Denied')
  }
}

function target(request: IncomingMessage): Pick<S3Request, 'bucket' | 'key' | 'query'> {
  const url = new URL(`http://host${request.url!}`)
  const [bucket, ...parts] = request.url!.split('?', 1)[0]!.slice(1).split('/')
  return {
    bucket: decodeURIComponent(bucket!),
    key: parts.map(decodeURIComponent).join('/'),
    query: url.searchParams,
  }
}

function reset(request: IncomingMessage): void {
  request.socket.resetAndDestroy()
}

function send(
  request: IncomingMessage,
  response: ServerResponse,
  answered: S3Answer,
  fault: FaultKind | undefined,
): void {
  const body = Buffer.from(answered.body ?? '')
  const headers: Record<string, string | number> = { ...answered.headers, 'x-amz-request-id': 'TEST' }
  if (fault === 'wrong-etag' && headers['etag'] !== undefined) headers['etag'] = `"${'0'.repeat(32)}"`
  if (answered.status !== 204) headers['content-length'] = body.length
  response.writeHead(answered.status, headers)
  if (request.method === 'HEAD') {
    response.end()
  } else if (fault === 'truncated' && body.length > 0) {
    response.write(body.subarray(0, Math.floor(body.length / 2)), () => request.socket.destroy())
  } else {
    response.end(fault === 'damaged' && body.length > 0 ? damaged(body) : body)
  }
}

function damaged(body: Buffer): Buffer {
  const copy = Buffer.from(body)
  const middle = Math.floor(copy.length / 2)
  copy[middle] = copy[middle]! ^ 0x01
  return copy
}
