/** WebSocket frames of a server out of a stream of bytes, cut anywhere: unmasked, uncompressed, possibly in pieces. */

export interface Message {
  readonly payload: Buffer
  readonly isBinary: boolean
}

const binaryOpcode = 2

export class FrameReader {
  #rest: Buffer = Buffer.alloc(0)
  #pieces: Buffer[] = []
  #isBinary = false

  /** @returns the messages that end in these bytes */
  push(bytes: Buffer): Message[] {
    this.#rest = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes])
    const messages: Message[] = []
    for (let size = this.#frameBytes(); size > 0; size = this.#frameBytes()) {
      const message = this.#take(this.#rest.subarray(0, size))
      this.#rest = this.#rest.subarray(size)
      if (message !== null) messages.push(message)
    }
    return messages
  }

  /** Header and payload of the first frame; 0: it is not whole yet. */
  #frameBytes(): number {
    const [headerBytes, payloadBytes] = this.#lengths()
    const size = headerBytes + payloadBytes
    return this.#rest.length >= size ? size : 0
  }

  #lengths(): [headerBytes: number, payloadBytes: number] {
    const rest = this.#rest
    const short = rest.length < 2 ? Number.POSITIVE_INFINITY : rest[1]! & 0x7f
    if (short < 126) return [2, short]
    if (short === 126 && rest.length >= 4) return [4, rest.readUInt16BE(2)]
    if (short === 127 && rest.length >= 10) return [10, Number(rest.readBigUInt64BE(2))]
    return [2, Number.POSITIVE_INFINITY]
  }

  #take(frame: Buffer): Message | null {
    const [headerBytes] = this.#lengths()
    const opcode = frame[0]! & 0x0f
    if (opcode !== 0) this.#isBinary = opcode === binaryOpcode
    // A copy: the recorder keeps nothing of what it is given, but the pieces of a message wait for one another.
    this.#pieces.push(frame.subarray(headerBytes))
    if ((frame[0]! & 0x80) === 0) return null
    const payload = this.#pieces.length === 1 ? this.#pieces[0]! : Buffer.concat(this.#pieces)
    this.#pieces = []
    return { payload, isBinary: this.#isBinary }
  }
}
