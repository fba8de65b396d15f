/** What is replayed is what was recorded: from raw, from the archive, from Parquet, and while a segment moves from one to the next. */

import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import * as fc from 'fast-check'
import type { ReplayLine } from '../../src/query/replay/line.ts'
import { mergeLines } from '../../src/query/replay/merge.ts'
import { untilSeal } from '../../src/query/replay/raw.ts'
import { Replay } from '../../src/query/replay/replay.ts'
import { readRequest, type AskedReplay } from '../../src/query/replay/request.ts'
import { rawActive, readySegmentKey } from '../../src/storage/keys.ts'
import { openLocalStore } from '../../src/storage/local.ts'
import type { LocalObjectStore } from '../../src/storage/object-store.ts'
import { FarStore } from '../storage/far-store.ts'
import { convertAll } from './convert-all.ts'
import { lineText, putSegment, segmentText, type Recorded } from './recording.ts'
import { cached, reading } from './small-vault.ts'

const folder = await mkdtemp(join(tmpdir(), 'mdv-replay-'))
after(() => rm(folder, { recursive: true, force: true }))
const { signal } = new AbortController()

const golden = new URL('../../../test/golden/', import.meta.url)
const frames = (
  await Promise.all(
    ['session-start', 'odd-frames'].map((name) => readFile(new URL(`${name}.frames.ndjson`, golden), 'utf8')),
  )
)
  .join('')
  .split('\n')
  .filter((line) => line !== '')

const startNs = 1_764_770_400_000_000_000n
const second = 1_000_000_000n

/** Recorder A in three segments, its clock set back within the second; B beside the third only. */
const a: Recorded[] = frames.map((frame, i) => ({
  recorder: 'aaaaaaaaaa',
  n: i + 1,
  recvNs: startNs + BigInt(i) * second - (i === 5 ? 2n * second : 0n),
  frame,
}))
const third = Math.floor(frames.length / 3)
const segmentsOfA = [a.slice(0, third), a.slice(third, 2 * third), a.slice(2 * third)]
const b: Recorded[] = [0, 1, 2, 3].map((i) => ({
  recorder: 'bbbbbbbbbb',
  n: i + 1,
  recvNs: startNs + BigInt(2 * third + 1 + i) * second + 1n,
  ...(i === 0 ? { event: { recorder_stopped: { reason: 'test' } } } : { frame: frames[i]! }),
}))

/** A's lines in its order, those of B where their time is. */
const expected = [
  ...a.map((line, i) => ({ line, at: startNs + BigInt(i) * second })),
  ...b.map((line) => ({ line, at: line.recvNs })),
]
  .sort((x, y) => (x.at < y.at ? -1 : x.at > y.at ? 1 : 0))
  .map(({ line }) => line)

/** When a line counts as received: A's clock was set back once. */
const order = ({ recorder, n, recvNs }: Recorded): bigint =>
  recorder === 'aaaaaaaaaa' && n === 6 ? startNs + 5n * second : recvNs

let vaults = 0

async function vault(): Promise<LocalObjectStore> {
  const store = await openLocalStore(join(folder, `vault-${vaults++}`))
  for (const [i, lines] of segmentsOfA.entries())
    await putSegment(store, `segment_20251203T14_0000${i + 1}`, lines)
  await putSegment(store, 'segment_20251203T14_00009', b)
  return store
}

async function open(store: LocalObjectStore, asked: AskedReplay = {}): Promise<Replay> {
  const options = { memoryLimitMb: 256, scratchDir: join(folder, 'scratch') }
  const seen = reading.isFar ? cached(new FarStore(store), `${store.location}-cache`) : store
  return Replay.open(
    seen,
    'coinbase',
    readRequest(asked, (key) => key),
    options,
    signal,
  )
}

async function textOf(replay: Replay): Promise<string> {
  await using held = replay
  const chunks: Buffer[] = []
  for await (const chunk of held.bytes(signal)) chunks.push(chunk)
  return Buffer.concat(chunks).toString('utf8')
}

const recordedText = (lines: readonly Recorded[]): string => lines.map(lineText).join('')

/** Lines as values, without what only recorded ones have. */
function valuesOf(text: string): unknown[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const { len: _len, crc: _crc, ...rest } = JSON.parse(line) as Record<string, unknown>
      return rest
    })
}

test('raw segments come back byte for byte, two recorders merged by time, each in its own order', async () => {
  assert.equal(await textOf(await open(await vault())), recordedText(expected))
})

