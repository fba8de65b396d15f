import assert from 'node:assert/strict'
import { copyFile, mkdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import type { LogEvent } from '../../src/segment/format.ts'
import type { Finding, FindingKind } from '../../src/query/verify/finding.ts'
import { verifyVault, type VerifySummary } from '../../src/query/verify/verify.ts'
import { bindingKey, chunkFolder, chunkKey, receiptKey } from '../../src/storage/keys.ts'
import { adoptedFileKey, type AdoptedFile } from '../../src/table/adopted.ts'
import type { Receipt, ReceiptPart } from '../../src/table/receipt.ts'
import { proofOptions } from './proof-options.ts'
import { recorder, sealedSegment, sha256, SmallVault, type RowSpec } from './small-vault.ts'

const label = 'segment_20251203T14_00001'
let vault: SmallVault
let receipt: Receipt

/** Lines 1 to 4: a book frame of two rows, a trade, a heartbeat, and one that was rejected. */
beforeEach(async () => {
  vault = await SmallVault.make()
  receipt = await vault.job({ label, firstN: 1, lastN: 4, rows, rejectedN: [4] })
  await vault.write(bindingKey('coinbase', recorder, 1, 1), JSON.stringify({ job: receipt.job }))
})
afterEach(() => vault.remove())

const rows: readonly RowSpec[] = [
  {
    table: 'level2',
    product: 'BTC-USD',
    n: 1,
    values: { price: '1', size: '1', event_index: 0, row_index: 0 },
  },
  {
    table: 'level2',
    product: 'ETH-USD',
    n: 1,
    values: { price: '1', size: '1', event_index: 1, row_index: 0 },
  },
  { table: 'market_trades', product: 'BTC-USD', n: 2, values: { trade_id: 1, price: '1', size: '1' } },
  { table: 'other', product: null, n: 3, values: { kind: 'frame', body: '{"channel":"heartbeats"}' } },
]

async function verify(): Promise<{ readonly findings: readonly Finding[]; readonly summary: VerifySummary }> {
  const findings: Finding[] = []
  const summary = await verifyVault(
    vault.reader,
    'coinbase',
    proofOptions(async (finding) => void findings.push(finding)),
    new AbortController().signal,
  )
  return { findings, summary }
}

async function kinds(): Promise<FindingKind[]> {
  return (await verify()).findings.map((finding) => finding.kind)
}

const partOf = (table: string): ReceiptPart => receipt.parts.find((part) => part.table === table)!
const pathOf = (table: string): string => vault.store.pathOf(partOf(table).key)

/** The same receipt with something else in it; its parts stay as they are. */
async function rewrite(change: (old: Receipt) => Receipt): Promise<void> {
  await vault.write(receiptKey('coinbase', receipt.job, 1), JSON.stringify(change(receipt)))
}

test('chunks that a dead recorder left of a segment converted since are nothing to prove', async () => {
  const first = sealedSegment(1, [{ clock_step: { step_ns: '1' } }]).split('\n')[0]!
  await vault.write(chunkKey(chunkFolder('coinbase', label, recorder, 1), 1), `${first}\n`)
  const { findings, summary } = await verify()
  assert.deepEqual(findings, [])
  assert.equal(summary.lines, 4)
})

test('a vault as conversion leaves it has nothing to say', async () => {
  const { findings, summary } = await verify()
  assert.deepEqual(findings, [])
  assert.equal(summary.lines, 4)
  assert.equal(summary.rows, 4)
  assert.equal(summary.parts, 4)
})

test('a part that was removed is missed', async () => {
  await rm(pathOf('market_trades'))
  assert.deepEqual(await kinds(), ['part_missing'])
})

test('one flipped byte of a part is found', async () => {
  const bytes = await readFile(pathOf('level2'))
  bytes[bytes.length >> 1]! ^= 1
  await writeFile(pathOf('level2'), bytes)
  assert.deepEqual(await kinds(), ['part_damaged'])
})

test('a truncated part is found', async () => {
  await truncate(pathOf('other'), partOf('other').size_bytes - 1)
  assert.deepEqual(await kinds(), ['part_damaged'])
})

test('parts copied under a second receipt are rows told twice', async () => {
  const parts: ReceiptPart[] = []
  for (const part of receipt.parts) {
    const key = part.key.replace('aaaaaaaa', 'cccccccc')
    await copyFile(vault.store.pathOf(part.key), vault.store.pathOf(key))
    parts.push({ ...part, key })
  }
  const copy = { ...receipt, job: `segment_20251203T14_00009_${recorder}_1`, parts }
  await vault.write(receiptKey('coinbase', copy.job, 1), JSON.stringify(copy))
  assert.deepEqual(await kinds(), ['receipts_overlap'])
})

test('a receipt for other lines over the same rows does not add up', async () => {
  const source = { ...receipt.sources[0]!, label: 'segment_20251203T15_00001', first_n: 5, last_n: 8 }
  const copy = {
    ...receipt,
    job: `segment_20251203T15_00001_${recorder}_5`,
    sources: [source],
    rejects_key: null,
  }
  await vault.write(receiptKey('coinbase', copy.job, 1), JSON.stringify(copy))
  const found = await kinds()
  for (const kind of ['part_doubled', 'lines_strange', 'lines_missing', 'rejects_missing'] as const)
    assert.ok(found.includes(kind), kind)
})

test('a receipt that was deleted after the raw bytes were is missed, and its parts are strays', async () => {
  await rm(vault.store.pathOf(receiptKey('coinbase', receipt.job, 1)))
  const found = await kinds()
  assert.equal(found.filter((kind) => kind === 'receipt_missing').length, 1)
  assert.equal(found.filter((kind) => kind === 'part_without_receipt').length, 4)
})

test('a receipt that was deleted between two others leaves a hole in the recorder’s counter', async () => {
  const last = { label: 'segment_20251203T14_00003', firstN: 8, lastN: 8, digits: 'eeeeeeee' }
  await vault.job({ ...last, rows: [{ ...rows[2]!, n: 8 }] })
  const { findings } = await verify()
  assert.deepEqual(
    findings.map((finding) => finding.kind),
    ['segment_missing'],
  )
  assert.match(findings[0]!.message, /lines 5 to 7/)
})

test('a reject that was removed, shortened or put under another counter is found', async () => {
  const path = vault.store.pathOf(receipt.rejects_key!)
  const text = await readFile(path, 'utf8')
  await writeFile(path, '')
  assert.deepEqual(await kinds(), ['rejects_damaged', 'lines_missing'])
  await writeFile(path, text.replace('not json', 'not jso'))
  assert.deepEqual(await kinds(), ['rejects_damaged', 'lines_missing'])
  await writeFile(path, text.replace('"n":4', '"n":3'))
  assert.deepEqual(await kinds(), ['lines_doubled', 'lines_missing'])
  await rm(path)
  assert.deepEqual(await kinds(), ['rejects_missing', 'lines_missing'])
})

test('a line with rows in two tables is found', async () => {
  await rm(vault.store.pathOf(receiptKey('coinbase', receipt.job, 1)))
  const twice = [...rows, { ...rows[2]!, n: 3 }]
  receipt = await vault.job({ label, firstN: 1, lastN: 4, rows: twice, rejectedN: [4], digits: 'bbbbbbbb' })
  const { findings } = await verify()
  assert.deepEqual(
    findings.filter((finding) => finding.severity === 'error').map((finding) => finding.kind),
    ['lines_doubled'],
  )
  assert.match(findings.at(-1)!.message, /abcdefghij 3/)
})

test('a row that is there twice is found', async () => {
  await rm(vault.store.pathOf(receiptKey('coinbase', receipt.job, 1)))
  receipt = await vault.job({
    label,
    firstN: 1,
    lastN: 4,
    rows: [...rows, rows[0]!],
    rejectedN: [4],
    digits: 'bbbbbbbb',
  })
  assert.deepEqual(
    (await kinds()).filter((kind) => kind !== 'part_without_receipt'),
    ['rows_doubled'],
  )
})

test('a receipt whose numbers were changed is found', async () => {
  await rewrite((old) => ({ ...old, parts: old.parts.map((part) => ({ ...part, rows: part.rows + 1 })) }))
  assert.deepEqual(new Set(await kinds()), new Set(['part_rows']))
  await rewrite((old) => ({ ...old, lines: { ...old.lines, frames: 7 } }))
  assert.deepEqual(await kinds(), ['receipt_numbers'])
})

test('a file of someone else between the parts is a warning, not an error', async () => {
  const key = 'processed/coinbase/level2/product_id=BTC-USD/date=2025-12-03/mine.parquet'
  await mkdir(dirname(vault.store.pathOf(key)), { recursive: true })
  await copyFile(pathOf('level2'), vault.store.pathOf(key))
  const { findings, summary } = await verify()
  assert.deepEqual(
    findings.map((finding) => [finding.severity, finding.where]),
    [['warning', key]],
  )
  assert.equal(summary.errors, 0)
})

const step: LogEvent = { clock_step: { step_ns: '1' } }

test('whole segments that follow each other are fine', async () => {
  const first = sealedSegment(5, [step, step], sha256(Buffer.from(`seal ${label}`)))
  await vault.write('raw/ready/coinbase/segment_20251203T14_00002.ndjson', first)
  const seal = /"sha256":"([0-9a-f]{64})"/.exec(first)![1]!
  await vault.readySegment('segment_20251203T14_00003', 7, [step], seal)
  const { findings, summary } = await verify()
  assert.deepEqual(findings, [])
  assert.equal(summary.rawSegments, 2)
})

test('a flipped byte, a cut end and an exchanged segment in raw/ready are found', async () => {
  const key = 'raw/ready/coinbase/segment_20251203T14_00002.ndjson'
  const whole = sealedSegment(5, [step, step, step], sha256(Buffer.from(`seal ${label}`)))
  await vault.write(key, whole.replace('"step_ns":"1"', '"step_ns":"2"'))
  assert.deepEqual(await kinds(), ['segment_damaged', 'segment_damaged'])
  await vault.write(key, whole.slice(0, whole.indexOf('{"seal"')))
  assert.deepEqual(await kinds(), ['segment_damaged'])
  // The way out is one that the conversion, which leaves it alone, agrees with.
  assert.equal((await verify()).findings[0]!.remedy, `mdv segments repair ${key} && mdv etl --once`)
  await vault.write(key, sealedSegment(5, [step, step, step], '0'.repeat(64)))
  assert.deepEqual(await kinds(), ['segment_chain'])
})

test('an archived segment is unpacked and has to be the bytes that were converted', async () => {
  const key = `raw/archive/coinbase/date=2025-12-03/${label}.ndjson.gz`
  const body = Buffer.from(sealedSegment(1, [step, step, step, step]))
  await rewrite((old) => ({ ...old, sources: [{ ...old.sources[0]!, file_sha256: sha256(body) }] }))
  await vault.write(key, gzipSync(body))
  assert.deepEqual(await kinds(), [])
  await vault.write(key, gzipSync(sealedSegment(1, [step, step, step, { clock_step: { step_ns: '2' } }])))
  assert.deepEqual(await kinds(), ['segment_damaged'])
  await vault.write(key, gzipSync(body).subarray(0, 90))
  assert.deepEqual(await kinds(), ['segment_damaged'])
})

test('what a receipt says of a segment is compared with its bytes, where they are kept', async () => {
  const body = Buffer.from(sealedSegment(1, [step, step, step, step]))
  await vault.write(`raw/archive/coinbase/date=2025-12-03/${label}.ndjson.gz`, gzipSync(body))
  const say = (last_n: number): Promise<void> =>
    rewrite((old) => ({ ...old, sources: [{ ...old.sources[0]!, file_sha256: sha256(body), last_n }] }))
  await say(4)
  assert.deepEqual(await kinds(), [])
  await say(5)
  const { findings } = await verify()
  const [untrue] = findings.filter(({ kind }) => kind === 'receipt_numbers')
  assert.match(untrue!.message, /has 4 lines up to n 5; it has 4 up to 4$/)
  assert.equal(untrue!.remedy, `mdv etl --requeue ${receipt.job}`)
})

test('a stranger in raw/ready is told of and no error', async () => {
  await vault.write('raw/ready/coinbase/notes.txt', 'hello\n')
  const { findings, summary } = await verify()
  assert.deepEqual(
    findings.map((finding) => finding.kind),
    ['segment_foreign'],
  )
  assert.equal(summary.errors, 0)
})

test('a segment of an adopted file that is nowhere is missed, the last one too', async () => {
  const file: AdoptedFile = {
    format: 1,
    kind: 'segments',
    path: '/old.ndjson',
    sha256: '0'.repeat(64),
    size_bytes: 1,
    mapping: 'bare',
    recorder: 'zzzzzzzzzz',
    segments: [{ first_n: 1, lines: 9, file_sha256: '0'.repeat(64) }],
    frames: 8,
    rejected: 0,
    rejects_key: null,
    software: 'mdv test',
    adopted_ms: 0,
  }
  await vault.write(adoptedFileKey('coinbase', file.sha256), JSON.stringify(file))
  assert.deepEqual(await kinds(), ['segment_missing'])
})

test('a receipt that cannot be read is named, and what others say is verified all the same', async () => {
  const other = await vault.job({
    label: 'segment_20251203T15_00001',
    firstN: 5,
    lastN: 5,
    rows: [{ table: 'other', product: null, n: 5, values: { kind: 'frame', body: '{}' } }],
  })
  await vault.write(receiptKey('coinbase', receipt.job, 1), '{"format":1,')
  const { findings, summary } = await verify()
  assert.equal(findings[0]!.kind, 'receipt_damaged')
  assert.equal(findings[0]!.where, receiptKey('coinbase', receipt.job, 1))
  assert.deepEqual([summary.receipts, summary.lines], [1, other.lines.total])
})

test('beside a receipt that cannot be read nothing is said of a waiting segment that would be refused', async () => {
  await vault.write(receiptKey('coinbase', receipt.job, 1), '{"format":1,')
  const text = sealedSegment(5, [{ recorder_stopped: { reason: 'asked' } }])
  await vault.write('raw/ready/coinbase/segment_20251203T15_00001.ndjson', text.replace('asked', 'askew'))
  const { findings } = await verify()
  const said = findings.filter(({ kind }) => kind === 'segment_damaged')
  assert.ok(said.length > 0)
  for (const { remedy } of said) assert.match(remedy, /^first put right the receipts that cannot be read/)
})

test('a waiting segment whose first line is damaged is damage, not a stranger', async () => {
  const text = sealedSegment(5, [{ recorder_stopped: { reason: 'asked' } }])
  await vault.write('raw/ready/coinbase/segment_20251203T15_00001.ndjson', text.replace('segment', 'segmenu'))
  const { findings } = await verify()
  assert.deepEqual(
    findings.map(({ severity, kind }) => [severity, kind]),
    [['error', 'segment_damaged']],
  )
})

test('each number of a seal is counted again', async () => {
  const text = sealedSegment(5, [{ recorder_stopped: { reason: 'asked' } }])
  for (const [said, other] of [
    ['"first_n":5', '"first_n":4'],
    ['"connections":[]', '"connections":[{"conn":"a-1","frames":1}]'],
    ['"last_recv_ns":"1', '"last_recv_ns":"2'],
  ] as const) {
    await vault.write('raw/ready/coinbase/segment_20251203T15_00001.ndjson', text.replace(said, other))
    const kinds = new Set((await verify()).findings.map(({ kind }) => kind))
    assert.ok(kinds.has('segment_damaged'), said)
  }
})

/** Frames of one connection, by their numbers, in lines from 5 on, and a gap event behind them. */
async function numbered(
  numbers: readonly number[],
  gap: string | null,
  rejectedN: readonly number[] = [],
): Promise<string[]> {
  const conn = `${recorder}-1`
  const kept = numbers.map((_, i) => 5 + i).filter((n) => !rejectedN.includes(n))
  const frames = kept.map((n): RowSpec => {
    const values = { trade_id: n, price: '1', size: '1', conn, sequence_num: numbers[n - 5]! }
    return { table: 'market_trades', product: 'BTC-USD', n, values }
  })
  const lastN = 5 + numbers.length
  const event = { kind: 'event', conn, body: gap ?? '{"disorder":{}}' }
  await vault.job({
    label: 'segment_20251203T14_00002',
    firstN: 5,
    lastN,
    rows: [...frames, { table: 'other', product: null, n: lastN, values: event }],
    rejectedN,
    digits: 'dddddddd',
  })
  return kinds()
}

test('sequence numbers that rows lack and no gap row names are found, when the raw bytes are long gone', async () => {
  assert.deepEqual(await numbered([0, 1, 2, 4, 5], null), ['gap_unnamed'])
  assert.deepEqual(await numbered([0, 1, 2, 4, 5], '{"gap":{"after_seq":2,"before_seq":4}}'), [])
  assert.deepEqual(await numbered([0, 1, 2, 3, 4], '{"gap":{"after_seq":2,"before_seq":4}}'), ['gap_untrue'])
  assert.deepEqual(await numbered([0, 1, 2, 3, 4], null, [7]), [], 'the third was rejected')
})

test('rows of one line that disagree about their connection are found', async () => {
  const twice = ['abcdefghij-1', 'abcdefghij-2'].map((conn, i): RowSpec => {
    const values = { price: '1', size: '1', event_index: i, conn }
    return { table: 'level2', product: 'BTC-USD', n: 5, values }
  })
  await vault.job({
    label: 'segment_20251203T14_00002',
    firstN: 5,
    lastN: 5,
    rows: twice,
    digits: 'dddddddd',
  })
  assert.deepEqual(await kinds(), ['lines_doubled'])
})
