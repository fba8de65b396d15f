/** A venue on this machine: starts it, and is the handle a test or a command holds. */

import { createServer, STATUS_CODES, type IncomingMessage, type Server } from 'node:http'
import { type AddressInfo, Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { WebSocketServer, type WebSocket } from 'ws'
import type { Clock } from '../core/clock.ts'
import { messageOf, VaultError } from '../core/errors.ts'
import { Backend, type BackendOptions } from './backend.ts'
import { answer } from './control.ts'
import { refusal } from './visitor.ts'

export interface SimulatorOptions extends BackendOptions {
  /** 0 or absent: any free port. */
  readonly port?: number
}

/** What clients get to read the rest after a close, in milliseconds. */
const lingerMs = 500
const clientMessageBytesMax = 1024 * 1024
/** A client that sends its request byte by byte is hung up. */
const requestLimits = { headersTimeout: 10_000, requestTimeout: 30_000, maxHeaderSize: 16 * 1024 }

/** @throws VaultError `unavailable` when the port is taken */
export async function startSimulator(options: SimulatorOptions, deps: { clock: Clock }): Promise<Simulator> {
  const server = createServer(requestLimits)
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) =>
      reject(
        new VaultError('unavailable', `simulator: port ${options.port ?? 0}: ${messageOf(error)}`, {
          remedy: 'choose another port, or 0 for any free one',
          cause: error,
        }),
      ),
    )
    server.listen(options.port ?? 0, '127.0.0.1', resolve)
  })
  return new Simulator(server, options, deps.clock)
}

export class Simulator extends Backend {
  readonly port: number
  readonly #server: Server
  readonly #sockets = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    maxPayload: clientMessageBytesMax,
  })
  readonly #clock: Clock
  readonly #upgraded = new Set<Duplex>()
  #isClosing = false

  constructor(server: Server, options: SimulatorOptions, clock: Clock) {
    super(options, clock)
    this.port = (server.address() as AddressInfo).port
    this.#server = server
    this.#clock = clock
    server.on('request', (request, response) => answer(this, request, response))
    server.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head))
  }

  get wsUrl(): string {
    return `ws://127.0.0.1:${this.port}`
  }

  /** Stands for `https://api.coinbase.com`: the product list is below it. */
  get restUrl(): string {
    return `http://127.0.0.1:${this.port}`
  }

  get controlUrl(): string {
    return `http://127.0.0.1:${this.port}/control`
  }

  /** Hangs up on everyone. */
  async close(): Promise<void> {
    this.#isClosing = true
    this.shutDown()
    this.#sockets.close()
    const isClosed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    this.#server.closeAllConnections()
    // A client that reads nothing would hold its socket for ever.
    const destroying = this.#clock.after(lingerMs, () => {
      for (const socket of this.#upgraded) socket.destroy()
    })
    await isClosed
    destroying.cancel()
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const status = refusal(request.headers) !== undefined ? 403 : this.#isClosing ? 503 : this.refusal
    if (status === null)
      return this.#sockets.handleUpgrade(request, socket, head, (ws) => this.#open(ws, socket))
    socket.end(
      `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`,
    )
  }

  #open(ws: WebSocket, socket: Duplex): void {
    const reset = (): unknown => (socket instanceof Socket ? socket.resetAndDestroy() : socket.destroy())
    const accepted = this.accept({
      port: socket instanceof Socket ? (socket.remotePort ?? 0) : 0,
      bytes: socket,
      line: {
        isOpen: () => ws.readyState === ws.OPEN,
        close: (code) => ws.close(code),
        reset,
        resetWhenSent: () => socket.write('', reset),
        hangUp: () => socket.end(),
      },
    })
    this.#upgraded.add(socket)
    ws.on('message', (data: Buffer) => accepted.message(data.toString('utf8')))
    // The close that follows an error says all there is to say.
    ws.on('error', () => undefined)
    ws.on('close', () => {
      accepted.closed()
      this.#upgraded.delete(socket)
    })
  }
}
