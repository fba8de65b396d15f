/** What a connection needs of its socket, and the real one: a WebSocket of the `ws` library. */

import type { Socket } from 'node:net'
import { WebSocket } from 'ws'
import { messageOf } from '../core/errors.ts'
import { frameBytesMax } from '../segment/format.ts'

/** What a socket tells, in this order: an open, then reads with their frames, then one close; all but the close may be missing. */
export interface FeedSocketEvents {
  /** @param localPort 0: unknown */
  opened(localPort: number): void
  /** Bytes have come: the frames in them follow at once, those that are whole. */
  read(): void
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
  let localPort = 0
  let failure = ''
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
  })
  socket.on('upgrade', (response) => {
    localPort = response.socket.localPort ?? 0
    announceReads(response.socket, events)
  })
  socket.on('open', () => events.opened(localPort))
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

/**
 * Before the library's own listener, and not by `on`, which would start the flow before that listener is there: frames in one packet
 * with the handshake's answer would be lost.
 */
function announceReads(socket: Socket, events: FeedSocketEvents): void {
  socket.prependListener('data', () => events.read())
}
