/** A WebSocket server written by hand, which says what no library would. */

import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'

export type Respond = (socket: Socket, accept: string) => void

/** A server written by hand: gets the socket and the answer to the client's key. */
export async function withRawServer(respond: Respond, use: (port: number) => Promise<void>): Promise<void> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.once('data', (request) => {
      const key = /sec-websocket-key: (\S+)/i.exec(request.toString('latin1'))?.[1] ?? ''
      respond(
        socket,
        createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64'),
      )
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  try {
    await use((server.address() as AddressInfo).port)
  } finally {
    for (const socket of sockets) socket.destroy()
    server.close()
  }
}

/** A yes to the handshake. */
export function welcome(accept: string): string {
  return `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`
}

/** Accepts, then sends these bytes. */
export function sends(bytes: Buffer, afterwards: (socket: Socket) => void = () => undefined): Respond {
  return (socket, accept) => {
    socket.setNoDelay(true)
    socket.write(welcome(accept))
    socket.write(bytes, () => afterwards(socket))
  }
}

/** A frame as a server writes it (RFC 6455, section 5.2): unmasked. */
export function serverFrame(firstByte: number, payload: Buffer | string): Buffer {
  const bytes = Buffer.from(payload)
  const size = bytes.length
  if (size < 126) return Buffer.concat([Buffer.from([firstByte, size]), bytes])
  const head = Buffer.alloc(size < 65_536 ? 4 : 10)
  head[0] = firstByte
  head[1] = size < 65_536 ? 126 : 127
  if (size < 65_536) head.writeUInt16BE(size, 2)
  else head.writeBigUInt64BE(BigInt(size), 2)
  return Buffer.concat([head, bytes])
}
