/** A simulator in a process of its own, and its account over HTTP. */

import { MdvProcess } from './processes.ts'
import { once } from 'node:events'
import { request, type IncomingMessage } from 'node:http'
import { text } from 'node:stream/consumers'
import type { Fault } from '../src/simulator/faults.ts'
import type { SentConnection } from './compare.ts'

/** Of one connection, in the order they were opened. */
export interface AccountedConnection {
  readonly id: number
  readonly clientPort: number
  /** Data frames written to the socket. */
  readonly frames: number
  readonly unnumbered: number
  readonly skipped: readonly number[]
  /** Null while it is open. */
  readonly closedMs: number | null
}

export class Exchange {
  readonly wsUrl: string
  readonly restUrl: string
  readonly #process: MdvProcess
  readonly #controlUrl: string

  private constructor(process: MdvProcess, urls: { ws_url: string; rest_url: string; control_url: string }) {
    this.#process = process
    this.wsUrl = urls.ws_url
    this.restUrl = urls.rest_url
    this.#controlUrl = urls.control_url
  }

  static async start(...args: string[]): Promise<Exchange> {
    const process = new MdvProcess(['simulate', '--port', '0', '--json', ...args])
    const [line] = await process.line(/^\{"ws_url".*$/)
    return new Exchange(
      process,
      JSON.parse(line) as { ws_url: string; rest_url: string; control_url: string },
    )
  }

  /** Flags that point a recorder at it. */
  get flags(): string[] {
    return ['--ws-url', this.wsUrl, '--rest-url', this.restUrl, '--product-ids', 'all']
  }

  /** Sends nothing more; resolves when all that was sent has left for the network. */
  async pause(): Promise<void> {
    await this.#ask('POST', '/pause')
  }

  /** Strikes that connection; without one the oldest that is open, or else the next to come. */
  async fault(fault: Fault, connection?: number): Promise<void> {
    await this.#ask('POST', '/fault', JSON.stringify({ ...fault, connection }))
  }

  signal(signal: NodeJS.Signals): void {
    this.#process.child.kill(signal)
  }

  get pid(): number {
    return this.#process.child.pid!
  }

  /** What it says it sent, connection by connection. */
  async account(): Promise<readonly AccountedConnection[]> {
    const answer = await this.#ask('GET', '/account')
    return (answer as { connections: AccountedConnection[] }).connections
  }

  /** CRC-32 of each frame of one connection, in the order of the wire. */
  async checksums(connection: number): Promise<Uint32Array> {
    const answer = await fetch(`${this.#controlUrl}/account/frames?connection=${connection}`)
    const pairs = new Uint32Array(await answer.arrayBuffer())
    return pairs.filter((_, i) => i % 2 === 1)
  }

  /** What it says it sent, frame by frame. */
  async sent(): Promise<SentConnection[]> {
    const all: SentConnection[] = []
    for (const { id, clientPort, skipped } of await this.account()) {
      const answer = await this.#ask('GET', `/frames?connection=${id}`)
      const { sequences, crcs } = answer as { sequences: number[]; crcs: number[] }
      const frames = sequences.map((sequence, i) => ({ sequence, crc: crcs[i]! }))
      all.push({ port: clientPort, skipped, frames })
    }
    return all
  }

  /** On a connection of its own: one that is kept may be closed by the server just as it is used again. */
  async #ask(method: 'GET' | 'POST', path: string, body = ''): Promise<unknown> {
    const asked = request(`${this.#controlUrl}${path}`, { method, agent: false })
    asked.end(body)
    const [answer] = (await once(asked, 'response')) as [IncomingMessage]
    const said = await text(answer)
    if (answer.statusCode !== 200) throw new Error(`${method} ${path} ${body}: ${said}`)
    return JSON.parse(said)
  }

  async stop(): Promise<void> {
    await this.#process.end('SIGKILL')
  }
}
