/** A segment becomes rows from which every frame can be rebuilt, and the same files each time. */

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { parquetMetadata, parquetReadObjects } from 'hyparquet'
import { compressors } from 'hyparquet-compressors'
import { formatRfc3339Ns } from '../../src/core/time.ts'
import { sameJson } from '../../src/dataset/json-text.ts'
import type { NumberType } from '../../src/dataset/names.ts'
import { rebuildFrame, type RowText } from '../../src/dataset/rebuild.ts'
import type { RowTable } from '../../src/dataset/shape.ts'
import type { Conversion } from '../../src/etl/conversion.ts'
import {
  baseNs,
  frameLine,
  frameSegment,
  line,
  lineAt,
  readRows,
  recorder,
  segment,
  withConversion,
  type ConvertedRow,
} from './convert-segment.ts'
import {
  event,
  forgedFrames,
  l2,
  nastyFrames,
  plainFrames,
  tickers,
  trade,
  trades,
  update,
} from './frames.ts'

/** Frames by counter, from rows alone. */
function rebuildAll(rows: readonly ConvertedRow[]): Map<number, string> {
  const byLine = new Map<number, { table: string; rows: RowText[] }>()
  for (const row of rows) {
    const n = Number(row.values['n'])
    const found = byLine.get(n) ?? { table: row.table, rows: [] }
    byLine.set(n, found)
    assert.equal(found.table, row.table, 'a frame lies in one table')
    found.rows.push(row.values)
  }
  return new Map(
    [...byLine].map(([n, one]) => [
      n,
      one.table === 'other' ? one.rows[0]!['body']! : rebuildFrame(one.table as RowTable, one.rows),
    ]),
  )
}

async function assertLossless(frames: readonly string[], numberType: NumberType): Promise<void> {
  await withConversion(frameSegment(frames), { numberType }, async (conversion) => {
    assert.deepEqual(conversion.lines, {
      total: frames.length,
      frames: frames.length,
      events: 0,
      rejected: 0,
    })
    const rebuilt = rebuildAll(await readRows(conversion, numberType))
    frames.forEach((frame, i) =>
      assert.ok(sameJson(rebuilt.get(i + 1)!, frame), `sent\n${frame}\nrebuilt\n${rebuilt.get(i + 1)}`),
    )
  })
}

for (const numberType of ['decimal', 'double'] as const)
  test(`every frame can be rebuilt from its rows, with numbers as ${numberType}`, async () => {
    await assertLossless([...plainFrames, ...nastyFrames], numberType)
  })

test('a plain frame needs no extra, and one odd frame changes no other', async () => {
  const frames = nastyFrames.flatMap((nasty) => [plainFrames[0]!, nasty])
  await withConversion(frameSegment(frames), {}, async (conversion) => {
    const plain = (await readRows(conversion)).filter((row) => Number(row.values['n']) % 2 === 1)
    assert.equal(plain.length, nastyFrames.length * 2)
    for (const row of plain) assert.equal(row.values['extra'], null)
  })
})

test('a frame that is not one JSON value is rejected whole and forges nothing', async () => {
  const frames = [plainFrames[0]!, ...forgedFrames, plainFrames[2]!]
  const bytes = frameSegment(frames)
  await withConversion(bytes, {}, async (conversion) => {
    assert.deepEqual(conversion.lines, { total: 6, frames: 2, events: 0, rejected: 4 })
    const rows = await readRows(conversion)
    assert.deepEqual(new Set(rows.map((row) => row.values['n'])), new Set(['1', '6']))
    const rejects = (await readFile(conversion.rejectsPath!, 'utf8')).trimEnd().split('\n')
    const parsed = rejects.map(
      (one) => JSON.parse(one) as { n: number; offset: number; len: number; text: string },
    )
    assert.deepEqual(new Set(parsed.map((one) => one.n)), new Set([2, 3, 4, 5]))
    for (const one of parsed) assert.equal(bytes.toString('utf8', one.offset, one.offset + one.len), one.text)
  })
})

test('events, verbatim frames and unknown kinds of line are kept in other; damaged lines are rejects', async () => {
  const good = frameLine(5, plainFrames[0]!)
  const damaged = Buffer.from(good)
  damaged[60]! ^= 1
  const bytes = segment([
    line(1, ',"event":{"clock_step":{"step_ns":"-5"}}'),
    line(
      2,
      `,"conn":"${recorder}-1","len":7,"text":"a\\nb\\"","why":"line_break"`.replace('"len":7', '"len":8'),
    ),
    line(3, `,"conn":"${recorder}-1","len":6,"base64":"/w==","why":"not_utf8"`),
    line(4, ',"future":[1, 2]'),
    damaged,
    frameLine(6, plainFrames[0]!),
    line(7, `,"conn":"${recorder}-1","len":4,"msg":{"\xff"}`),
  ])
  await withConversion(bytes, {}, async (conversion) => {
    const other = (await readRows(conversion)).filter((row) => row.table === 'other').map((row) => row.values)
    assert.deepEqual(
      other.map((row) => [row['n'], row['kind'], row['verbatim'], row['conn']]),
      [
        ['1', 'event', null, null],
        ['2', 'frame', 'line_break', `${recorder}-1`],
        ['3', 'frame', 'not_utf8', `${recorder}-1`],
        ['4', 'unknown', null, null],
      ],
    )
    assert.deepEqual(
      other.slice(0, 3).map((row) => row['body']),
      ['{"clock_step":{"step_ns":"-5"}}', 'a\nb"', '/w=='],
    )
    assert.equal(conversion.lines.rejected, 2)
    assert.equal(conversion.lines.total, 7)
  })
})

