/** A segment's lines as values, for readers that look at single lines; conversion works on bytes (scan.ts). */

import type { ObjectStore } from '../storage/object-store.ts'
import type { Line, VerbatimReason } from './format.ts'
import { SegmentScanner, type BadReason, type ScanResult } from './scan.ts'
import type { ScannedLine } from './scanned-line.ts'

/** Bytes between two newlines that are not a line. `bytes` is null when they were too many to hold. */
export interface BadLine {
  readonly kind: 'bad'
  readonly reason: BadReason
  readonly offset: number
  readonly sizeBytes: number
  readonly bytes: Buffer | null
}

/**
 * Lines in the order they stand, bad ones among them as data, one batch a chunk read; returns what the whole file was found to be.
 *
 * @throws {VaultError} `unavailable` or `preflight` from the store; never for what the bytes say
 */
export async function* readSegment(
  store: ObjectStore,
  key: string,
  sizeBytes: number,
  signal: AbortSignal,
): AsyncGenerator<readonly (Line | BadLine)[], ScanResult> {
  return yield* readSegmentChunks(store.read(key, 0, sizeBytes, signal))
}

/** The same from any source of bytes, such as an archive while it is inflated. */
export async function* readSegmentChunks(
  chunks: AsyncIterable<Buffer>,
): AsyncGenerator<readonly (Line | BadLine)[], ScanResult> {
  let batch: (Line | BadLine)[] = []
  const scanner = new SegmentScanner({
    line: (line) => batch.push(toLine(line)),
    bad: (reason, offset, sizeBytes, bytes) =>
      batch.push({
        kind: 'bad',
        reason,
        offset,
        sizeBytes,
        bytes: bytes === null ? null : Buffer.from(bytes),
      }),
  })
  for await (const chunk of chunks) {
    scanner.push(chunk)
    if (batch.length === 0) continue
    yield batch
    batch = []
  }
  const result = scanner.end()
  if (batch.length > 0) yield batch
  return result
}

/** Copies what the scanner lends. */
export function toLine(line: ScannedLine): Line {
  const { bytes, n, offset } = line
  const recvNs = BigInt(bytes.toString('latin1', line.recvFrom, line.recvUntil) || '0')
  const conn = line.connFrom === line.connUntil ? null : bytes.toString('utf8', line.connFrom, line.connUntil)
  if (line.kind === 'unknown') return { kind: 'unknown', n, recvNs, offset }
  const value = bytes.subarray(line.valueFrom, line.valueUntil)
  if (line.kind === 'event') return { kind: 'event', n, recvNs, conn, event: parseEvent(value), offset }
  const verbatim = line.form === 'msg' ? null : verbatimReason(bytes, line)
  return { kind: 'frame', n, recvNs, conn: conn ?? '', frame: frameOf(line.form, value), verbatim, offset }
}

/** The frame's own bytes, out of the form it stands in. */
export function frameOf(form: ScannedLine['form'], value: Buffer): Buffer {
  if (form === 'msg') return Buffer.from(value)
  return Buffer.from(JSON.parse(value.toString('utf8')) as string, form === 'text' ? 'utf8' : 'base64')
}

/** `,"why":"line_break"` stands between the value and the CRC. */
function verbatimReason(bytes: Buffer, line: ScannedLine): VerbatimReason {
  const why = /^,"why":"(line_break|not_json|not_utf8|binary)"/.exec(
    bytes.toString('latin1', line.valueUntil, line.valueUntil + 32),
  )
  return (why?.[1] as VerbatimReason | undefined) ?? 'not_json'
}

function parseEvent(value: Buffer): unknown {
  try {
    return JSON.parse(value.toString('utf8'))
  } catch {
    return null // whole by its CRC, so written so; kept, and says nothing we can read
  }
}
