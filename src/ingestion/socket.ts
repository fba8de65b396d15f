/**
 * What a connection needs of its socket, and the real one: a WebSocket of the `ws` library, which does the handshake, the pings and
 * the farewell, and sees no plain frame: those are taken from the socket's bytes ahead of it.
 */

import type { connect, Socket, TcpNetConnectOpts } from 'node:net'
import { WebSocket } from 'ws'
import { messageOf } from '../core/errors.ts'
import { frameBytesMax } from '../segment/format.ts'
import { openWire, WireReader } from './wire.ts'

/** What a socket tells, in this order: an open, then reads with their frames, then one close; all but the close may be missing. */
export interface FeedSocketEvents {
  /** @param localPort 0: unknown */
  opened(localPort: number): void
  /** Bytes have come: the frames in them follow at once, those that are whole. */
  read(): void
  /** @param frame lent for the call */
  frame(frame: Buffer, isBinary: boolean): void
  /** @param detail the closer's words or the system's; empty: nothing but the code is known */
  closed(code: number, detail: string): void
}

export interface FeedSocket {
  /** False before it is open and once either side has said goodbye: what is sent then, nobody takes. */
  readonly isOpen: boolean
  send(text: string): void
  /** Hangs up at once; `closed` follows. */
  terminate(): void
}

/** Calls the venue. Tells nothing before it has returned. */
export type Dial = (url: string, events: FeedSocketEvents) => FeedSocket

const handshakeMs = 15_000
/** A snapshot of 5 MB in pieces of 4 kB is 1,280; without a limit, pieces of a byte cost a hundred times their size. */
const fragmentsMax = 4_096
/** The largest frame in packets of 1,400 bytes, each read by itself, is 48,000; without a limit, reads of a byte cost a hundred times their size. */
const chunksMax = 65_536

export const dialWebSocket: Dial = (url, events) => {
  let wire: Socket | null = null
  let failure = ''
  let hasOpened = false
  const isSecure = new URL(url).protocol !== 'ws:'
  const socket = new WebSocket(url, {
    // Off: the feed is small beside what inflating it costs, half of a recorder's time (measured by others on this feed).
    perMessageDeflate: false,
    // The log looks at every frame itself and keeps one that is not UTF-8, where the library would hang up.
    skipUTF8Validation: true,
    maxPayload: frameBytesMax,
    maxFragments: fragmentsMax,
    maxBufferedChunks: chunksMax,
    handshakeTimeout: handshakeMs,
    followRedirects: false,
    createConnection: ((options: TcpNetConnectOpts) =>
      (wire = openWire(options, isSecure, (bytes) => reader.push(bytes)))) as typeof connect,
  })
  const reader = new WireReader({ bytesMax: frameBytesMax, piecesMax: fragmentsMax }, () => hasOpened, {
    read: () => events.read(),
    frame: (frame, isBinary) => events.frame(frame, isBinary),
    // The library listens to its socket, which itself tells nothing; it keeps what it is given.
    pass: (bytes) => wire!.emit('data', Buffer.from(bytes)),
  })
  socket.on('open', () => {
    hasOpened = true
    events.opened(wire!.localPort ?? 0)
  })
  socket.on('message', (data, isBinary) => events.frame(data as Buffer, isBinary))
  // Without it the library waits half a minute for a farewell from a server that has just broken the protocol.
  socket.on('error', (error) => {
    failure = messageOf(error)
    socket.terminate()
  })
  socket.on('close', (code, reason) => {
    events.closed(code, [reason.toString('utf8'), failure].filter((one) => one !== '').join('; '))
  })
  return {
    get isOpen() {
      return socket.readyState === WebSocket.OPEN
    },
    send: (text) => socket.send(text),
    terminate: () => socket.terminate(),
  }
}
