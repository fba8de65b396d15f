/** What of a proof is nothing but bytes through the processor: it runs where it is asked, or on threads (scan-threads.ts). */

import type { SealedConnection } from '../../segment/format.ts'
import { toLine } from '../../segment/read.ts'
import { ConnectionHistory } from '../../segment/connection-history.ts'
import { SegmentScanner, type ScanResult } from '../../segment/scan.ts'
import { fileSha256 } from '../../storage/download.ts'
import { unpacked, unpackedBytesMax } from '../../storage/unpack.ts'
import { venues } from '../../venue/registry.ts'
import { sequenceNumbers } from '../../venue/sequence.ts'
import { SequenceTaker } from './sequence-taker.ts'
import { noFacts, type SequenceFacts } from './sequences.ts'

export interface SegmentTask {
  readonly kind: 'segment'
  /** Its ending says how it is packed. */
  readonly key: string
  /** As it lies there. */
  readonly sizeBytes: number
  readonly venue: string
  /** No rows tell of its connections yet. */
  readonly isWaiting: boolean
}

export interface DigestTask {
  readonly kind: 'digest'
  readonly path: string
}

/** A segment as its lines show it. */
export interface ScannedSegment {
  readonly scan: ScanResult
  /** The first few bad lines, in words. */
  readonly problems: readonly string[]
  readonly connections: readonly SealedConnection[]
  /** Empty unless it is waiting. */
  readonly sequences: SequenceFacts
}

/** Both may be asked several times at once. */
export interface Scans extends AsyncDisposable {
  /** @throws {VaultError} `corrupt` where it cannot be unpacked; what `bytes` throws */
  segment(task: SegmentTask, bytes: AsyncIterable<Buffer>, signal: AbortSignal): Promise<ScannedSegment>
  /** Lower-case hex. */
  sha256(path: string): Promise<string>
}

/** On this thread. */
export const scansHere: Scans = {
  segment: scanSegment,
  sha256: fileSha256,
  [Symbol.asyncDispose]: async () => undefined,
}

/** Only the first few bad lines are told one by one. */
const problemsMax = 5

export async function scanSegment(
  { key, sizeBytes, venue, isWaiting }: SegmentTask,
  bytes: AsyncIterable<Buffer>,
  signal: AbortSignal,
): Promise<ScannedSegment> {
  const known = venues.find(({ name }) => name === venue)
  const sequenceOf = known === undefined ? () => -1 : sequenceNumbers(known)
  const history = new ConnectionHistory(sequenceOf)
  const sequences = new SequenceTaker(sequenceOf)
  const problems: string[] = []
  const scanner: SegmentScanner = new SegmentScanner({
    line(line) {
      history.take(line)
      if (isWaiting) sequences.take(scanner.header!.recorder, toLine(line))
    },
    bad(reason, offset, sizeBytes) {
      if (problems.length < problemsMax) problems.push(`${sizeBytes} bytes at ${offset}: ${reason}`)
    },
  })
  for await (const chunk of unpacked(key, bytes, unpackedBytesMax(sizeBytes), signal)) scanner.push(chunk)
  const scan = scanner.end()
  const connections = history.summary().connections.toJSON()
  return { scan, problems, connections, sequences: isWaiting ? sequences.facts(spanOf(scan)) : noFacts }
}

function spanOf({ header, firstN, lastN, badLines }: ScanResult): SequenceFacts['known'][number] | null {
  if (header === null || firstN === null || lastN === null || badLines > 0) return null
  return { recorder: header.recorder, firstN, lastN }
}
