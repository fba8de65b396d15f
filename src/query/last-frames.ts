/** When something was last received: of each table from receipts, of each channel from the tail of the growing segment. */

import type { ObjectStore } from '../storage/object-store.ts'
import type { Receipt } from '../table/receipt.ts'
import { tableNames } from '../table/receipt.ts'
import { readTail } from '../segment/peek.ts'
import { chunkKeys, type SegmentEntry } from './segments.ts'

export interface LastFrame {
  /** `table`: newest row in Parquet, by the exchange's time. `channel`: newest frame in the active segment, by receive time. */
  readonly of: 'table' | 'channel'
  readonly name: string
  readonly timeNs: bigint
}

/** A minute of a quiet feed, a fraction of a second of a busy one: one read. */
const tailBytes = 512 * 1024

export async function lastFrames(
  store: ObjectStore,
  receipts: readonly Receipt[],
  segments: readonly SegmentEntry[],
  signal: AbortSignal,
): Promise<LastFrame[]> {
  const channels = new Map<string, bigint>()
  for (const segment of segments.filter((each) => each.state === 'active')) {
    const rawKey = segment.rawKey!
    const key = rawKey.endsWith('/') ? (await chunkKeys(store, rawKey, signal)).at(-1) : rawKey
    const object = key === undefined ? undefined : await store.head(key)
    if (object === undefined) continue
    for (const line of await readTail(store, object, tailBytes, signal)) noteChannel(channels, line)
  }
  return [
    ...tableTimes(receipts),
    ...[...channels].map(([name, timeNs]) => ({ of: 'channel' as const, name, timeNs })),
  ]
}

function tableTimes(receipts: readonly Receipt[]): LastFrame[] {
  const newest = new Map<string, bigint>()
  for (const receipt of receipts)
    for (const part of receipt.parts) {
      const timeNs = BigInt(part.max_time_ns)
      if (timeNs > (newest.get(part.table) ?? -(2n ** 63n))) newest.set(part.table, timeNs)
    }
  return tableNames.flatMap((name) => {
    const timeNs = newest.get(name)
    return timeNs === undefined ? [] : [{ of: 'table' as const, name, timeNs }]
  })
}

/** Reads the first few hundred bytes only: a snapshot's line can be megabytes long. */
function noteChannel(channels: Map<string, bigint>, line: Buffer): void {
  const start = line.toString('latin1', 0, 400)
  const match = /^\{"n":\d+,"recv_ns":"(-?\d+)".*?"msg":\{"channel":"([a-z0-9_]+)"/.exec(start)
  if (match !== null) channels.set(match[2]!, BigInt(match[1]!))
}
