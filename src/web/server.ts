/** The vault over HTTP, read only: what programs of other languages and other machines replay from. */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { isIP } from 'node:net'
import type { AddressInfo } from 'node:net'
import { VaultError, type ErrorKind } from '../core/errors.ts'

/** @throws {VaultError} before its first byte: the answer says so; afterwards the connection is cut, so that nobody takes a part for the whole */
export type Answer = (query: URLSearchParams, response: ServerResponse, signal: AbortSignal) => Promise<void>

export interface ServerOptions {
  readonly host: string
  /** 0: any free one. */
  readonly port: number
  /** By path: `/v1/replay`. */
  readonly routes: Readonly<Record<string, Answer>>
  /** What went wrong, one line. */
  readonly onTrouble: (words: string) => void
}

export interface RunningServer {
  /** `http://127.0.0.1:8080` */
  readonly url: string
  /** Cuts what is under way, and waits until it has let go of what it held. */
  close(): Promise<void>
}

/** Answers at once: each may hold a DuckDB and its memory. */
const answersMax = 8
const urlBytesMax = 8192

const statusOfKind: Readonly<Record<ErrorKind, number>> = {
  usage: 400,
  config: 500,
  preflight: 500,
  unavailable: 503,
  invalid: 500,
  corrupt: 500,
  held: 503,
  closed: 503,
}

/** @throws {VaultError} `preflight` when the port is taken or may not be used */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const { host, port } = options
  const stopping = new AbortController()
  const door = new Door(options, stopping.signal)
  const server = createServer(
    { maxHeaderSize: urlBytesMax },
    (request, response) => void door.answer(request, response),
  )
  await listen(server, host, port)
  const { port: taken } = server.address() as AddressInfo
  return {
    url: `http://${isIP(host) === 6 ? `[${host}]` : host}:${taken}`,
    async close() {
      stopping.abort()
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      await closed
      await door.closed()
    },
  }
}

/** Only this machine can reach it. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
}

async function listen(server: Server, host: string, port: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) =>
      reject(
        new VaultError('preflight', `${host}:${port}: ${error.message}`, {
          cause: error,
          remedy: 'choose another with --port, or 0 for any free one',
        }),
      ),
    )
    server.listen({ host, port }, resolve)
  })
}

class Door {
  readonly #options: ServerOptions
  readonly #stop: AbortSignal
  readonly #answers = new Set<Promise<void>>()

  constructor(options: ServerOptions, stop: AbortSignal) {
    this.#options = options
    this.#stop = stop
  }

  /** Those under way have ended, and let go of what they held. */
  async closed(): Promise<void> {
    await Promise.all(this.#answers)
  }

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const answer = this.#answer(request, response)
    this.#answers.add(answer)
    await answer
    this.#answers.delete(answer)
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const gone = new AbortController()
    const abort = (): void => gone.abort()
    // A response that waits behind another on its socket is not told when that closes.
    request.socket.once('close', abort)
    response.once('close', abort)
    try {
      const { answer, query } = this.#routeOf(request)
      await answer(query, response, AbortSignal.any([gone.signal, this.#stop]))
      response.end()
    } catch (error) {
      if (!gone.signal.aborted && !this.#stop.aborted) this.#refuse(request, response, error)
    } finally {
      request.socket.removeListener('close', abort)
    }
  }

  #routeOf(request: IncomingMessage): { readonly answer: Answer; readonly query: URLSearchParams } {
    const { host, routes } = this.#options
    // A page of another site can have its own name lead to this machine: it then asks under that name.
    if (isLoopback(host) && !isLoopback(hostName(request)))
      throw new Refusal(
        403,
        `Host ${JSON.stringify(request.headers.host ?? '')}: this answers to localhost only`,
      )
    // There the end of the connection is the end of an answer: nobody could tell a part from the whole.
    if (request.httpVersion === '1.0') throw new Refusal(505, 'HTTP/1.0: ask in HTTP/1.1')
    if (request.method !== 'GET') throw new Refusal(405, `${request.method}: only GET is answered`)
    const asked = request.url ?? '/'
    if (!URL.canParse(asked, 'http://vault')) throw new Refusal(400, `${asked}: not an address`)
    const url = new URL(asked, 'http://vault')
    const answer = Object.hasOwn(routes, url.pathname) ? routes[url.pathname] : undefined
    if (answer === undefined)
      throw new Refusal(404, `${url.pathname}: there is ${Object.keys(routes).join(', ')}`)
    if (this.#answers.size >= answersMax)
      throw new Refusal(503, `${answersMax} answers are under way: try again when one has ended`)
    return { answer, query: url.searchParams }
  }

  #refuse(request: IncomingMessage, response: ServerResponse, error: unknown): void {
    const { status, message, remedy } = refusalOf(error)
    if (status >= 500 && !(error instanceof Refusal))
      this.#options.onTrouble(`${request.url ?? ''}: ${message}`)
    if (response.headersSent) return void response.destroy()
    response.writeHead(status, { 'content-type': 'application/json', 'x-content-type-options': 'nosniff' })
    response.end(`${JSON.stringify({ error: message, ...(remedy === undefined ? {} : { remedy }) })}\n`)
  }
}

class Refusal extends Error {
  readonly status: number

  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

function refusalOf(error: unknown): { status: number; message: string; remedy?: string | undefined } {
  if (error instanceof Refusal) return { status: error.status, message: error.message }
  if (error instanceof VaultError)
    return { status: statusOfKind[error.kind], message: error.message, remedy: error.remedy }
  return { status: 500, message: String(error) }
}

/** Of the address that was asked, without its port. */
function hostName({ headers }: IncomingMessage): string {
  return (headers.host ?? '').replace(/:\d*$/, '').replace(/^\[(.*)\]$/, '$1')
}
