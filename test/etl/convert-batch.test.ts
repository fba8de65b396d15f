import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import type { Conversion } from '../../src/etl/conversion.ts'
import { frameLine, line, readRows, segment, withConversion, type ConvertedRow } from './convert-segment.ts'
import { forgedFrames, nastyFrames, plainFrames } from './frames.ts'

const frames = [...plainFrames, ...nastyFrames]

/** Lines of frames from `firstN` on; one of them is a frame that only turns out to be none when its slice ends. */
function linesFrom(firstN: number): Buffer[] {
  return [
    ...frames.map((frame, i) => frameLine(firstN + i, frame)),
    frameLine(firstN + frames.length, forgedFrames[0]!),
    line(firstN + frames.length + 1, ',"event":{"opened":{}}'),
  ]
}

const count = frames.length + 2
const one = segment(linesFrom(1))
const two = segment(linesFrom(1 + count), 1 + count)
const three = segment(linesFrom(1 + 2 * count), 1 + 2 * count)
/** Its last line but the seal lost a byte that its CRC tells of: no longer what was sealed. */
const damaged = Buffer.from(one)
damaged[one.indexOf('"opened"') + 1] = 'O'.charCodeAt(0)

function keyed(rows: readonly ConvertedRow[]): string[] {
  return rows
    .map(({ table, productId, date, values }) => JSON.stringify([table, productId, date, values]))
    .sort()
}

async function facts(conversion: Conversion): Promise<{
  rows: string[]
  rejects: { label: string; n: number | null; text: string }[]
  conversion: Conversion
}> {
  const text = conversion.rejectsPath === null ? '' : await readFile(conversion.rejectsPath, 'utf8')
  const rejects = text
    .split('\n')
    .slice(0, -1)
    .map((each) => JSON.parse(each) as { label: string; n: number | null; text: string })
    .map((each) => ({ label: each.label, n: each.n, text: each.text }))
  return { rows: keyed(await readRows(conversion)), rejects, conversion }
}

for (const { name, first } of [
  { name: 'in one slice', first: one },
  { name: 'in slices, since the first is damaged and stands for itself', first: damaged },
])
  test(`segments converted together, ${name}, have the rows and rejects that each has alone, in one part of each partition`, async () => {
    const alone = [
      await withConversion(first, {}, facts),
      await withConversion(two, {}, facts),
      await withConversion(three, {}, facts),
    ]
    const batch = await withConversion([first, two, three], {}, facts)
    assert.deepEqual(batch.rows, alone.flatMap(({ rows }) => rows).sort())
    const labels = ['segment_20251203T14_00001', 'segment_20251203T14_00002', 'segment_20251203T14_00003']
    const expected = alone.flatMap(({ rejects }, i) =>
      rejects.map((each) => ({ ...each, label: labels[i]! })),
    )
    const byPlace = (
      a: { label: string; n: number | null },
      b: { label: string; n: number | null },
    ): number => (a.label < b.label ? -1 : a.label > b.label ? 1 : (a.n ?? 0) - (b.n ?? 0))
    assert.deepEqual(batch.rejects.sort(byPlace), expected.sort(byPlace))
    assert.deepEqual(
      batch.conversion.sources.map(({ firstN, lines, fileSha256, sealProblem }) => [
        firstN,
        lines,
        fileSha256,
        sealProblem,
      ]),
      alone.map(({ conversion: { sources } }) => {
        const { firstN, lines, fileSha256, sealProblem } = sources[0]!
        return [firstN, lines, fileSha256, sealProblem]
      }),
    )
    assert.equal(batch.conversion.lines.total, 3 * count)
    const { parts } = batch.conversion
    const partitions = parts.map((part) => `${part.table} ${part.productId} ${part.date}`)
    assert.equal(new Set(partitions).size, parts.length)
    for (const part of parts) assert.equal(part.slice, null)
  })

test('a batch gives the same bytes again, whatever the number of threads', async () => {
  const digests = (conversion: Conversion): Promise<string[]> =>
    Promise.resolve(conversion.parts.map(({ sha256 }) => sha256))
  const first = await withConversion([damaged, two, three], { threads: 1 }, digests)
  assert.deepEqual(await withConversion([damaged, two, three], { threads: 4 }, digests), first)
})

test('a file of another recorder, or not in its place, is no batch', async () => {
  const other = Buffer.from(two.toString('latin1').replaceAll('abcdefghij', 'jihgfedcba'), 'latin1')
  for (const wrong of [
    [one, other],
    [two, one],
  ])
    await assert.rejects(
      withConversion(wrong, {}, async () => undefined),
      /does not follow raw\/ready/,
    )
})
