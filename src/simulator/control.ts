/** The simulator's HTTP side: the venue's product list, and the controls a test or a user turns. */

import type { IncomingMessage, ServerResponse } from 'node:http'
import { messageOf, VaultError } from '../core/errors.ts'
import type { Account } from './account.ts'
import { isFaultKind, type Fault } from './faults.ts'
import type { Product } from './products.ts'
import { refusal } from './visitor.ts'
import { productAnswer, productsAnswer, productsPath } from './rest.ts'

/** What the controls reach. */
export interface Controls {
  readonly products: readonly Product[]
  readonly delisted: readonly Product[]
  account(): Account
  /** Undefined: no such connection. */
  ledgerOf(connection: number): { sequences(): Int32Array; crcs(): Uint32Array } | undefined
  inject(fault: Fault, connection?: number): number | null
  pause(): Promise<void>
  resume(): void
  listProduct(id: string): boolean
  delistProduct(id: string): boolean
}

const bodyBytesMax = 64 * 1024

export function answer(controls: Controls, request: IncomingMessage, response: ServerResponse): void {
  route(controls, request).then(
    ([status, body]) => send(response, status, body),
    (error: unknown) => send(response, 400, JSON.stringify({ error: messageOf(error) })),
  )
}

function send(response: ServerResponse, status: number, body: string | Buffer): void {
  const type = typeof body === 'string' ? 'application/json' : 'application/octet-stream'
  response.writeHead(status, { 'content-type': type })
  response.end(body)
}

type Answer = readonly [status: number, body: string | Buffer]

async function route(controls: Controls, request: IncomingMessage): Promise<Answer> {
  const refused = refusal(request.headers)
  if (refused !== undefined) return [403, JSON.stringify({ error: refused })]
  const url = new URL(request.url ?? '/', 'http://simulator')
  const path = url.pathname
  if (request.method === 'POST') return change(controls, path, await readBody(request))
  if (path === '/control/account') return [200, JSON.stringify(controls.account())]
  if (path === '/control/frames' || path === '/control/account/frames')
    return framesAnswer(controls, Number(url.searchParams.get('connection')), path === '/control/frames')
  if (path === productsPath) return [200, productsAnswer(controls, url.searchParams)]
  const one = path.startsWith(`${productsPath}/`)
    ? productAnswer(controls, decodeURIComponent(path.slice(productsPath.length + 1)))
    : undefined
  if (one !== undefined) return [200, one]
  return [404, '{"error":"NOT_FOUND","error_details":"valid product_id is required"}']
}

async function change(controls: Controls, path: string, body: Record<string, unknown>): Promise<Answer> {
  switch (path) {
    case '/control/pause':
      await controls.pause()
      return [200, '{"paused":true}']
    case '/control/resume':
      controls.resume()
      return [200, '{"paused":false}']
    case '/control/fault': {
      const connection = body['connection']
      const struck = controls.inject(readFault(body), typeof connection === 'number' ? connection : undefined)
      return [200, JSON.stringify({ connection: struck })]
    }
    case '/control/list':
      return [200, JSON.stringify({ listed: controls.listProduct(readProduct(body)) })]
    case '/control/delist':
      return [200, JSON.stringify({ delisted: controls.delistProduct(readProduct(body)) })]
    default:
      return [404, '{"error":"NOT_FOUND"}']
  }
}

/** As JSON, or for many frames as pairs of int32 sequence and uint32 checksum, little-endian. */
function framesAnswer(controls: Controls, connection: number, isJson: boolean): Answer {
  const ledger = controls.ledgerOf(connection)
  if (ledger === undefined) return [404, '{"error":"NOT_FOUND","error_details":"no such connection"}']
  const sequences = ledger.sequences()
  const crcs = ledger.crcs()
  if (isJson) return [200, `{"sequences":[${sequences.join(',')}],"crcs":[${crcs.join(',')}]}`]
  const pairs = Buffer.allocUnsafe(sequences.length * 8)
  for (let i = 0; i < sequences.length; i++)
    pairs.writeUInt32LE(crcs[i] ?? 0, pairs.writeInt32LE(sequences[i] ?? 0, i * 8))
  return [200, pairs]
}

function readFault(body: Record<string, unknown>): Fault {
  const { kind, ms, code, bytes, product } = body
  if (typeof kind !== 'string' || !isFaultKind(kind))
    throw new VaultError('invalid', `fault: ${JSON.stringify(kind)} is no kind of fault`)
  return {
    kind,
    ...(typeof ms === 'number' ? { ms } : {}),
    ...(typeof code === 'number' ? { code } : {}),
    ...(typeof bytes === 'number' ? { bytes } : {}),
    ...(typeof product === 'string' ? { product } : {}),
  }
}

function readProduct(body: Record<string, unknown>): string {
  const { product } = body
  if (typeof product === 'string' && /^[A-Za-z0-9]+(-[A-Za-z0-9]+)+$/.test(product)) return product
  throw new VaultError('invalid', `product: ${JSON.stringify(product)} is no product id`)
}

async function readBody(request: IncomingMessage): Promise<Record<string, unknown>> {
  let text = ''
  for await (const chunk of request.setEncoding('utf8')) {
    text += String(chunk)
    if (text.length > bodyBytesMax) throw new VaultError('invalid', 'request body: larger than 64 KiB')
  }
  const parsed: unknown = text === '' ? {} : JSON.parse(text)
  return typeof parsed === 'object' && parsed !== null ? { ...parsed } : {}
}
