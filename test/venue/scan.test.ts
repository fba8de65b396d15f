/** The envelope scan against JSON.parse: any key order, any spacing, anything inside strings and below the first level. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { coinbase } from '../../src/venue/coinbase.ts'
import type { FrameScan } from '../../src/venue/venue.ts'

function scan(frame: Buffer): FrameScan {
  const into: FrameScan = { sequence: 7_777_777, kind: 'ack' }
  coinbase.scan(frame, into)
  return into
}

const kindOfChannel = new Map<unknown, FrameScan['kind']>([
  ['l2_data', 'book'],
  ['subscriptions', 'ack'],
  ['heartbeats', 'heartbeat'],
])

/** The same by parsing. */
function expected(value: Record<string, unknown>): FrameScan {
  const { sequence_num: sequence, channel, type } = value
  const isCounter =
    typeof sequence === 'number' && Number.isInteger(sequence) && sequence >= 0 && sequence < 1e15
  const kind =
    typeof channel === 'string' ? (kindOfChannel.get(channel) ?? 'data') : type === 'error' ? 'error' : 'data'
  return { sequence: isCounter ? sequence : -1, kind }
}

const lures = fc.constantFrom(
  '"sequence_num":99',
  ',"sequence_num":98,',
  '\\"channel\\":\\"l2_data\\"',
  '{"sequence_num":97}',
  '\\',
  '\\\\"',
  '}]}',
  'é\u2028\u0000😀',
)
const words = fc.oneof(
  lures,
  fc.string({ unit: 'binary' }),
  fc.tuple(lures, fc.string()).map((pair) => pair.join('')),
)
const inner = fc.oneof(
  fc.jsonValue(),
  words,
  fc.constant([{ sequence_num: 96, channel: 'subscriptions' }, [[{ type: 'error' }]]]),
)
const envelope = fc
  .record(
    {
      channel: fc.constantFrom('l2_data', 'subscriptions', 'heartbeats', 'ticker', 'l2_data2', ''),
      sequence_num: fc.oneof(fc.nat({ max: 999_999_999_999_999 }), fc.constantFrom(0, 9, 10)),
      type: fc.constantFrom('error', 'errors', 'snapshot'),
      client_id: words,
      timestamp: words,
      events: inner,
      message: words,
    },
    { requiredKeys: [] },
  )
  .chain((value) =>
    fc
      .shuffledSubarray(Object.keys(value) as (keyof typeof value)[], {
        minLength: Object.keys(value).length,
      })
      .map((keys) => Object.fromEntries(keys.map((key) => [key, value[key]]))),
  )
/** As the venue sends it, with one thing or another out of the ordinary. */
const asRecorded = fc
  .tuple(
    fc.oneof(fc.constantFrom('l2_data', 'subscriptions', 'heartbeats', 'ticker'), words),
    fc.oneof(fc.constant('2026-09-30T02:39:53.798423713Z'), words),
    fc.oneof(
      fc.nat({ max: 999_999_999_999_999 }),
      fc.constantFrom(-1, 1.5, 1e21, null, '7', 1_234_567_890_123_456),
    ),
    inner,
  )
  .map(([channel, timestamp, sequence_num, events]): Record<string, unknown> => ({
    channel,
    timestamp,
    sequence_num,
    events,
  }))
const spacing = fc.constantFrom(undefined, 1, '\t', '  ')

test('number and channel are what parsing gives, whatever the order, the spacing and the lures', () => {
  fc.assert(
    fc.property(fc.oneof(envelope, asRecorded), spacing, (value, space) => {
      assert.deepEqual(scan(Buffer.from(JSON.stringify(value, null, space))), expected(value))
    }),
    { numRuns: 2_000 },
  )
})

test('bytes that are no JSON, or only a piece of it, do not throw and give no wrong number', () => {
  fc.assert(
    fc.property(
      fc.oneof(envelope, asRecorded),
      fc.nat({ max: 400 }),
      fc.uint8Array({ maxLength: 40 }),
      (value, cutAt, noise) => {
        const whole = Buffer.from(JSON.stringify(value))
        const { sequence } = scan(whole.subarray(0, Math.min(cutAt, whole.length - 1)))
        assert.ok(sequence === -1 || sequence === value['sequence_num'])
        scan(Buffer.from(noise))
        scan(Buffer.concat([whole.subarray(0, cutAt), Buffer.from(noise)]))
      },
    ),
    { numRuns: 2_000 },
  )
})

const odd: readonly (readonly [text: string, sequence: number])[] = [
  ['', -1],
  ['null', -1],
  ['[{"sequence_num":1}]', -1],
  ['{"sequence_num":-1}', -1],
  ['{"sequence_num":1.5}', -1],
  ['{"sequence_num":1e3}', -1],
  ['{"sequence_num":"12"}', -1],
  ['{"sequence_num":null}', -1],
  ['{"sequence_num":12345678901234567890}', -1],
  ['{"sequence_num":12', -1],
  ['{"sequence_num" : 12 }', 12],
  ['\n{\r\n\t"events":[{}],\n "sequence_num":12}', 12],
  ['{"Sequence_num":1,"sequence_numb":2}', -1],
]

for (const [text, sequence] of odd) {
  test(`${JSON.stringify(text)} has ${sequence < 0 ? 'no number' : `the number ${sequence}`}`, () => {
    assert.equal(scan(Buffer.from(text)).sequence, sequence)
  })
}

test('a number that stands behind five megabytes of levels is found', () => {
  const levels = '{"side":"bid","price_level":"1\\"sequence_num\\":5","new_quantity":"2"},'.repeat(70_000)
  const frame = `{"channel":"l2_data","events":[{"updates":[${levels}{}]}],"sequence_num":41}`
  assert.deepEqual(scan(Buffer.from(frame)), { sequence: 41, kind: 'book' })
})

test('a hundred thousand levels of nesting are passed without recursion', () => {
  const deep = `{"events":${'['.repeat(100_000)}${']'.repeat(100_000)},"sequence_num":3}`
  assert.equal(scan(Buffer.from(deep)).sequence, 3)
})
