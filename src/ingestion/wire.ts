/** The socket under a WebSocket: read into one buffer, its bytes dealt out between the library and the plain frames. */

import { connect, isIP, type OnReadOpts, type Socket, type TcpNetConnectOpts } from 'node:net'
import { connect as connectTls, type ConnectionOptions } from 'node:tls'
import { PlainFrames, type FrameLimits, type PlainFrameSink } from './plain-frames.ts'

/** What one read takes at most: few enough to be in the processor's cache still when their frames are copied. */
const readBytesMax = 64 * 1024
const blankLine = Buffer.from('\r\n\r\n')

export interface WireSink extends PlainFrameSink {
  /** Bytes behind the answer have come; what is in them follows. */
  read(): void
}

/** Node takes `onread` for TLS too, and documents it; its types do not know. */
type TlsOptions = ConnectionOptions & { readonly onread: OnReadOpts }

/**
 * Connects. All reads of a socket go through one buffer, where Node allocates one for each: 64 kB every ten microseconds were what the
 * collector of a busy recorder worked for. The socket itself then tells nobody of its bytes; `read` does.
 */
export function openWire(
  options: TcpNetConnectOpts,
  isSecure: boolean,
  read: (bytes: Buffer) => void,
): Socket {
  const buffer = Buffer.allocUnsafeSlow(readBytesMax)
  const onread: OnReadOpts = {
    buffer,
    callback: (sizeBytes) => {
      read(buffer.subarray(0, sizeBytes))
      return true
    },
  }
  const { host = '' } = options
  // The request's path: to a socket it would be the file of another.
  const place = { ...options, path: undefined, onread }
  if (!isSecure) return connect(place as TcpNetConnectOpts)
  // An address is no name to ask a certificate for.
  return connectTls({ ...place, ...(isIP(host) === 0 && { servername: host }) } as TlsOptions)
}

/** Bytes of a WebSocket's server from the first on: the answer to the handshake is the library's, what follows goes by frames. */
export class WireReader {
  readonly #isOpen: () => boolean
  readonly #sink: WireSink
  readonly #frames: PlainFrames
  /** How much of a blank line the bytes so far end with. */
  #blank = 0
  #isAnswered = false

  /** @param isOpen whether the library has taken the answer for a yes */
  constructor(limits: FrameLimits, isOpen: () => boolean, sink: WireSink) {
    this.#isOpen = isOpen
    this.#sink = sink
    this.#frames = new PlainFrames(limits, sink)
  }

  /** @param bytes lent for the call */
  push(bytes: Buffer): void {
    let from = 0
    while (from < bytes.length && !this.#isAnswered) from = this.#passAnswer(bytes, from)
    if (from === bytes.length) return
    this.#sink.read()
    this.#frames.push(bytes.subarray(from))
  }

  /** Up to a blank line and no further: the library would keep what came in the same packet for itself. Returns where that is. */
  #passAnswer(bytes: Buffer, from: number): number {
    let until = from
    while (until < bytes.length && this.#blank < blankLine.length) {
      const byte = bytes[until++]!
      // Its second half begins as its first does.
      this.#blank = byte === blankLine[this.#blank] ? this.#blank + 1 : byte === blankLine[0] ? 1 : 0
    }
    if (this.#blank === blankLine.length) this.#blank = 0
    this.#sink.pass(bytes.subarray(from, until))
    this.#isAnswered = this.#isOpen()
    return until
  }
}
