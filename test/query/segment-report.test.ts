import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { reportSegment } from '../../src/query/segment-report.ts'
import { sealedSegment } from './small-vault.ts'

const signal = new AbortController().signal
const segment = Buffer.from(
  sealedSegment(1, [
    { clock_step: { step_ns: '1' } },
    {
      gap: {
        cause: 'closed',
        after_seq: 7,
        before_seq: null,
        missing: null,
        from_ns: null,
        until_ns: null,
        products: [],
      },
    },
  ]),
)

async function* bytes(whole: Buffer): AsyncGenerator<Buffer> {
  for (let from = 0; from < whole.length; from += 100) yield whole.subarray(from, from + 100)
}

test('a whole segment, plain or packed, is told line by kind with its gaps and its seal', async () => {
  for (const [name, body] of [
    ['a.ndjson', segment],
    ['a.ndjson.gz', gzipSync(segment)],
  ] as const) {
    const report = await reportSegment(name, bytes(body), body.length, signal)
    assert.deepEqual(report.events, { clock_step: 1, gap: 1 })
    assert.deepEqual(
      report.gaps.map(({ n, gap }) => [n, gap.cause, gap.after_seq]),
      [[2, 'closed', 7]],
    )
    assert.equal(report.scan.sealProblem, null)
    assert.equal(report.scan.seal?.lines, 2)
    assert.equal(report.bad.length, 0)
  }
})

test('a damaged line is told with its place, and the seal no longer holds', async () => {
  const damaged = Buffer.from(segment.toString().replace('"step_ns":"1"', '"step_ns":"2"'))
  const report = await reportSegment('a.ndjson', bytes(damaged), damaged.length, signal)
  assert.deepEqual(
    report.bad.map((bad) => bad.reason),
    ['crc'],
  )
  assert.equal(report.bad[0]!.offset, segment.indexOf('{"n":1,'))
  assert.match(report.scan.sealProblem!, /sha256/)
})