test('rows lie by product and date, sorted, with what they mean', async () => {
  const late = l2(event(update('"1"'))).replace('2025-12-03T14', '2025-12-02T23')
  const frames = [plainFrames[1]!, late, ...plainFrames.slice(2, 4), l2(event(update('"2.5"')))]
  await withConversion(frameSegment(frames), {}, async (conversion) => {
    assert.deepEqual(
      conversion.parts.map((part) => [part.table, part.productId, part.date, part.rows]),
      [
        ['ticker', 'BTC-USD', '2025-12-03', 1],
        ['level2', 'BTC-USD', '2025-12-02', 1],
        ['level2', 'BTC-USD', '2025-12-03', 2],
        ['level2', 'ETH-USD', '2025-12-03', 1],
        ['market_trades', 'BTC-USD', '2025-12-03', 1],
        ['market_trades', 'ETH-USD', '2025-12-03', 1],
      ],
    )
    const rows = (await readRows(conversion)).map((row) => row.values)
    const [first] = rows.filter((row) => row['trade_id'] === '12')
    assert.equal(first!['maker_side'], 'SELL')
    assert.equal(first!['aggressor_side'], 'BUY')
    assert.equal(first!['from_snapshot'], 'true')
    assert.equal(first!['exchange_ns'], '1764770400000000000')
    assert.equal(first!['time'], '1764770399100000')
    const big = rows.find((row) => row['price']?.startsWith('12345678901234567890'))
    assert.equal(big!['price'], '12345678901234567890.000000000000000000')
  })
})

test('the same segment gives the same bytes, whatever the number of threads', async () => {
  const bytes = frameSegment(manyFrames(3000))
  const digests = async (conversion: Conversion): Promise<string[]> => {
    await Promise.resolve()
    return conversion.parts.map((part) => `${part.table} ${part.productId} ${part.date} ${part.sha256}`)
  }
  const once = await withConversion(bytes, { threads: 1 }, digests)
  assert.ok(once.length > 8)
  assert.deepEqual(await withConversion(bytes, { threads: 2 }, digests), once)
  assert.deepEqual(await withConversion(bytes, { threads: 2 }, digests), once)
})

test('another reader finds the rows, the order and the job in the file itself', async () => {
  await withConversion(frameSegment(manyFrames(200)), {}, async (conversion) => {
    const part = conversion.parts.find((one) => one.table === 'level2')!
    const file = await readFile(part.path)
    const bytes = file.buffer.slice(file.byteOffset, file.byteOffset + file.byteLength)
    const rows = await parquetReadObjects({ file: bytes, compressors })
    assert.equal(rows.length, part.rows)
    const times = rows.map((row) => row['exchange_ns'] as bigint)
    assert.ok(times.every((time, i) => i === 0 || times[i - 1]! <= time))
    assert.equal(times[0], part.minTimeNs)
    const metadata = parquetMetadata(bytes).key_value_metadata ?? []
    const job = metadata.find((one) => one.key === 'mdv_job')
    assert.equal(job?.value, `segment_20251203T14_00001_${recorder}_1`)
  })
})

test('any frame that is JSON can be rebuilt', async () => {
  const number = fc.oneof(
    fc.constantFrom(
      '"0"',
      '"1.5"',
      '"1.50"',
      '1.5',
      '-0',
      '"-0.5"',
      '"1e5"',
      'null',
      '""',
      '"é"',
      '[]',
      '{"a":1}',
      'true',
    ),
    fc.float({ noNaN: true }).map((x) => `"${x}"`),
  )
  const tail = fc.constantFrom('', '', '', ',"x":1', ' ', ',"price":"2"', ',"side":"bid"', ',"y":"\\""')
  const row = fc.tuple(number, number, tail)
  const frame = fc.oneof(
    fc
      .tuple(fc.array(row, { maxLength: 3 }), tail)
      .map(([rows, rest]) => l2(event(rows.map(([a, b, c]) => update(a, b, c)).join()), rest)),
    fc.array(row, { maxLength: 3 }).map((rows) =>
      trades(
        rows
          .map(([a, b, c]) =>
            trade(a)
              .replace('"0.00000001"', () => b)
              .replace(/\}$/, () => `${c}}`),
          )
          .join(),
      ),
    ),
    row.map(([a, b, c]) => tickers(`{"type":"ticker","product_id":"X-Y","price":${a},"best_bid":${b}${c}}`)),
    fc.json().map((text) => `{"channel":"ticker","events":${text}}`),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(frame, { minLength: 60, maxLength: 120 }), (frames) =>
      assertLossless(frames, 'decimal'),
    ),
    { numRuns: 6 },
  )
})

