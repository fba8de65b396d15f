/** Lines there and back, and everything a line can be made to look like. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { crc32 } from 'node:zlib'
import * as fc from 'fast-check'
import {
  connectionBytes,
  eventRest,
  lineBytesMax,
  LineEncoder,
  verbatimReason,
  verbatimRest,
} from '../../src/segment/line.ts'
import { frameOf, readSegmentChunks, toLine } from '../../src/segment/read.ts'
import { lineSizeBytesMax, SegmentScanner } from '../../src/segment/scan.ts'
import type { Line } from '../../src/segment/format.ts'

const header = `{"segment":{"format":1,"venue":"coinbase","url":"","software":"","recorder":"abcdefghij","n":1,"prev":null,"opened_ns":"1"}}\n`

function encode(encoder: LineEncoder, frame: Buffer, isBinary = false): Buffer {
  const reason = verbatimReason(frame, isBinary)
  if (reason !== null) return Buffer.from(encoder.other(7n, verbatimRest('abcdefghij-1', frame, reason)))
  const connection = connectionBytes('abcdefghij-1')
  const target = Buffer.alloc(lineBytesMax(connection, frame.length))
  return target.subarray(0, encoder.frame(target, 0, 7n, connection, frame))
}

interface Scanned {
  readonly lines: Line[]
  readonly bad: { reason: string; offset: number; sizeBytes: number; isHeld: boolean }[]
}

function scan(chunks: readonly Buffer[]): Scanned & { result: ReturnType<SegmentScanner['end']> } {
  const lines: Line[] = []
  const bad: Scanned['bad'] = []
  const scanner = new SegmentScanner({
    line: (line) => lines.push(toLine(line)),
    bad: (reason, offset, sizeBytes, bytes) =>
      bad.push({ reason, offset, sizeBytes, isHeld: bytes !== null }),
  })
  for (const chunk of chunks) scanner.push(chunk)
  return { lines, bad, result: scanner.end() }
}

/** The line with its CRC made right again: what someone who means harm would write. */
function resealed(line: string): Buffer {
  const body = Buffer.from(line.slice(0, line.lastIndexOf(',"crc":"')))
  return Buffer.concat([body, Buffer.from(`,"crc":"${crc32(body).toString(16).padStart(8, '0')}"}\n`)])
}

test('any frame comes back byte for byte, whatever it is and wherever the chunks are cut', () => {
  const frame = fc.oneof(
    fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
    fc.json().map((text) => Buffer.from(text)),
    fc.object().map((value) => Buffer.from(JSON.stringify(value, null, 1))),
    fc.string({ unit: 'binary' }).map((text) => Buffer.from(`{${text}}`)),
    fc
      .constantFrom(
        '',
        '{}',
        '{"a":"\u2028"}',
        '{\r}',
        '{\n}',
        '},"crc":"00000000"}',
        '{"seal":{}}',
        '{"n":9}',
        '{\0}',
      )
      .map((text) => Buffer.from(text)),
  )
  fc.assert(
    fc.property(
      fc.array(fc.tuple(frame, fc.boolean()), { maxLength: 12 }),
      fc.infiniteStream(fc.integer({ min: 1, max: 400 })),
      (frames, cuts) => {
        const encoder = new LineEncoder(1)
        const bytes = Buffer.concat([
          Buffer.from(header),
          ...frames.map(([one, isBinary]) => encode(encoder, one, isBinary)),
        ])
        const chunks: Buffer[] = []
        for (let at = 0; at < bytes.length;) {
          const until = at + cuts.next().value!
          chunks.push(bytes.subarray(at, until))
          at = until
        }
        const { lines, bad } = scan(chunks)
        assert.deepEqual(bad, [])
        assert.deepEqual(
          lines.map((line) => line.kind === 'frame' && line.frame),
          frames.map(([one]) => one),
        )
        for (const line of bytes.toString().trimEnd().split('\n')) if (!/"msg":/.test(line)) JSON.parse(line)
      },
    ),
    { numRuns: 300 },
  )
})

test('counters are written right across every change of length', () => {
  for (const first of [1, 9, 98, 999_999, Number.MAX_SAFE_INTEGER - 3]) {
    const encoder = new LineEncoder(first)
    for (let n = first; n < first + 3; n++)
      assert.ok(encode(encoder, Buffer.from('{}')).toString().startsWith(`{"n":${n},`))
  }
})

