/** The fast way to rows against the exact one: it may decline a frame, and never say anything else of it. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { decodeFrame } from '../../src/dataset/decode.ts'
import { FrameReader } from '../../src/dataset/frame-reader.ts'
import { RowColumns, Texts, type FrameMark, type WordColumn } from '../../src/dataset/row-columns.ts'
import { shapes, type TableShape } from '../../src/dataset/shape.ts'
import { event, l2, nastyFrames, plainFrames, trade, trades, update } from '../etl/frames.ts'

const mark: FrameMark = { n: 2 ** 40 + 5, recvNs: Uint32Array.of(7, 9), conn: 'abcdefghij-1' }
const channels = shapes.flatMap((shape) => shape.channels.map((channel) => ({ channel, shape })))
const shapeIn = (frame: string): TableShape | undefined =>
  channels.find(({ channel }) => frame.includes(`"channel":"${channel}"`))?.shape

/** Columns whose memory held something before: a value that is not written is not the same in both ways. */
function usedRows(shape: TableShape, word: number): RowColumns {
  const rows = new RowColumns(shape, new Texts())
  for (const { words } of [...rows.ofRow, ...rows.ofFrame.all, rows.extra]) words.fill(word)
  return rows
}

/** What the fast way makes of a frame, between bytes that are none of it; undefined when it declines. */
function readFast(frame: string, shape: TableShape): RowColumns | undefined {
  const rows = usedRows(shape, 0xdeadbeef)
  const bytes = Buffer.from(`{"msg":${frame},"crc":"00000000"}`)
  const isRead = new FrameReader(rows).read(bytes, 7, bytes.length - 18, mark)
  assert.equal(rows.frames, isRead ? 1 : 0)
  if (!isRead) assert.deepEqual([rows.rows, rows.ofRow.some(({ nulls }) => nulls?.includes(1))], [0, false])
  return isRead ? rows : undefined
}

/** The same by the exact way; undefined where that has no rows for it. */
function readExactly(frame: string): RowColumns | undefined {
  const decoded = decodeFrame(frame, (product) => /^[A-Z0-9]/.test(product))
  if (decoded.kind !== 'rows') return undefined
  const rows = usedRows(decoded.shape, 0x5a5a5a5a)
  rows.addDecoded(mark, decoded.facts, decoded.rows, false)
  return rows
}

function valuesOf({ words, nulls, width }: WordColumn, count: number): unknown[] {
  return Array.from({ length: count }, (_, i) =>
    nulls?.[i] === 1 ? null : [...words.subarray(i * width, (i + 1) * width)].join(),
  )
}

/** All that is in the columns, codes as the texts they stand for. */
function contentOf(rows: RowColumns): unknown {
  const { ofFrame } = rows
  const texts = (column: WordColumn, { values }: Texts, count: number): unknown[] =>
    valuesOf(column, count).map((code) => {
      assert.ok(
        code === null || Number(code) < values.length,
        `${String(code)} is a code that means something`,
      )
      return code === null ? null : values[Number(code)]
    })
  return {
    rows: rows.rows,
    numbers: rows.ofRow.filter((one) => one !== rows.product).map((one) => valuesOf(one, rows.rows)),
    extras: texts(rows.extra, rows.extras, rows.rows),
    products: texts(rows.product, rows.products, rows.rows),
    times: [ofFrame.n, ofFrame.recvNs, ofFrame.exchangeNs, ofFrame.sequence, ofFrame.day].map((one) =>
      valuesOf(one, rows.frames),
    ),
    texts: [
      texts(ofFrame.conn, rows.conns, rows.frames),
      texts(ofFrame.clientId, rows.clientIds, rows.frames),
      texts(ofFrame.channel, rows.channels, rows.frames),
    ],
  }
}

function assertSame(frame: string): boolean {
  const fast = readFast(frame, shapeIn(frame) ?? shapes[0]!)
  if (fast === undefined) return false
  const exact = readExactly(frame)
  assert.ok(exact !== undefined, `there are no rows of ${frame}`)
  assert.deepEqual(contentOf(fast), contentOf(exact), frame)
  return true
}

test('frames as the venue prints them take the fast way, and become the same rows as by the exact one', () => {
  const ofRows = plainFrames.filter((frame) => shapeIn(frame) !== undefined)
  assert.equal(ofRows.length, 5)
  for (const frame of ofRows) assert.ok(assertSame(frame), frame)
})

test('a frame that hides something is declined, or nothing is hidden in it after all', () => {
  for (const frame of nastyFrames) assertSame(frame)
})

test('keys may stand in any order, each of them once', () => {
  const [first, second] = [
    '"side":"bid","event_time":"2025-12-03T14:00:00.5Z"',
    '"price_level":"1","new_quantity":"2"',
  ]
  const swapped = l2(`{"updates":[{${second},${first}}],"product_id":"BTC-USD","type":"update"}`)
  assert.ok(assertSame(swapped))
  for (const doubled of [
    l2(event(`{${first},${second},"new_quantity":"2"}`)),
    l2(event(`{${second},${first},"price_level":"1"}`)),
    l2(event(update('"1"'))).replace('"type":"update"', '"type":"update","type":"update"'),
    l2(event(update('"1"')), ',"channel":"l2_data"'),
  ])
    assert.equal(assertSame(doubled), false, doubled)
})

test('members that no column knows take the fast way, wherever they stand, and are kept as they stand', () => {
  const known = '"side":"bid","event_time":"2025-12-03T14:00:00.5Z","price_level":"1","new_quantity":"2"'
  const member = '"flags":{"a":[1,-2.5e+3,true,null,{}],"b":""}'
  for (const row of [`${known},${member}`, `${member},${known}`, `"x":0,${known},"x":1,${member}`])
    for (const after of ['', `,${member}`, `,"type2":"update",${member}`]) {
      const frame = l2(event(`{${row}},{${known}},{${row}}`).replace(/}$/, `${after}}`), after)
      assert.ok(assertSame(frame), frame)
      assert.ok(assertSame(l2(`${event(`{${row}}`)},${event(`{${known}}`)}`, after)))
    }
})

