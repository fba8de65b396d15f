/** Frames made to exhaust whoever parses them: nested a hundred thousand deep, or with as many keys, columns and numbers. Each has its row. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { frameSegment, readRows, withConversion } from './convert-segment.ts'

const depth = 100_000
const arrays = `${'['.repeat(depth)}1${']'.repeat(depth)}`
const objects = `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`
const time = '"timestamp":"2025-12-03T14:00:00.5Z"'
const goodUpdate =
  '{"side":"bid","event_time":"2025-12-03T14:00:00.5Z","price_level":"1","new_quantity":"0.5"}'
const level2 = (events: string, more = ''): string =>
  `{"channel":"l2_data",${time},"sequence_num":1${more},"events":${events}}`
const event = (updates: string, more = ''): string =>
  `[{"type":"update","product_id":"BTC-USD"${more},"updates":${updates}}]`
const keys = Array.from({ length: depth }, (_, i) => `"k${i}":${i}`).join(',')

const bombs: Readonly<Record<string, string>> = {
  'arrays, as a frame': arrays,
  'objects, as a frame': objects,
  'arrays that never close': '['.repeat(depth),
  'arrays beside the known fields': level2(event(`[${goodUpdate}]`), `,"x":${arrays}`),
  'objects in an event': level2(event(`[${goodUpdate}]`, `,"x":${objects}`)),
  'objects in an update': level2(event(`[${goodUpdate.replace('}', `,"x":${objects}}`)}]`)),
  'arrays where a price should be': level2(event(`[${goodUpdate.replace('"1"', arrays)}]`)),
  'arrays where events should be': level2(arrays),
  'objects of an unknown channel': `{"channel":"new",${time},"sequence_num":1,"events":[${objects}]}`,
  'a hundred thousand keys': level2(event(`[${goodUpdate.replace('}', `,${keys}}`)}]`)),
  'a key as long as a book': level2(event(`[${goodUpdate}]`), `,"${'k'.repeat(1_000_000)}":1`),
  'a number of a million digits': level2(event(`[${goodUpdate}]`), `,"x":${'9'.repeat(1_000_000)}`),
}

const good = level2(event(`[${goodUpdate}]`))

test('each bomb is kept or rejected with its reason, and its neighbours are converted', async () => {
  const frames = Object.values(bombs).flatMap((bomb) => [good, bomb])
  await withConversion(frameSegment(frames), {}, async (conversion) => {
    const { total, rejected } = conversion.lines
    assert.equal(total, frames.length)
    const counters = new Set((await readRows(conversion)).map(({ values }) => Number(values['n'])))
    const converted = frames.map((_, i) => counters.has(i + 1))
    // What is not JSON is the only one that may be lost to rows.
    const lost = Object.keys(bombs).filter((_, k) => converted[2 * k + 1] === false)
    assert.equal(rejected, lost.length, lost.join(', '))
    assert.ok(frames.every((frame, i) => frame !== good || converted[i] === true))
  })
})
