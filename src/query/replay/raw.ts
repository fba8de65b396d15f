/** Lines of segments whose raw bytes are kept: as one run of bytes, or line by line. */

import { VaultError } from '../../core/errors.ts'
import { frameOf } from '../../segment/read.ts'
import { SegmentScanner } from '../../segment/scan.ts'
import type { ObjectStore } from '../../storage/object-store.ts'
import { unpacked, unpackedBytesMax } from '../../storage/unpack.ts'
import type { ReplayLine } from './line.ts'
import type { RawPiece } from './plan.ts'

const newline = 0x0a
const beforeSeal = Buffer.from('\n{"seal":')

/** All of a segment between header and seal, in chunks as they come; nothing is looked into, each line has its own checksum. */
export async function* rawBytes(
  store: ObjectStore,
  piece: RawPiece,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  if (piece.contentBytes === null) yield* untilSeal(behindHeader(segmentBytes(store, piece, signal)))
  else yield* behindHeader(store.read(piece.key, 0, piece.contentBytes, signal))
}

/** Whole lines with their values, those read at once together; damaged bytes are left out. */
export async function* rawLines(
  store: ObjectStore,
  piece: RawPiece,
  signal: AbortSignal,
): AsyncGenerator<readonly ReplayLine[]> {
  let batch: ReplayLine[] = []
  const scanner = new SegmentScanner({
    line({ bytes, n, from, until, recvFrom, recvUntil, kind, form, valueFrom, valueUntil }) {
      const recv = bytes.toString('latin1', recvFrom, recvUntil)
      const text = Buffer.allocUnsafe(until - from + 1)
      bytes.copy(text, 0, from, until)
      text[until - from] = newline
      const value = kind === 'frame' ? bytes.subarray(valueFrom, valueUntil) : null
      batch.push({
        n,
        recvNs: recv === '' ? null : BigInt(recv),
        text,
        frame:
          value === null
            ? null
            : form === 'msg'
              ? text.subarray(valueFrom - from, valueUntil - from)
              : frameOf(form, value),
      })
    },
  })
  for await (const chunk of segmentBytes(store, piece, signal)) {
    scanner.push(chunk)
    if (batch.length === 0) continue
    yield batch
    batch = []
  }
  const { header, headerProblem } = scanner.end()
  if (header !== null) return
  throw new VaultError('corrupt', `${piece.key}: ${headerProblem}`, {
    remedy: `mdv segments repair ${piece.label}`,
  })
}

function segmentBytes(
  store: ObjectStore,
  { key, sizeBytes }: RawPiece,
  signal: AbortSignal,
): AsyncIterable<Buffer> {
  return unpacked(key, store.read(key, 0, sizeBytes, signal), unpackedBytesMax(sizeBytes), signal)
}

async function* behindHeader(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let isBehind = false
  for await (const chunk of chunks) {
    if (isBehind) yield chunk
    else {
      const at = chunk.indexOf(newline)
      isBehind = at >= 0
      if (isBehind && at + 1 < chunk.length) yield chunk.subarray(at + 1)
    }
  }
}

/** No frame holds a newline, so nothing else begins like a seal. What may be its beginning waits for the next chunk. */
export async function* untilSeal(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let held: Buffer = Buffer.from('\n')
  let isFirst = true
  for await (const chunk of chunks) {
    const bytes = Buffer.concat([held, chunk])
    const sealAt = bytes.indexOf(beforeSeal)
    const until = sealAt >= 0 ? sealAt + 1 : bytes.length - heldBytes(bytes)
    // The newline put before the first line is not the segment's.
    const from = isFirst ? 1 : 0
    if (until > from) yield bytes.subarray(from, until)
    if (until > 0) isFirst = false
    if (sealAt >= 0) return
    held = bytes.subarray(until)
  }
  if (held.length > (isFirst ? 1 : 0)) yield held.subarray(isFirst ? 1 : 0)
}

/** How many bytes at its end could be the beginning of a seal's line. */
function heldBytes(bytes: Buffer): number {
  const at = bytes.lastIndexOf(newline)
  const tail = bytes.length - at
  if (at < 0 || tail >= beforeSeal.length) return 0
  return beforeSeal.subarray(0, tail).equals(bytes.subarray(at)) ? tail : 0
}
