/** Sealed segments written by hand: what must come back is known beforehand, line by line. */

import { createHash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { readySegmentKey } from '../../src/storage/keys.ts'
import type { ObjectStore } from '../../src/storage/object-store.ts'

/** A frame as it was received, or an event. */
export interface Recorded {
  readonly recorder: string
  readonly n: number
  readonly recvNs: bigint
  readonly frame?: string
  readonly event?: object
}

export function lineText({ recorder, n, recvNs, frame, event }: Recorded): string {
  const value =
    frame === undefined
      ? `"event":${JSON.stringify(event)}`
      : `"conn":"${recorder}-1","len":${Buffer.byteLength(frame)},"msg":${frame}`
  const head = `{"n":${n},"recv_ns":"${recvNs}",${value}`
  return `${head},"crc":"${crc32(head).toString(16).padStart(8, '0')}"}\n`
}

/** @param lines of one recorder, counters without holes */
export function segmentText(lines: readonly Recorded[]): string {
  const [first, last] = [lines[0]!, lines.at(-1)!]
  const header = {
    format: 1,
    venue: 'coinbase',
    url: 'wss://example',
    software: 'mdv test',
    recorder: first.recorder,
    n: first.n,
    prev: null,
    opened_ns: String(first.recvNs),
  }
  const body = `${JSON.stringify({ segment: header })}\n${lines.map(lineText).join('')}`
  const seal = {
    lines: lines.length,
    bytes: Buffer.byteLength(body),
    sha256: createHash('sha256').update(body).digest('hex'),
    first_n: first.n,
    last_n: last.n,
    first_recv_ns: String(first.recvNs),
    last_recv_ns: String(last.recvNs),
    connections: [],
  }
  return `${body}${JSON.stringify({ seal })}\n`
}

export async function putSegment(
  store: ObjectStore,
  label: string,
  lines: readonly Recorded[],
): Promise<void> {
  await store.putIfAbsent(readySegmentKey('coinbase', label), Buffer.from(segmentText(lines)))
}
