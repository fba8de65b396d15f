/** Frames out of a socket's bytes: what is plain comes out whole, all else reaches the library untouched and in its place. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { PlainFrames } from '../../src/ingestion/plain-frames.ts'
import { serverFrame } from './raw-server.ts'

const limits = { bytesMax: 100_000, piecesMax: 20 }

/** What came out, in order; bytes for the library that follow one another are one entry. */
type Out = { readonly frame: string; readonly isBinary: boolean } | { readonly passed: string }

function readIn(pieces: readonly Buffer[]): Out[] {
  const out: Out[] = []
  const frames = new PlainFrames(limits, {
    frame: (frame, isBinary) => out.push({ frame: frame.toString('hex'), isBinary }),
    pass: (bytes) => {
      const last = out.at(-1)
      if (last !== undefined && 'passed' in last)
        out[out.length - 1] = { passed: last.passed + bytes.toString('hex') }
      else out.push({ passed: bytes.toString('hex') })
    },
  })
  // One buffer for all reads, as a socket has: what is kept of it must have been copied.
  const read = Buffer.alloc(Math.max(1, ...pieces.map((piece) => piece.length)))
  for (const piece of pieces) {
    piece.copy(read)
    frames.push(read.subarray(0, piece.length))
    read.fill(0xee)
  }
  return out
}

function cut(bytes: Buffer, at: readonly number[]): Buffer[] {
  const places = [...new Set(at.map((one) => one % (bytes.length + 1)))].toSorted((a, b) => a - b)
  return [0, ...places].map((from, i) => bytes.subarray(from, places[i] ?? bytes.length))
}

const size = fc.oneof(fc.nat(200), fc.constantFrom(0, 125, 126, 127, 65_535, 65_536), fc.nat(70_000))
const payload = fc.tuple(size, fc.nat(255)).map(([sizeBytes, byte]) => Buffer.alloc(sizeBytes, byte))
/** Four of them are a message below the limit. */
const small = payload.filter(({ length }) => length * 4 < limits.bytesMax)
const plain = fc
  .record({ payload, isBinary: fc.boolean() })
  .map((one) => ({ ...one, kind: 'plain' as const }))
const ping = fc.constantFrom(0x89, 0x8a).map((first) => serverFrame(first, 'still here?'))
/** A message in pieces, with pings between them. */
const pieces = fc
  .record({
    parts: fc.array(small, { minLength: 2, maxLength: 4 }),
    between: fc.array(ping, { maxLength: 2 }),
  })
  .map(({ parts, between }) =>
    Buffer.concat(
      parts.flatMap((part, i) => {
        const isLast = i === parts.length - 1
        return [serverFrame((isLast ? 0x80 : 0) + (i === 0 ? 1 : 0), part), ...(isLast ? [] : between)]
      }),
    ),
  )
const librarys = fc.oneof(ping, pieces).map((bytes) => ({ kind: 'librarys' as const, bytes }))

test('however a stream is cut, plain frames come out whole and the rest goes to the library, in order', () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof({ weight: 3, arbitrary: plain }, librarys), { maxLength: 12 }),
      fc.array(fc.nat(), { maxLength: 40 }),
      (stream, cuts) => {
        const bytes = Buffer.concat(
          stream.map((one) =>
            one.kind === 'plain' ? serverFrame(one.isBinary ? 0x82 : 0x81, one.payload) : one.bytes,
          ),
        )
        const expected: Out[] = []
        for (const one of stream) {
          const last = expected.at(-1)
          if (one.kind === 'plain')
            expected.push({ frame: one.payload.toString('hex'), isBinary: one.isBinary })
          else if (last !== undefined && 'passed' in last)
            expected[expected.length - 1] = { passed: last.passed + one.bytes.toString('hex') }
          else expected.push({ passed: one.bytes.toString('hex') })
        }
        assert.deepEqual(readIn(cut(bytes, cuts)), expected)
      },
    ),
    { numRuns: 300 },
  )
})

test('a stream in single bytes is the same stream', () => {
  const bytes = Buffer.concat([
    serverFrame(0x81, '{"a":1}'),
    serverFrame(0x89, 'ping'),
    serverFrame(0x82, Buffer.alloc(300, 7)),
    serverFrame(0x81, Buffer.alloc(66_000, 8)),
    serverFrame(0x81, Buffer.alloc(0)),
  ])
  const single = cut(
    bytes,
    Array.from({ length: bytes.length }, (_, i) => i),
  )
  assert.deepEqual(readIn(single), readIn([bytes]))
  assert.equal(readIn(single).length, 5)
})

const text = serverFrame(0x81, '{}')

for (const [what, bytes] of Object.entries({
  'a goodbye': serverFrame(0x88, Buffer.from([3, 232])),
  'a mask': Buffer.from([0x81, 0x82, 1, 2, 3, 4, 0x7a, 0x7e]),
  'the bit of compression': serverFrame(0xc1, '{}'),
  'an unknown kind': serverFrame(0x83, '{}'),
  'a later piece without a first': serverFrame(0x80, '{}'),
  'a message inside another': Buffer.concat([serverFrame(0x01, '{'), text]),
  'a frame past the limit': serverFrame(0x81, Buffer.alloc(limits.bytesMax + 1)),
  'a ping that is too long': serverFrame(0x89, Buffer.alloc(126)),
  'a size past all numbers': Buffer.from([0x81, 127, 255, 255, 255, 255, 255, 255, 255, 255, 0]),
}))
  test(`from ${what} on, all is the library's: it knows what to do of it`, () => {
    const stream = Buffer.concat([text, bytes, text, text])
    const rest = stream.subarray(text.length).toString('hex')
    const expected: Out[] = [{ frame: Buffer.from('{}').toString('hex'), isBinary: false }, { passed: rest }]
    assert.deepEqual(readIn([stream]), expected)
    const inTwos = cut(
      stream,
      Array.from({ length: stream.length / 2 }, (_, i) => i * 2),
    )
    assert.deepEqual(readIn(inTwos), expected)
  })

test("a message of too many or too large pieces is the library's from the piece that is too much", () => {
  for (const [size, count] of [
    [1, limits.piecesMax],
    [limits.bytesMax / 10, 10],
  ] as const) {
    const piece = serverFrame(0x00, Buffer.alloc(size))
    const before = [serverFrame(0x01, Buffer.alloc(size)), ...Array.from({ length: count - 1 }, () => piece)]
    const stream = Buffer.concat([...before, piece, text, text])
    assert.deepEqual(readIn([stream]), [{ passed: stream.toString('hex') }])
  }
})

test('a frame of megabytes is whole, however slowly its memory is given', () => {
  const large = Buffer.alloc(5_000_000, 'levels')
  let got: Buffer | null = null
  const frames = new PlainFrames(
    { bytesMax: 6_000_000, piecesMax: 1 },
    { frame: (frame) => (got = Buffer.from(frame)), pass: () => assert.fail() },
  )
  const stream = serverFrame(0x81, large)
  for (let at = 0; at < stream.length; at += 65_536) frames.push(stream.subarray(at, at + 65_536))
  assert.ok(large.equals(got!))
})