test('a range begins with the instant it names and ends before the other', async () => {
  const store = await vault()
  const from = '2025-12-03T14:00:07Z'
  const until = '2025-12-03T14:00:12Z'
  const inside = expected.filter(
    ({ recvNs }) => recvNs >= startNs + 7n * second && recvNs < startNs + 12n * second,
  )
  assert.ok(inside.length > 0 && inside.length < expected.length)
  assert.equal(await textOf(await open(store, { from, until })), recordedText(inside))
  assert.equal(await textOf(await open(store, { date: '2025-12-04' })), '')
  await convertAll(store, { archive: false, segmentsMax: 3 })
  assert.deepEqual(valuesOf(await textOf(await open(store, { from, until }))), valuesOf(recordedText(inside)))
})

test('converted and archived segments come back byte for byte', async () => {
  const store = await vault()
  await convertAll(store, { archive: true, segmentsMax: 3 })
  assert.equal(await textOf(await open(store)), recordedText(expected))
})

test('segments of which only Parquet is left come back equal as JSON, alone and as one job', async () => {
  for (const segmentsMax of [1, 3]) {
    const store = await vault()
    await convertAll(store, { archive: false, segmentsMax })
    const text = await textOf(await open(store))
    assert.deepEqual(valuesOf(text), valuesOf(recordedText(expected)), `${segmentsMax} segments a job`)
    assert.doesNotMatch(text.split('\n')[0]!, /"crc":/)
  }
})

test('segments that are converted after the replay began are found where they are now', async () => {
  const store = await vault()
  const before = await open(store)
  await convertAll(store, { archive: false, segmentsMax: 3 })
  assert.deepEqual(valuesOf(await textOf(before)), valuesOf(recordedText(expected)))
  const between = await vault()
  const whole = await open(between)
  const bytes = whole.bytes(signal)
  const first = (await bytes.next()).value as Buffer
  await convertAll(between, { archive: false, segmentsMax: 3 })
  const rest: Buffer[] = []
  for await (const chunk of bytes) rest.push(chunk)
  await whole[Symbol.asyncDispose]()
  assert.deepEqual(valuesOf(Buffer.concat([first, ...rest]).toString()), valuesOf(recordedText(expected)))
})

test('channels and products choose frames; events come along', async () => {
  const store = await vault()
  const isTrade = (frame: string | undefined): boolean =>
    frame === undefined || frame.startsWith('{"channel":"market_trades"')
  const trades = expected.filter(({ frame }) => isTrade(frame))
  assert.ok(trades.length > 1)
  assert.equal(await textOf(await open(store, { channels: 'market_trades' })), recordedText(trades))
  const ofEth = expected.filter(
    ({ frame }) => frame === undefined || frame.includes('"product_id":"ETH-USD"'),
  )
  assert.equal(await textOf(await open(store, { products: 'ETH-USD,NO-SUCH' })), recordedText(ofEth))
  const level2 = await textOf(await open(store, { channels: 'level2' }))
  assert.ok(level2.includes('"channel":"l2_data"'))
  assert.ok(!level2.includes('"channel":"market_trades"'))
})

test('a frame that writes its product in numbers is found, one that only mentions it is not', async () => {
  const store = await openLocalStore(join(folder, 'names'))
  const frame = (id: string): string => `{"channel":"x","events":[{"product_id":"${id}"}]}`
  const lines = ['\\u0042TC-USD', 'ETH-USD","note":"BTC-USD'].map((id, i) => ({
    recorder: 'aaaaaaaaaa',
    n: i + 1,
    recvNs: startNs,
    frame: frame(id),
  }))
  await putSegment(store, 'segment_20251203T14_00001', lines)
  assert.equal(await textOf(await open(store, { products: 'BTC-USD' })), recordedText(lines.slice(0, 1)))
})

test('a clock set back within a segment hides no line from a range, and brings none from outside', async () => {
  const store = await openLocalStore(join(folder, 'stepped'))
  const lines = [10n, 15n, 9n, 12n].map((at, i): Recorded => ({
    recorder: 'aaaaaaaaaa',
    n: i + 1,
    recvNs: startNs + at * second,
    frame: frames[i]!,
  }))
  // The last line is neither the earliest nor the latest.
  await putSegment(store, 'segment_20251203T14_00001', lines)
  const received = async (from: number, until: number): Promise<string> => {
    const at = (seconds: number): string => `2025-12-03T14:00:${String(seconds).padStart(2, '0')}Z`
    return textOf(await open(store, { from: at(from), until: at(until) }))
  }
  const [ten, fifteen, nine, twelve] = lines as [Recorded, Recorded, Recorded, Recorded]
  const check = async (): Promise<void> => {
    assert.deepEqual(valuesOf(await received(13, 16)), valuesOf(recordedText([fifteen])))
    assert.deepEqual(valuesOf(await received(8, 11)), valuesOf(recordedText([ten, nine])))
    assert.deepEqual(valuesOf(await received(8, 13)), valuesOf(recordedText([ten, nine, twelve])))
  }
  await check()
  await convertAll(store, { archive: false, segmentsMax: 3 })
  await check()
})

