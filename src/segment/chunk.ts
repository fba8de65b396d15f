/** Finished lines: written as one piece, and kept until they are durable. */

import type { Batch } from './batch.ts'
import type { ConnectionStretch } from './connection-stats.ts'

export interface Chunk {
  readonly bytes: Uint8Array
  readonly lines: number
  readonly firstN: number
  readonly lastN: number
  readonly firstRecvNs: bigint
  readonly lastRecvNs: bigint
  readonly connections: readonly ConnectionStretch[]
  /** The segment is sealed after this chunk. */
  readonly endsSegment: boolean
  /** Goes back to who filled it. */
  readonly batch: Batch
}
