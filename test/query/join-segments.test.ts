/** The join that goes through in order, against one that looks everything up: whatever receipts, raw/ and the archive hold, in whatever order. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { joinSegments } from '../../src/query/join-segments.ts'
import type { SegmentEntry, SegmentState } from '../../src/query/segments.ts'
import { archivedSegmentKey, segmentLabel } from '../../src/storage/keys.ts'
import type { ObjectInfo } from '../../src/storage/object-store.ts'
import type { Receipt, ReceiptSource } from '../../src/table/receipt.ts'

const hour = '20251203T14'
const number = fc.integer({ min: 1, max: 6 })
const label = number.map((counter) => segmentLabel(hour, counter))
const recorder = fc.constantFrom('abcdefghij', 'klmnopqrst')

const source = fc.record({ label, recorder, first_n: number, size_bytes: fc.constant(7) })
const receipts = fc
  .array(fc.array(source, { minLength: 1, maxLength: 3 }), { maxLength: 5 })
  .map((all) => all.map((sources, i) => ({ job: `job${i}`, sources }) as unknown as Receipt))

const archived = fc
  .array(fc.tuple(fc.constantFrom('2025-12-03', 'elsewhere'), label), { maxLength: 6 })
  .map((all) =>
    all.map(([date, name], i): ObjectInfo => ({
      key: archivedSegmentKey('coinbase', date, name, 'zst'),
      sizeBytes: i,
      modifiedMs: i,
    })),
  )

const raw = fc.array(
  fc
    .record({
      label,
      state: fc.constantFrom<SegmentState>('active', 'ready', 'processing'),
      recorder,
      n: number,
    })
    .map((one): SegmentEntry => ({
      label: one.label,
      state: one.state,
      rawKey: `raw/${one.state}/coinbase/${one.label}`,
      sizeBytes: 1,
      modifiedMs: 1,
      header: { format: 2, recorder: one.recorder, n: one.n },
      seal: null,
      receipt: null,
      source: null,
      problem: null,
    })),
  { maxLength: 5 },
)

/** What stands for a segment in comparisons. */
const told = ({ label: name, state, rawKey, receipt, source: from, header }: SegmentEntry): string =>
  [name, state, rawKey, receipt?.job, from?.recorder ?? header?.recorder, from?.first_n ?? header?.n].join(
    ' ',
  )

const named = (all: readonly Receipt[]) =>
  new Map<string, { readonly receipt: Receipt; readonly one: ReceiptSource }>(
    all.flatMap((receipt) =>
      receipt.sources.map((one) => [`${one.recorder} ${one.first_n}`, { receipt, one }] as const),
    ),
  )

function expected(
  entries: readonly SegmentEntry[],
  objects: readonly ObjectInfo[],
  all: readonly Receipt[],
): string[] {
  const converted = named(all)
  const identity = ({ header }: SegmentEntry): string => `${header!.recorder} ${header!.n}`
  const sealed = new Set(entries.filter(({ state }) => state !== 'active').map(identity))
  const present = entries
    .filter(
      (entry) => entry.state !== 'active' || !(sealed.has(identity(entry)) || converted.has(identity(entry))),
    )
    .map((entry): SegmentEntry => {
      const found = converted.get(identity(entry))
      return found === undefined
        ? entry
        : { ...entry, receipt: found.receipt, source: found.one, state: 'converted' }
    })
  const labelIn = ({ key }: ObjectInfo): string => /segment_\w+/.exec(key)![0]
  const remembered = [...converted]
    .filter(([key]) => !sealed.has(key))
    .map(([, { receipt, one }]) => {
      const object = objects.find((each) => labelIn(each) === one.label)
      return [
        one.label,
        object === undefined ? 'converted' : 'archived',
        object?.key,
        receipt.job,
        one.recorder,
        one.first_n,
      ].join(' ')
    })
  const labels = new Set([
    ...present.map((entry) => entry.label),
    ...[...converted].filter(([key]) => !sealed.has(key)).map(([, { one }]) => one.label),
  ])
  const strangers = objects
    .filter((object) => !labels.has(labelIn(object)))
    .map((object) => [labelIn(object), 'foreign', object.key, undefined, undefined, undefined].join(' '))
  return [...present.map(told), ...remembered, ...strangers].sort()
}

test('segments of raw/, archive and receipts in any order are those that looking everything up gives', () => {
  fc.assert(
    fc.property(raw, archived, receipts, (entries, objects, all) => {
      const joined = joinSegments({ entries, archived: objects }, all)
      assert.deepEqual(joined.map(told).sort(), expected(entries, objects, all))
      const labels = joined.map((entry) => entry.label)
      assert.deepEqual(labels, labels.toSorted())
    }),
    { numRuns: 2000 },
  )
})
