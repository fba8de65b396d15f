/**
 * A proxy in front of a bucket that fails on purpose: answers 503, resets before or after the request took effect, cuts answers short, is slow, or
 * is away. What it does to a request is drawn from a seed.
 */

import { Agent, createServer, request as forward, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { seededRandom } from '../../src/core/random.ts'

export const proxyFaults = ['503', 'reset before', 'reset after', 'truncated', 'slow'] as const
export type ProxyFault = (typeof proxyFaults)[number]

const slowMs = 400
const refusal =
  '<?xml version="1.0" encoding="UTF-8"?><Error><Code>SlowDown</Code><Message>Told to fail.</Message></Error>'

export class FaultProxy {
  /** Chance of each fault, for every request. */
  chance = 0
  isAway = false
  readonly counts = new Map<string, number>()
  readonly #random: () => number
  readonly #upstream: URL
  readonly #agent = new Agent({ keepAlive: true })
  readonly #server = createServer((request, response) => void this.#serve(request, response))
  /** PUTs that did not succeed, or whose answer was lost. */
  readonly #failedPuts = new Set<string>()

  private constructor(upstream: string, seed: number) {
    this.#upstream = new URL(upstream)
    this.#random = seededRandom(seed)
  }

  static async start(upstream: string, seed: number): Promise<FaultProxy> {
    const proxy = new FaultProxy(upstream, seed)
    proxy.#server.keepAliveTimeout = 60_000
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve))
    return proxy
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections()
    this.#agent.destroy()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  /** No faults from now on. */
  heal(): void {
    this.chance = 0
    this.isAway = false
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const body = await readAll(request)
      const fault = this.isAway ? 'away' : this.#draw()
      this.#count(request, fault)
      if (fault === 'away' || fault === 'reset before') return reset(request)
      if (fault === '503') {
        response.writeHead(503, { 'content-type': 'application/xml', 'content-length': refusal.length })
        response.end(refusal)
        return
      }
      if (fault === 'slow') await sleep(slowMs)
      const [answer, bytes] = await this.#ask(request, body)
      if (fault === 'reset after') return reset(request)
      response.writeHead(answer.statusCode!, answer.headers)
      if (fault !== 'truncated' || bytes.length === 0) response.end(bytes)
      else response.write(bytes.subarray(0, bytes.length >>> 1), () => request.socket.destroy())
    } catch {
      // The client is gone, or the server behind is: the client finds out by a reset.
      request.socket.destroy()
    }
  }

  #draw(): ProxyFault | undefined {
    const roll = this.#random()
    return proxyFaults[Math.floor(roll / this.chance)]
  }

  #count(request: IncomingMessage, fault: string | undefined): void {
    const isPut = request.method === 'PUT'
    const add = (name: string): unknown => this.counts.set(name, (this.counts.get(name) ?? 0) + 1)
    if (isPut && this.#failedPuts.delete(request.url!)) add('puts tried again')
    if (fault === undefined) return
    add(fault)
    if (isPut && fault !== 'slow') this.#failedPuts.add(request.url!)
  }

  /** The host that was signed goes along. */
  #ask(request: IncomingMessage, body: Buffer): Promise<[IncomingMessage, Buffer]> {
    const { hostname, port } = this.#upstream
    return new Promise((resolve, reject) => {
      const { method, url: path, rawHeaders } = request
      const asked = forward({ hostname, port, method, path, headers: rawHeaders, agent: this.#agent })
      asked.on('error', reject)
      asked.on('response', (answer) => {
        readAll(answer).then((bytes) => resolve([answer, bytes]), reject)
      })
      asked.end(body)
    })
  }
}

function reset(request: IncomingMessage): void {
  request.socket.resetAndDestroy()
}

async function readAll(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(chunk)
  return Buffer.concat(chunks)
}
