/**
 * WebSocket frames written straight to the upgraded socket: server frames are unmasked, so one copy into a batch and one
 * write for many frames do. The handshake and what the client sends are `ws`'s business.
 */

import type { Duplex } from 'node:stream'
import { crc32 } from 'node:zlib'

export const opcodes = { continuation: 0, text: 1, binary: 2 } as const

/** Above this many unsent bytes a consumer is slow and gets no new frames. */
export const unsentBytesMax = 64 * 1024 * 1024

const batchBytes = 256 * 1024
const headerBytesMax = 10

/** What takes the bytes: a socket, or what stands for one. */
export type ByteSink = Pick<Duplex, 'writableLength' | 'destroyed' | 'writable'> & {
  write(bytes: Buffer): unknown
}

export class FrameSink {
  readonly #socket: ByteSink
  readonly #unsentMax: number
  #batch: Buffer
  #fill = 0
  #bytesMade = 0

  constructor(socket: ByteSink, unsentMax: number) {
    this.#socket = socket
    this.#unsentMax = unsentMax
    this.#batch = Buffer.allocUnsafeSlow(batchBytes)
  }

  /** Bytes of all frames so far, sent or not. */
  get bytesMade(): number {
    return this.#bytesMade
  }

  get isFull(): boolean {
    return this.#socket.writableLength > this.#unsentMax
  }

  get isDrained(): boolean {
    return this.#fill === 0 && (this.#socket.writableLength === 0 || this.#socket.destroyed)
  }

  /** A text frame. @param text ASCII only @returns CRC-32 of the payload */
  text(text: string): number {
    const start = this.#begin(text.length)
    this.#put(text)
    return crc32(this.#batch.subarray(start, this.#fill))
  }

  /** A text frame in three parts, the middle one shared with other frames: joining the strings first would copy it once more. */
  joined(head: string, middle: string, end: string): number {
    const start = this.#begin(head.length + middle.length + end.length)
    this.#put(head)
    this.#put(middle)
    this.#put(end)
    return crc32(this.#batch.subarray(start, this.#fill))
  }

  /** A text frame's header and the first half of its bytes, after which nothing may follow. */
  half(text: string): void {
    this.#begin(text.length)
    this.#put(text.slice(0, text.length >>> 1))
  }

  /** One message in `parts` frames. */
  message(opcode: number, payload: Buffer, parts: number): number {
    const partBytes = Math.max(1, Math.ceil(payload.length / parts))
    for (let from = 0; from === 0 || from < payload.length; from += partBytes) {
      const part = payload.subarray(from, from + partBytes)
      const isLast = from + partBytes >= payload.length
      this.#reserve(headerBytesMax + part.length)
      this.#header((isLast ? 0x80 : 0) | (from === 0 ? opcode : opcodes.continuation), part.length)
      part.copy(this.#batch, this.#fill)
      this.#fill += part.length
    }
    this.#bytesMade += payload.length
    return crc32(payload)
  }

  /** Hands the batch to the socket. */
  flush(): void {
    if (this.#fill === 0) return
    const full = this.#batch.subarray(0, this.#fill)
    // The socket keeps the bytes until they are sent: the rest of this batch is used next, never the same bytes again.
    this.#batch = this.#batch.subarray(this.#fill)
    this.#fill = 0
    if (!this.#socket.destroyed && this.#socket.writable) this.#socket.write(full)
  }

  /** @returns where the payload goes */
  #begin(size: number): number {
    this.#reserve(headerBytesMax + size)
    this.#header(0x80 | opcodes.text, size)
    this.#bytesMade += size
    return this.#fill
  }

  #put(text: string): void {
    this.#fill += this.#batch.write(text, this.#fill, text.length, 'latin1')
  }

  #reserve(size: number): void {
    if (this.#fill + size <= this.#batch.length) return
    this.flush()
    if (size > this.#batch.length) this.#batch = Buffer.allocUnsafeSlow(Math.max(size, batchBytes))
  }

  #header(first: number, size: number): void {
    const batch = this.#batch
    let at = this.#fill
    batch[at++] = first
    if (size < 126) batch[at++] = size
    else if (size < 65_536) {
      batch[at++] = 126
      at = batch.writeUInt16BE(size, at)
    } else {
      batch[at++] = 127
      at = batch.writeUInt32BE(0, at)
      at = batch.writeUInt32BE(size, at)
    }
    this.#fill = at
  }
}
