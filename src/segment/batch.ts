/**
 * Lines on their way from the thread that reads the sockets to the one that writes: each frame lies where it will stand in its
 * line, with room around it for the envelope, so that it is copied once. Buffers go over whole and come back.
 */

/** What a line is made of. */
export const textFrame = 0
export const binaryFrame = 1
/** The rest of a line, after its receive time, as text: what the recorder says itself. */
export const restText = 2

/** Numbers a record has: kind and connection, size of the frame or rest in bytes, receive time from `baseNs`, sequence number. */
export const recordFields = 4
/** Kind and place in `connections` in one number. */
export const connectionBits = 16
export const connectionsMax = 1 << connectionBits
const recordsMax = 2_048

/** The memory of a batch. */
export interface BatchBuffers {
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly records: Float64Array<ArrayBuffer>
}

/** Survives a structured clone, but for `bytes`, which comes over as a Uint8Array. */
export interface Batch extends BatchBuffers {
  used: number
  lines: number
  /** Counter of its first line; 0 without lines. */
  firstN: number
  /** Receive time of its first line. */
  baseNs: bigint
  /** Names of the connections whose frames are here. */
  readonly connections: string[]
  /** The segment is sealed after this batch. */
  endsSegment: boolean
  /** The next segment will go on where this one ends: its first line is on its way. */
  isFollowed: boolean
}

export function isFull(batch: Batch, sizeBytes: number): boolean {
  return (
    batch.used + sizeBytes > batch.bytes.length ||
    batch.lines === recordsMax ||
    batch.connections.length === connectionsMax
  )
}

/** Hands out buffers of one size and takes them back: a recorder that runs for months should not feed the collector. */
export class BatchPool {
  readonly #sizeBytes: number
  readonly #free: BatchBuffers[] = []

  constructor(sizeBytes: number) {
    this.#sizeBytes = sizeBytes
  }

  /** An empty batch with room for at least `sizeBytes`. */
  take(sizeBytes: number): Batch {
    const buffers = sizeBytes > this.#sizeBytes ? newBuffers(sizeBytes) : this.#free.pop()
    const { bytes, records } = buffers ?? newBuffers(this.#sizeBytes)
    return {
      bytes,
      records,
      used: 0,
      lines: 0,
      firstN: 0,
      baseNs: 0n,
      connections: [],
      endsSegment: false,
      isFollowed: false,
    }
  }

  giveBack({ bytes, records }: BatchBuffers): void {
    if (bytes.length === this.#sizeBytes && this.#free.length < 16) this.#free.push({ bytes, records })
  }
}

/** Of their own memory, not of Node's pool: only such can change threads. */
function newBuffers(sizeBytes: number): BatchBuffers {
  return {
    bytes: Buffer.allocUnsafeSlow(sizeBytes),
    records: new Float64Array(recordsMax * recordFields),
  }
}
