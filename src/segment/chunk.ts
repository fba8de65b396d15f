/** Lines on their way to disk: a buffer that fills, then is written as one piece and kept until it is durable. */

import type { ConnectionStretch } from './connection-stats.ts'

export interface Chunk {
  readonly bytes: Buffer
  used: number
  lines: number
  firstN: number
  lastN: number
  firstRecvNs: bigint
  lastRecvNs: bigint
  /** When its first line was appended, monotonic milliseconds. */
  sinceMs: number
  /** Set when the chunk is closed. */
  connections: readonly ConnectionStretch[]
  /** The segment is sealed after this chunk. */
  endsSegment: boolean
}

/** Hands out buffers of one size and takes them back: a recorder that runs for months should not feed the collector. */
export class ChunkPool {
  readonly #sizeBytes: number
  readonly #free: Buffer[] = []

  constructor(sizeBytes: number) {
    this.#sizeBytes = sizeBytes
  }

  /** An empty chunk with room for at least `sizeBytes`. */
  take(sizeBytes: number): Chunk {
    const bytes =
      sizeBytes > this.#sizeBytes
        ? Buffer.allocUnsafe(sizeBytes)
        : (this.#free.pop() ?? Buffer.allocUnsafe(this.#sizeBytes))
    return {
      bytes,
      used: 0,
      lines: 0,
      firstN: 0,
      lastN: 0,
      firstRecvNs: 0n,
      lastRecvNs: 0n,
      sinceMs: 0,
      connections: [],
      endsSegment: false,
    }
  }

  giveBack(chunk: Chunk): void {
    if (chunk.bytes.length === this.#sizeBytes && this.#free.length < 8) this.#free.push(chunk.bytes)
  }
}