test('a segment that lies there twice comes once, and so do lines that two segments share', async () => {
  const store = await vault()
  await putSegment(store, 'segment_20251203T15_00001', segmentsOfA[0]!)
  await putSegment(store, 'backup/segment_20251203T15_00002', segmentsOfA[1]!)
  assert.equal(await textOf(await open(store)), recordedText(expected))
  await putSegment(store, 'segment_20251203T15_00003', segmentsOfA[0]!.slice(0, 2))
  // As one whose header was made anew, too low: the lines before are the other's.
  const shared = [...segmentsOfA[2]!, { ...a[0]!, n: a.length + 1, recvNs: a.at(-1)!.recvNs + 1n }]
  await putSegment(store, 'segment_20251203T15_00004', shared)
  const more = [...expected, shared.at(-1)!].sort((x, y) => Number(order(x) - order(y)))
  assert.equal(await textOf(await open(store)), recordedText(more))
})

test('a raw copy that was cut short does not stand before the rows of the whole', async () => {
  const store = await vault()
  const key = readySegmentKey('coinbase', 'segment_20251203T14_00002')
  const whole = (await store.get(key))!
  await convertAll(store, { archive: false, segmentsMax: 3 })
  await store.putIfAbsent(key, whole.subarray(0, whole.length >> 1))
  assert.deepEqual(valuesOf(await textOf(await open(store))), valuesOf(recordedText(expected)))
})

test('recorders are merged also where a clock was set back between two segments of one job', async () => {
  const at = (recorder: string, n: number, seconds: bigint): Recorded => ({
    recorder,
    n,
    recvNs: startNs + seconds * second,
    frame: frames[n]!,
  })
  const first = [at('aaaaaaaaaa', 1, 100n), at('aaaaaaaaaa', 2, 200n)]
  const later = [at('aaaaaaaaaa', 3, 10n), at('aaaaaaaaaa', 4, 110n)]
  const other = [at('bbbbbbbbbb', 1, 150n), at('bbbbbbbbbb', 2, 180n)]
  const store = await openLocalStore(join(folder, 'between'))
  await putSegment(store, 'segment_20251203T14_00001', first)
  await putSegment(store, 'segment_20251203T14_00002', later)
  await putSegment(store, 'segment_20251203T14_00003', other)
  const merged = recordedText([first[0]!, ...other, first[1]!, ...later])
  assert.equal(await textOf(await open(store)), merged)
  await convertAll(store, { archive: false, segmentsMax: 2 })
  assert.deepEqual(valuesOf(await textOf(await open(store))), valuesOf(merged))
})

test('a segment that goes away during the replay is not passed over', async () => {
  const store = await vault()
  const replay = await open(store)
  await store.delete(readySegmentKey('coinbase', 'segment_20251203T14_00002'))
  await assert.rejects(textOf(replay), { kind: 'unavailable', message: /went away meanwhile$/ })
})

test('a damaged part is the vault’s fault, and said so', async () => {
  const store = await vault()
  await convertAll(store, { archive: false, segmentsMax: 3 })
  for await (const parts of store.list('processed/coinbase/level2/', signal))
    for (const { key, sizeBytes } of parts)
      await writeFile(store.pathOf(key), Buffer.alloc(sizeBytes, 'PAR1'))
  await assert.rejects(textOf(await open(store)), { kind: 'corrupt', remedy: /mdv verify/ })
})

for (const [what, spoil, expectedError] of [
  ['a damaged header', (text: string) => `X${text.slice(1)}`, { kind: 'corrupt' }],
  ['nothing in it', () => '', { kind: 'corrupt' }],
  [
    'a newer format',
    (text: string) => text.replace('"format":1', '"format":2'),
    { kind: 'invalid', message: /format 2/ },
  ],
] as const)
  test(`a sealed segment with ${what} is named before the first line`, async () => {
    const store = await vault()
    const bytes = Buffer.from(spoil(segmentText(b)))
    await store.putIfAbsent(readySegmentKey('coinbase', 'segment_20251203T16_00001'), bytes)
    await assert.rejects(open(store), expectedError)
  })

