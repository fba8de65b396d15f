import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SequenceTaker } from '../../src/query/verify/sequence-taker.ts'
import {
  checkSequences,
  namedGap,
  noFacts,
  type NamedGap,
  type SequenceFacts,
} from '../../src/query/verify/sequences.ts'
import type { Line } from '../../src/segment/format.ts'

const recorder = 'abcdefghij'
const conn = `${recorder}-1`

/** Lines from `firstN` on: a number is a frame that has it, null one that has none, a pair a gap event. */
function lines(firstN: number, what: readonly (number | null | readonly [number, number | null])[]) {
  const taker = new SequenceTaker((frame) => Number(frame.toString()))
  what.forEach((each, i) => {
    const at = { n: firstN + i, recvNs: 0n, conn, offset: 0 }
    const line: Line =
      typeof each === 'number' || each === null
        ? { ...at, kind: 'frame', frame: Buffer.from(String(each ?? -1)), verbatim: null }
        : { ...at, kind: 'event', event: { gap: { after_seq: each[0], before_seq: each[1] } } }
    taker.take(recorder, line)
  })
  return taker.facts({ recorder, firstN, lastN: firstN + what.length - 1 })
}

function found(...facts: readonly SequenceFacts[]): string[] {
  return checkSequences(facts, new Set()).map(({ kind, message }) => `${kind}: ${message}`)
}

test('numbers without a hole, with late and repeated ones among them, are fine', () => {
  assert.deepEqual(found(lines(1, [0, 1, 2, 1, 3, 3]), lines(7, [4, 2, 5])), [])
})

test('a jump that a gap names is fine, before its frame or after, in this segment or the next', () => {
  assert.deepEqual(found(lines(1, [0, 1, [1, 5], 5, 6])), [])
  assert.deepEqual(found(lines(1, [0, 1, 5]), lines(4, [[1, 5], 6])), [])
  assert.deepEqual(found(lines(1, [0, 1, 5, [1, 5], 3, 6])), [])
})

test('a jump without a gap is told with its numbers, within a segment and between two', () => {
  assert.match(found(lines(1, [0, 1, 4, 5])).join(), /gap_unnamed: sequence numbers 2 to 3 .*line 3/)
  assert.match(found(lines(1, [0, 1]), lines(3, [4, 5])).join(), /gap_unnamed: sequence numbers 2 to 3/)
  assert.match(found(lines(1, [2, 3, 4])).join(), /gap_unnamed: sequence numbers 0 to 1/)
  assert.match(found(lines(1, [0, 1, 9, [1, 5]])).join(), /gap_unnamed: sequence numbers 2 to 8/)
})

test('where lines between are not known, or the one that would name the gap, nothing can be said', () => {
  assert.deepEqual(found(lines(1, [0, 1, 4])), [])
  assert.deepEqual(found(lines(1, [0, 1]), lines(4, [4, 5])), [])
  assert.deepEqual(found(lines(8, [4, 5, 6])), [])
  assert.deepEqual(found({ ...lines(1, [0, 1, 4, 5]), known: [] }), [])
})

test('beside a frame that has no number nothing can be said', () => {
  assert.deepEqual(found(lines(1, [0, null, 4, 5])), [])
  assert.deepEqual(found(lines(1, [0, null]), lines(3, [4, 5])), [])
  assert.equal(found(lines(1, [0, null, 1, 4, 5])).length, 1)
})

test('a gap whose numbers are there is untrue; one of frames that came late is not', () => {
  assert.match(found(lines(1, [0, 1, 2, 3, [1, 3]])).join(), /gap_untrue: line 5 .* 2 to 2 are missing/)
  assert.deepEqual(found(lines(1, [0, 3, [0, 3], 1, 2, 4])), [])
})

test('an open-ended gap explains what comes after it, and adopted files are asked for nothing', () => {
  assert.deepEqual(found(lines(1, [0, [0, null], 7])), [])
  assert.deepEqual(checkSequences([lines(1, [5, 9, 10])], new Set([recorder])), [])
})

test('what is no gap event names none', () => {
  for (const body of ['', '[]', '3', '{"gap":3}', '{"gap":{"after_seq":"x"}}', '{"stopped":{}}'])
    assert.equal(namedGap(recorder, conn, 1, body), null, body)
  const start: NamedGap = { recorder, conn, n: 1, after: -1, before: 4 }
  assert.deepEqual(namedGap(recorder, conn, 1, '{"gap":{"after_seq":null,"before_seq":4}}'), start)
  assert.deepEqual(found(noFacts), [])
})