function manyFrames(count: number): string[] {
  return Array.from({ length: count }, (_, k) => {
    const product = ['BTC-USD', 'ETH-USD', 'SOL-USD'][k % 3]!
    const second = String(Math.trunc(k / 60) % 60).padStart(2, '0')
    const at = `2025-12-0${3 + (k % 2)}T14:${second}:${String(k % 60).padStart(2, '0')}.5Z`
    const frame =
      k % 7 === 0
        ? trades(trade(`"${k}"`, product))
        : l2(
            event(
              Array.from({ length: 1 + (k % 5) }, (_, i) => update(`"${k}.${i + 1}"`)).join(),
              'update',
              product,
            ),
          )
    return frame.replace(/"timestamp":"[^"]+"/, `"timestamp":"${at}"`)
  })
}

test('the last nanosecond of a day is in that day, also before 1970 and at the ends of what 64 bits hold', async () => {
  const stamps = [
    ['1677-09-21T00:12:43.145224192Z', '1677-09-21'],
    ['1960-01-01T00:00:00Z', '1960-01-01'],
    ['1969-12-30T23:59:59.999999999Z', '1969-12-30'],
    ['1969-12-31T23:59:59.999999999Z', '1969-12-31'],
    ['1970-01-01T23:59:59.999999999Z', '1970-01-01'],
    ['2262-04-11T23:47:16.854775807Z', '2262-04-11'],
  ] as const
  const frames = stamps.map(([stamp]) =>
    tickers('{"type":"ticker","product_id":"A-B"}').replace(/2025[^"]*/, stamp),
  )
  await withConversion(frameSegment(frames), {}, async (conversion) => {
    const rows = await readRows(conversion)
    assert.deepEqual(
      rows.map((row) => row.date).sort(),
      stamps.map(([, date]) => date),
    )
    for (const { date, values } of rows)
      assert.equal(formatRfc3339Ns(BigInt(values['exchange_time']!) * 1000n).slice(0, 10), date)
  })
  await assertLossless(frames, 'decimal')
})

test('texts that repeat come back as they were, however many there are of them', async () => {
  // More connections and words than a byte can number, and more than are kept as texts that repeat.
  for (const count of [300, 4200]) await comeBack(count)
})

async function comeBack(count: number): Promise<void> {
  const lines = Array.from({ length: count }, (_, i) => {
    const frame = l2(event(update(`"${i + 1}"`).replace('"bid"', `"it's ${i}"`)))
    return line(i + 1, `,"conn":"it's-${i}","len":${Buffer.byteLength(frame)},"msg":${frame}`)
  })
  await withConversion(segment(lines), {}, async (conversion) => {
    const rows = await readRows(conversion)
    assert.deepEqual(
      rows.map(({ values }) => [values['n'], values['conn'], values['side'], values['price']]),
      lines.map((_, i) => [`${i + 1}`, `it's-${i}`, `it's ${i}`, `${i + 1}.000000000000000000`]),
    )
  })
}

test('a line whose time or connection is none is rejected, and the lines beside it are not', async () => {
  const frame = l2(event(update('"1"')))
  const rest = `,"len":${Buffer.byteLength(frame)},"msg":${frame}`
  const lines = [
    frameLine(1, frame),
    line(2, `,"conn":"a\\x"${rest}`),
    line(3, `,"conn":"a\\u0000b"${rest}`),
    lineAt(4, '9223372036854775808', `,"conn":"${recorder}-1"${rest}`),
    lineAt(5, '-9223372036854775808', `,"conn":"${recorder}-1"${rest}`),
  ]
  await withConversion(segment(lines), {}, async (conversion) => {
    const rows = await readRows(conversion)
    assert.deepEqual(
      rows.map(({ values }) => [values['n'], values['recv_ns']]),
      [
        ['1', `${baseNs + 1000n}`],
        ['5', '-9223372036854775808'],
      ],
    )
    assert.deepEqual(conversion.lines, { total: 5, frames: 2, events: 0, rejected: 3 })
  })
})

test('what the recorder says at the ends of time lies in its own day', async () => {
  const times = ['-9223372036854775808', '-1', '0', '9223372036854775807']
  const lines = times.map((recvNs, i) => lineAt(i + 1, recvNs, ',"event":{"clock_step":{}}'))
  await withConversion(segment(lines), {}, async (conversion) => {
    const rows = await readRows(conversion)
    assert.deepEqual(
      rows.map(({ date, values }) => [date, values['recv_ns']]),
      [
        ['1677-09-21', '-9223372036854775808'],
        ['1969-12-31', '-1'],
        ['1970-01-01', '0'],
        ['2262-04-11', '9223372036854775807'],
      ],
    )
  })
})
