/** Frames copied into batches and finished in place give the same lines as each line written on its own. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import type { Batch } from '../../src/segment/batch.ts'
import { BatchEncoder } from '../../src/segment/encode.ts'
import {
  connectionBytes,
  eventRest,
  LineEncoder,
  lineBytesMax,
  verbatimReason,
  verbatimRest,
} from '../../src/segment/line.ts'
import { SegmentLog, type LogConnection } from '../../src/segment/log.ts'
import { ManualClock } from './manual-clock.ts'
import { smallOptions } from './recorded.ts'

const event = (n: number) => ({ recorder_stopped: { reason: `é${n}` } })

/** What comes: a frame on one of the connections, or an event. */
interface Arrival {
  readonly connection: number
  readonly frame: Buffer | null
  readonly isBinary: boolean
  readonly recvNs: bigint
}

const plain = fc
  .string({ unit: 'binary', maxLength: 300 })
  .map((text) => Buffer.from(`{"channel":${JSON.stringify(text)}}`))
const strange = fc.oneof(
  fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
  fc
    .constantFrom('[1]', 'true', ' {} ', '', '{', '}', '{}', '{"a":\n1}', '{"a":\r1}', 'x', '{"é"')
    .map((text) => Buffer.from(text)),
  // Each half alone is not UTF-8; one after the other they would be.
  fc.constantFrom(Buffer.from([0x7b, 0xc3]), Buffer.from([0xa9, 0x7d])),
)
const arrivals = fc.array(
  fc.record({
    connection: fc.nat(2),
    frame: fc.oneof({ weight: 20, arbitrary: plain }, strange, fc.constant(null)),
    isBinary: fc.boolean(),
    recvNs: fc.oneof(
      fc.bigInt({ min: 1n, max: 2_000_000n }),
      fc.constantFrom(1_764_770_400_015_964_031n, 1_764_770_400_015_964_032n),
    ),
  }),
  { maxLength: 60 },
)

function alone(
  encoder: LineEncoder,
  connection: LogConnection,
  { frame, isBinary, recvNs }: Arrival,
): Buffer {
  if (frame === null) return encoder.other(recvNs, eventRest(connection.id, event(1)))
  const reason = verbatimReason(frame, isBinary)
  if (reason !== null) return encoder.other(recvNs, verbatimRest(connection.id, frame, reason))
  const bytes = connectionBytes(connection.id)
  const target = Buffer.alloc(lineBytesMax(bytes, frame.length))
  return target.subarray(0, encoder.frame(target, 0, recvNs, bytes, frame))
}

function inBatches(arriving: readonly Arrival[], flushBytes: number): { lines: Buffer; expected: Buffer } {
  const batches: Batch[] = []
  const log = new SegmentLog(
    {
      clock: new ManualClock(),
      openWriter: () => ({
        write: (batch) => batches.push(batch),
        close: () => Promise.resolve(),
        stop: () => undefined,
      }),
    },
    { ...smallOptions, segmentBytesMax: 1_000_000_000, flushBytes },
  )
  const connections = ['a-1', 'a-20', 'a-300'].map((id) => log.openConnection(id))
  const encoder = new LineEncoder(1)
  const expected = arriving.map((arrival) => {
    const connection = connections[arrival.connection]!
    if (arrival.frame === null) log.appendEvent(arrival.recvNs, connection, event(1))
    else log.appendFrame(connection, arrival.recvNs, arrival.frame, arrival.isBinary, -1)
    return alone(encoder, connection, arrival)
  })
  void log.close()
  const batchEncoder = new BatchEncoder()
  const lines = batches.map((batch) => Buffer.from(batchEncoder.encode(batch).bytes))
  return { lines: Buffer.concat(lines), expected: Buffer.concat(expected) }
}

test('a batch becomes the lines that each of its frames and events would become alone', () => {
  fc.assert(
    fc.property(arrivals, fc.constantFrom(200, 2_000, 100_000), (arriving, flushBytes) => {
      const text = arriving.map((one) => ({ ...one, isBinary: false }))
      for (const some of [text, arriving]) {
        const { lines, expected } = inBatches(some, flushBytes)
        assert.equal(lines.toString('latin1'), expected.toString('latin1'))
      }
    }),
    { numRuns: 300 },
  )
})

test('counters, times and sizes of any width leave the frame exactly the room it needs', () => {
  const arriving = Array.from({ length: 1_200 }, (_, i) => ({
    connection: i % 3,
    frame: Buffer.from(`{"p":"${'x'.repeat((i * 7) % 1_100)}"}`),
    isBinary: false,
    recvNs: 10n ** BigInt(i % 19),
  }))
  const { lines, expected } = inBatches(arriving, 50_000)
  assert.ok(lines.equals(expected))
})