test('what still grows is left out and counted; what is damaged is named, with the way out', async () => {
  const store = await vault()
  const growing = segmentText(b.map((line) => ({ ...line, recorder: 'cccccccccc' })))
  await store.putIfAbsent(
    `${rawActive('coinbase')}segment_20251203T14_00011.ndjson`,
    Buffer.from(growing.split('\n').slice(0, 3).join('\n') + '\n'),
  )
  const replay = await open(store)
  assert.equal(replay.plan.growing, 1)
  assert.equal(await textOf(replay), recordedText(expected))
  await store.putIfAbsent(
    readySegmentKey('coinbase', 'segment_20251203T14_00012'),
    Buffer.from(growing.slice(0, -40)),
  )
  await assert.rejects(open(store), {
    kind: 'corrupt',
    message: /^raw\/ready\/coinbase\/segment_20251203T14_00012\.ndjson: /,
    remedy: 'mdv segments repair segment_20251203T14_00012',
  })
})

test('what cannot be meant is refused in one line', () => {
  const refused: [AskedReplay, RegExp][] = [
    [{ from: 'yesterday' }, /^--from "yesterday": not an instant$/],
    [{ until: '2025-12-03T14:61' }, /^--until "2025-12-03T14:61": not an instant$/],
    [{ date: '0001-01-01' }, /^--date "0001-01-01": not a date$/],
    [{ date: '2025-02-30' }, /^--date "2025-02-30": not a date$/],
    [{ date: '2025-12-03', until: '2025-12-04' }, /^--date together with --from or --until$/],
    [{ from: '2025-12-04', until: '2025-12-04' }, /no time lies between them$/],
    [{ channels: 'a,,b' }, /^--channels "a,,b": not a list of names$/],
    [{ products: 'x'.repeat(20_000) }, /^--products "x{100}": not a list of names$/],
  ]
  for (const [asked, message] of refused)
    assert.throws(() => readRequest(asked, (key) => `--${key}`), { kind: 'usage', message })
})

test('however a packed segment is cut into chunks, its lines end where its seal begins', async () => {
  const whole = Buffer.from(segmentText(a.slice(0, 2)))
  const headerEnd = whole.indexOf('\n') + 1
  const behind = whole.subarray(headerEnd)
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 0, max: behind.length })), async (cuts) => {
      const at = [0, ...cuts.sort((x, y) => x - y), behind.length]
      const chunks = at.slice(1).map((until, i) => behind.subarray(at[i], until))
      const out: Buffer[] = []
      for await (const chunk of untilSeal(each(chunks))) out.push(chunk)
      assert.equal(Buffer.concat(out).toString(), recordedText(a.slice(0, 2)))
    }),
  )
})

test('merged recorders lose nothing, keep their order, and stand in time', async () => {
  const times = fc.array(fc.integer({ min: 0, max: 20 }), { maxLength: 30 })
  await fc.assert(
    fc.asyncProperty(
      fc.array(times, { maxLength: 4 }),
      fc.integer({ min: 1, max: 5 }),
      async (recorders, size) => {
        const lines = recorders.map((of, who) =>
          of.map((time, i): ReplayLine => ({
            n: i,
            recvNs: BigInt(time),
            text: Buffer.from(`${who} ${i}`),
            frame: null,
          })),
        )
        const merged: ReplayLine[] = []
        const timed = lines.map((of, who) => ({
          fromNs: BigInt(Math.min(20, ...recorders[who]!)),
          lines: each(cut(of, size)),
        }))
        for await (const batch of mergeLines(timed)) merged.push(...batch)
        const latest = recorders.map(() => -1n)
        let before = -1n
        const seen = recorders.map(() => 0)
        for (const { recvNs, text } of merged) {
          const [who, i] = text.toString().split(' ').map(Number) as [number, number]
          assert.equal(i, seen[who]!++)
          if (recvNs! > latest[who]!) latest[who] = recvNs!
          assert.ok(latest[who]! >= before, 'a line that was received later came first')
          before = latest[who]!
        }
        assert.deepEqual(
          seen,
          recorders.map((of) => of.length),
        )
      },
    ),
  )
})

async function* each<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items
}

function cut<T>(items: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, i) =>
    items.slice(i * size, (i + 1) * size),
  )
}
