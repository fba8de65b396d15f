import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { surveyRaw } from '../../src/etl/raw-survey.ts'
import { repairRaw, type Repair, type RepairDeps } from '../../src/etl/repair.ts'
import { runEtlOnce } from '../../src/etl/run.ts'
import type { Seal } from '../../src/segment/format.ts'
import { eventRest, LineEncoder } from '../../src/segment/line.ts'
import { realDisk } from '../../src/storage/disk.ts'
import { readySegmentKey } from '../../src/storage/keys.ts'
import { Bench, collect, etlOptions, never, segmentBytes, sha256 } from './job-bench.ts'

const label = 'segment_20251203T14_00001'
const key = readySegmentKey('coinbase', label)
const newKey = readySegmentKey('coinbase', 'segment_20251203T14_00002')
const rejected = 'raw/rejected/coinbase/'

async function depsOf(bench: Bench): Promise<RepairDeps> {
  return { ...(await bench.worker()), disk: realDisk, sequenceOf: () => -1, software: 'mdv test' }
}

async function repair(bench: Bench, names: readonly string[] = [], isDryRun = false): Promise<Repair[]> {
  return repairRaw(await depsOf(bench), { names, isDryRun }, never)
}

/** Lines 1 to 4 of a recorder, three of them of a connection, and a seal that says so. */
function connected(): string {
  const encoder = new LineEncoder(1)
  const event = { clock_step: { step_ns: '1' } }
  const lines = [null, 'abcdefghij-1', 'abcdefghij-1', 'abcdefghij-2'].map((conn) =>
    encoder.other(1_764_770_400_000_000_000n, eventRest(conn, event)).toString(),
  )
  const [header, , , , seal] = segmentBytes(1, ['a', 'b', 'c']).split('\n')
  const body = `${header}\n${lines.join('')}`
  const said = (JSON.parse(seal!) as { seal: Seal }).seal
  const recvNs = '1764770400000000000'
  const numbers = { lines: 4, bytes: body.length, sha256: sha256(Buffer.from(body)), last_n: 4 }
  const times = { first_recv_ns: recvNs, last_recv_ns: recvNs }
  return `${body}${JSON.stringify({ seal: { ...said, ...numbers, ...times } })}\n`
}

/** @returns the bench with this as its only waiting segment */
async function waiting(text: string): Promise<Bench> {
  const bench = await Bench.make()
  await bench.write(key, text)
  return bench
}

async function textOf(bench: Bench, at: string): Promise<string> {
  return readFile(bench.store.pathOf(at), 'utf8')
}

const whole = connected()

test('a whole segment is left as it is', async () => {
  const bench = await waiting(whole)
  assert.deepEqual(
    (await repair(bench)).map(({ kind }) => kind),
    ['whole'],
  )
  assert.deepEqual(await bench.keys('raw/'), [key])
  await bench.remove()
})

const damages: readonly (readonly [what: string, text: string, kept: RegExp, goodLines: number])[] = [
  ['a bad line', whole.replace('"step_ns":"1"', '"step_ns":"2"'), /2 bad|1 bad lines/, 3],
  ['a damaged seal', whole.replace('{"seal"', '{"sael"'), /no seal/, 4],
  ['an end that was cut within a line', whole.slice(0, whole.indexOf('{"seal"') - 9), /no seal/, 3],
  ['a seal that was cut', whole.slice(0, -20), /no seal/, 4],
  ['no seal', whole.slice(0, whole.indexOf('{"seal"')), /it has no seal/, 4],
  ['a wrong number in its seal', whole.replace('"last_n":4', '"last_n":5'), /last_n 5/, 4],
  ['something behind its seal', `${whole}{"more":1}\n`, /1 bad lines/, 4],
  ['a damaged header', whole.replace('{"segment"', '{"segmnet"'), /not the header/, 4],
  [
    'a header that does not say when it was opened',
    whole.replace('"opened_ns":"', '"opened_ns":"x'),
    /opened_ns/,
    4,
  ],
  ['a damaged header and no seal', whole.slice(9, whole.indexOf('{"seal"')), /not the header/, 4],
  ['a damaged header and a torn end', whole.slice(9, whole.indexOf('{"seal"') - 9), /not the header/, 3],
]

for (const [what, text, problem, goodLines] of damages)
  test(`a segment with ${what} is kept whole under raw/rejected, and its lines are sealed anew`, async () => {
    const bench = await waiting(text)
    const [done] = await repair(bench)
    assert.deepEqual([done!.kind, done!.goodLines], ['resealed', goodLines])
    assert.match(done!.problem, problem)
    assert.equal(await textOf(bench, done!.keptAs!), text)
    assert.deepEqual(await bench.keys('raw/ready/'), [newKey])
    const deps = await depsOf(bench)
    const sealed = await textOf(bench, newKey)
    const { scan, problems } = await surveyRaw(deps, newKey, sealed.length, never)
    assert.deepEqual([scan.header!.recorder, scan.header!.n], ['abcdefghij', 1])
    assert.deepEqual([scan.lines, scan.sealProblem, scan.seal!.repaired], [goodLines, null, true])
    const bad = what === 'a bad line' ? ['1 bad lines'] : []
    assert.deepEqual(problems, bad, 'a bad line among good ones stays, to be rejected with its reason')
    await bench.remove()
  })

