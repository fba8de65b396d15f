/** The server side of a venue that only shouts: a product list, a handshake, the acks of whatever is asked, and then what its user writes. */

import { createHash } from 'node:crypto'
import { createServer, type Socket } from 'node:net'

/** Frames begin here so that every number has the same width. */
export const firstSequence = 1_000_000_000

/** RFC 6455 §5.2: a final, unmasked text frame. */
export function encodeText(text: string): Buffer {
  const payload = Buffer.from(text)
  return Buffer.concat([headOf(payload.length), payload])
}

function headOf(sizeBytes: number): Buffer {
  if (sizeBytes < 126) return Buffer.of(0x81, sizeBytes)
  if (sizeBytes < 65_536) return Buffer.of(0x81, 126, sizeBytes >> 8, sizeBytes & 255)
  const head = Buffer.alloc(10)
  head[0] = 0x81
  head[1] = 127
  head.writeBigUInt64BE(BigInt(sizeBytes), 2)
  return head
}

/**
 * Listens and prints `{"port":…}`; prints `{"subscribed":1}` when someone has, and calls back with the socket a second later. Ends with its
 * standard input.
 */
export function serveShouting(shout: (socket: Socket) => Promise<void>): void {
  // Small frames are to leave at once, as the venue's do.
  const server = createServer({ noDelay: true }, (socket) => {
    socket.on('error', () => socket.destroy())
    socket.once('data', (request) => answer(socket, request.toString('latin1'), shout))
  })
  server.listen(0, '127.0.0.1', () => {
    const address = server.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0
    process.stdout.write(JSON.stringify({ port }) + '\n')
  })
  process.stdin.on('end', () => process.exit(0)).resume()
}

function answer(socket: Socket, request: string, shout: (socket: Socket) => Promise<void>): void {
  const key = /sec-websocket-key: *(\S+)/i.exec(request)?.[1]
  if (key === undefined) {
    const body = JSON.stringify({
      products: [{ product_id: 'BTC-USD', alias: '', status: 'online', product_type: 'SPOT' }],
      num_products: 1,
    })
    socket.end(
      `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`,
    )
    return
  }
  const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: ${accept}\r\n\r\n`,
  )
  // A recorder paces its subscribes: an ack before the last of them would leave it waiting for one.
  socket.once('data', () => {
    process.stdout.write('{"subscribed":1}\n')
    setTimeout(() => {
      // One for each channel: the first answers the older subscribe only.
      for (const sequence of [firstSequence - 2, firstSequence - 1])
        socket.write(encodeText(ackFrame(sequence)))
      void shout(socket)
    }, 1000)
  })
}

/** So that a recorder's watchdogs rest. */
function ackFrame(sequence: number): string {
  const subscriptions = { heartbeats: ['heartbeats'], ticker: ['BTC-USD'] }
  return JSON.stringify({
    channel: 'subscriptions',
    timestamp: '2026-06-14T05:35:45Z',
    sequence_num: sequence,
    events: [{ subscriptions }],
  })
}