test('a line whose length, fields or counter are forged is not accepted, even with a right CRC', () => {
  const encoder = new LineEncoder(1)
  const whole = encode(encoder, Buffer.from('{"a":"x,\\"crc\\":\\"00000000\\"}"}')).toString().trimEnd()
  const cases: [string, string][] = [
    [whole.replace(/"len":\d+/, '"len":1'), 'cut'],
    [whole.replace(/"len":\d+/, '"len":999'), 'cut'],
    [whole.replace('"msg":{', '"msg":{},"event":{'), 'cut'],
    [whole.replace('{"n":1', '{"n":2'), 'counter'],
    [whole.replace('{"n":1', '{"n":0'), 'counter'],
    [whole.replace('{"n":1', '{"n":99999999999999999999'), 'counter'],
    ...['x', '', '-', '9223372036854775808', '-9223372036854775809', '99999999999999999999'].map(
      (ns): [string, string] => [whole.replace('"recv_ns":"7"', `"recv_ns":"${ns}"`), 'shape'],
    ),
  ]
  for (const [line, reason] of cases) {
    const { lines, bad } = scan([Buffer.from(header), resealed(line)])
    assert.deepEqual([lines.length, bad.map((one) => one.reason)], [0, [reason]], line)
  }
  for (const ns of ['9223372036854775807', '-9223372036854775808', '9000000000000000000', '0']) {
    const line = whole.replace('"recv_ns":"7"', `"recv_ns":"${ns}"`)
    assert.equal(scan([Buffer.from(header), resealed(line)]).result.lastRecvNs, ns)
  }
  assert.deepEqual(
    scan([Buffer.from(header), Buffer.from(`${whole.replace('"a"', '"b"')}\n`)]).bad[0]?.reason,
    'crc',
  )
})

test('a repeated line is refused, and after bad bytes counting goes on where the next whole line stands', () => {
  const encoder = new LineEncoder(1)
  const lines = Array.from({ length: 6 }, (_, i) =>
    Buffer.from(encode(encoder, Buffer.from(`{"i":${i + 1}}`))),
  )
  const scanned = scan([
    Buffer.from(header),
    lines[0]!,
    lines[0]!,
    lines[1]!,
    Buffer.from('garbage\n'),
    lines[4]!,
    lines[3]!,
    lines[5]!,
  ])
  assert.deepEqual(
    scanned.lines.map((line) => line.n),
    [1, 2, 5, 6],
  )
  assert.deepEqual(
    scanned.bad.map((one) => one.reason),
    ['counter', 'shape', 'counter'],
  )
})

test('a kind of line from a newer version is kept, a newer format is refused', () => {
  const unknown = resealed('{"n":1,"recv_ns":"7","note":{"a":1},"crc":"00000000"}')
  assert.deepEqual(
    scan([Buffer.from(header), unknown]).lines.map((line) => line.kind),
    ['unknown'],
  )
  const newer = scan([Buffer.from(header.replace('"format":1', '"format":2'))])
  assert.match(newer.result.headerProblem ?? '', /newer version/)
})

test('a header says when it was opened, as nanoseconds that 64 bits hold, or is none', () => {
  const problemOf = (openedNs: string): string | null =>
    scan([Buffer.from(header.replace('"opened_ns":"1"', openedNs))]).result.headerProblem
  for (const good of ['0', '-62135596800000000', '9223372036854775807', '-9223372036854775808'])
    assert.equal(problemOf(`"opened_ns":"${good}"`), null, good)
  for (const bad of [
    '"opened_ns":1',
    '"opened_ns":""',
    '"opened_ns":"1e9"',
    '"opened_ns":"9223372036854775808"',
    '"x":1',
  ])
    assert.match(problemOf(bad) ?? '', /lacks .*opened_ns/, bad)
})

test('events come back with and without a connection', async () => {
  const encoder = new LineEncoder(1)
  const event = { recorder_stopped: { reason: 'a "quoted" é' } }
  const bytes = Buffer.concat([
    Buffer.from(header),
    Buffer.from(encoder.other(-5n, eventRest(null, event))),
    encoder.other(6n, eventRest('x-1', event)),
  ])
  const found: unknown[] = []
  for await (const batch of readSegmentChunks(
    (async function* () {
      yield await Promise.resolve(bytes)
    })(),
  ))
    found.push(...batch)
  assert.deepEqual(
    found.map((line) => (line as Extract<Line, { kind: 'event' }>).event),
    [event, event],
  )
  assert.deepEqual(
    found.map((line) => (line as Extract<Line, { kind: 'event' }>).recvNs),
    [-5n, 6n],
  )
})

test('a line longer than any recorder writes is passed over without being held', () => {
  const encoder = new LineEncoder(1)
  const first = Buffer.from(encode(encoder, Buffer.from('{}')))
  const junk = Buffer.alloc(4 * 1024 * 1024, 0x61)
  const times = Math.ceil(lineSizeBytesMax / junk.length) + 1
  const second = Buffer.from(encode(encoder, Buffer.from('{}')))
  const scanned = scan([
    Buffer.from(header),
    first,
    ...Array.from({ length: times }, () => junk),
    Buffer.from('\n'),
    second,
  ])
  assert.deepEqual(scanned.bad, [
    {
      reason: 'too_long',
      offset: header.length + first.length,
      sizeBytes: times * junk.length,
      isHeld: false,
    },
  ])
  assert.equal(scanned.lines.length, 2)
})

test('a huge frame of control characters still fits the longest line that readers hold', () => {
  const frame = Buffer.alloc(17 * 1024 * 1024, 0x01)
  frame[0] = 0x0a
  const rest = verbatimRest('x-1', frame, 'line_break')
  assert.ok(Buffer.byteLength(rest) < lineSizeBytesMax)
  assert.deepEqual(frameOf('base64', Buffer.from(/"base64":("[^"]*")/.exec(rest)![1]!)), frame)
})