test('where the last line is bad, the new seal tells as the old one did how far the segment went', async () => {
  const at = whole.lastIndexOf('"step_ns":"1"')
  const bench = await waiting(`${whole.slice(0, at)}"step_ns":"2"${whole.slice(at + 13)}`)
  await repair(bench)
  const { scan } = await surveyRaw(await depsOf(bench), newKey, whole.length + 99, never)
  assert.deepEqual([scan.lastN, scan.seal!.last_n], [3, 4])
  await bench.remove()
})

test('what nobody can read or judge is left alone and told of, and a stranger is no damage', async () => {
  const bench = await waiting('{"segmnet":{}}\nnothing that is a line\n')
  const newer = whole.replace('"format":1', '"format":2')
  await bench.write(newKey, newer)
  await bench.write('raw/ready/coinbase/notes.txt', 'hello')
  const before = await bench.keys('raw/')
  assert.deepEqual(
    (await repair(bench)).map(({ kind }) => kind),
    ['foreign', 'left', 'left'],
  )
  assert.deepEqual(await bench.keys('raw/'), before)
  await bench.remove()
})

test('a dry run says the same and touches nothing; a name chooses one file', async () => {
  const bench = await waiting(whole.slice(0, -20))
  await bench.write(newKey, segmentBytes(10, ['BTC-USD']).slice(0, -20))
  const before = await bench.keys('raw/')
  assert.deepEqual(
    (await repair(bench, [], true)).map(({ kind }) => kind),
    ['resealed', 'resealed'],
  )
  assert.deepEqual(await bench.keys('raw/'), before)
  assert.deepEqual(
    (await repair(bench, [label])).map((one) => one.key),
    [key],
  )
  assert.deepEqual(await repair(bench, ['segment_20251203T14_00044']), [])
  await bench.remove()
})

test('a segment whose rows are committed is only put aside, when its bytes are others now', async () => {
  const bench = await Bench.make()
  await bench.segment(1, 1, ['BTC-USD', 'ETH-USD'])
  const keeping = { ...etlOptions, deleteRaw: false }
  await runEtlOnce(await bench.worker(), keeping, collect(), never)
  assert.deepEqual(
    (await repair(bench)).map(({ kind }) => kind),
    ['whole'],
  )
  const text = (await textOf(bench, key)).replace('ETH-USD', 'ETH-EUR')
  await bench.write(key, text)
  const [done] = await repair(bench)
  assert.equal(done!.kind, 'put_aside')
  assert.equal(await textOf(bench, done!.keptAs!), text)
  assert.deepEqual([await bench.keys('raw/ready/'), await bench.committed()], [[], [1, 2]])
  await bench.remove()
})

test('an archived copy is put aside when it does not unpack to what was converted', async () => {
  const bench = await Bench.make()
  await bench.segment(1, 1, ['BTC-USD'])
  await runEtlOnce(await bench.worker(), { ...etlOptions, archive: true }, collect(), never)
  assert.deepEqual(
    (await repair(bench, [label])).map(({ kind }) => kind),
    ['whole'],
  )
  const [archived] = await bench.keys('raw/archive/')
  const packed = archived!.endsWith('.gz')
    ? gzipSync('something else')
    : (await readFile(bench.store.pathOf(archived!))).subarray(0, 30)
  await bench.write(archived!, packed)
  const [done] = await repair(bench, [archived!])
  assert.equal(done!.kind, 'put_aside')
  assert.deepEqual(await readFile(bench.store.pathOf(done!.keptAs!)), packed)
  assert.deepEqual(await bench.keys('raw/archive/'), [])
  await bench.remove()
})

test('the same damage found twice is kept once, other bytes under the same label beside it', async () => {
  const bench = await waiting(whole.slice(0, -20))
  await repair(bench)
  await bench.write(key, whole.slice(0, -20))
  const [again] = await repair(bench, [label])
  assert.deepEqual([again!.kind, again!.label], ['resealed', 'segment_20251203T14_00002'])
  await bench.write(key, whole.slice(0, -30))
  await repair(bench, [label])
  assert.equal((await bench.keys(rejected)).length, 2)
  assert.deepEqual(await bench.keys('raw/ready/'), [newKey], 'it was sealed anew once')
  await bench.remove()
})