test('a field of a row that the venue no longer sends takes the fast way', () => {
  assert.ok(assertSame(l2(event('{"side":"bid","price_level":"1","new_quantity":"2"}'))))
  assert.ok(assertSame(l2(event('{"price_level":"1","venue_time":"2025"}'))))
  assert.equal(assertSame(l2(event('{}'))), false)
})

test('what a declined frame left does not show in the next', () => {
  const rows = new RowColumns(shapes[0]!, new Texts())
  const reader = new FrameReader(rows)
  const declined = l2(`${event(update('"5"'))},${event(update('"1.50"'))}`)
  const good = l2(event(update('"0.25"', '"0"')), ',"client_id":""')
  for (const [frame, isRead] of [
    [declined, false],
    [good, true],
    [declined, false],
  ] as const) {
    const bytes = Buffer.from(frame)
    assert.equal(reader.read(bytes, 0, bytes.length, mark), isRead)
  }
  const alone = readExactly(good)!
  const withoutProducts = (one: RowColumns): unknown => ({ ...(contentOf(one) as object) })
  assert.deepEqual(withoutProducts(rows), withoutProducts(alone))
})

const digits = fc.stringMatching(/^-?\d{1,21}(\.\d{1,19})?$/)
const instants = fc.oneof(
  fc.stringMatching(/^(19|20|21|22)\d\d-[01]\d-[0-3]\dT[0-2]\d:[0-5]\d:[0-6]\d(\.\d{1,10})?Z$/),
  // The ends of what 64 bits of nanoseconds hold.
  fc.constantFrom(
    '1677-09-21T00:12:43.145224191Z',
    '1677-09-21T00:12:43.145224192Z',
    '1677-09-21T00:12:43.145225Z',
    '2262-04-11T23:47:16.854775Z',
    '2262-04-11T23:47:16.854775807Z',
    '2262-04-11T23:47:16.854775808Z',
  ),
)

test('the first instant that 64 bits hold has no microsecond they hold, and is kept as text', () => {
  const frame = l2(event(update('"1"').replace('2025-12-03T14:00:00.5Z', '1677-09-21T00:12:43.145224192Z')))
  const decoded = decodeFrame(frame, () => true)
  assert.ok(decoded.kind === 'rows')
  const [row] = decoded.rows
  assert.deepEqual(
    [row!.values['event_time'], row!.extra],
    [null, '{"row":{"event_time":"1677-09-21T00:12:43.145224192Z"}}'],
  )
  new RowColumns(decoded.shape, new Texts()).addDecoded(mark, decoded.facts, decoded.rows, true)
})

test('whatever numbers and times a frame has, both ways agree', () => {
  fc.assert(
    fc.property(
      digits,
      digits,
      instants,
      instants,
      fc.stringMatching(/^\d{1,20}$/),
      (price, size, time, at, id) => {
        const level = update(`"${price}"`, `"${size}"`).replace('2025-12-03T14:00:00.5Z', time)
        assertSame(l2(event(level)).replace('2025-12-03T14:00:00.53798423Z', at))
        assertSame(
          trades(trade(`"${id}"`, 'BTC-USD', time)).replace('"sequence_num":0', `"sequence_num":${id}`),
        )
      },
    ),
    { numRuns: 2000 },
  )
})

const places = ['{"side"', '"price_level"', '"updates"', '"type"', '"events"', '"sequence_num"', '}]}', '}]']
const foreign = fc.tuple(
  fc.constantFrom(...places),
  fc.oneof(fc.constantFrom('price_level', 'type', 'product_id', 'events', 'x'), fc.string({ maxLength: 4 })),
  fc.oneof(fc.json({ maxDepth: 3 }), fc.stringMatching(/^[-+0-9.eE"{}[\]:,a-z \\]{1,6}$/)),
)

test('whatever members stand beside the known ones, both ways agree', () => {
  fc.assert(
    fc.property(fc.array(foreign, { minLength: 1, maxLength: 4 }), (members) => {
      let frame = l2(`${event(`${update('"1"')},${update('"2"')}`)},${event(update('"3"'))}`)
      for (const [place, key, value] of members) {
        const text = `${JSON.stringify(key)}:${value}`
        if (place === '{"side"') frame = frame.replace(place, `{${text},"side"`)
        else if (place.startsWith('}')) frame = frame.replace(place, `,${text}${place}`)
        else frame = frame.replace(place, `${text},${place}`)
      }
      assertSame(frame)
    }),
    { numRuns: 5000 },
  )
})

/** Where, how much of the frame goes, and what comes instead. */
const edit = fc.tuple(fc.nat(), fc.nat({ max: 3 }), fc.stringMatching(/^[ "\\,:{}[\]0-9a-zA-Z.é-]{0,3}$/))

test('whatever is changed in a frame, the fast way never says what the exact one does not', () => {
  const frames = [...plainFrames, ...nastyFrames].filter((frame) => shapeIn(frame) !== undefined)
  fc.assert(
    fc.property(
      fc.constantFrom(...frames),
      fc.array(edit, { minLength: 1, maxLength: 3 }),
      (frame, edits) => {
        let changed = frame
        for (const [at, gone, instead] of edits) {
          const from = at % changed.length
          changed = changed.slice(0, from) + instead + changed.slice(from + gone)
        }
        assertSame(changed)
      },
    ),
    { numRuns: 5000 },
  )
})
