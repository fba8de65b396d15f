/** Proofs on threads, side by side, and proofs that are stopped and gone on with. */

import assert from 'node:assert/strict'
import { copyFile, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import type { Finding } from '../../src/query/verify/finding.ts'
import { ProofMemory } from '../../src/query/verify/memory.ts'
import { progressWords, VerifyProgress } from '../../src/query/verify/progress.ts'
import { scansHere } from '../../src/query/verify/scan-task.ts'
import { ScanThreads } from '../../src/query/verify/scan-threads.ts'
import { verifyVault, type VerifyOptions, type VerifySummary } from '../../src/query/verify/verify.ts'
import type { Receipt } from '../../src/table/receipt.ts'
import { proofOptions } from './proof-options.ts'
import { sealedSegment, SmallVault } from './small-vault.ts'

const kind = { venue: 'coinbase', since: null, isDeep: false }
const never = new AbortController().signal
const event = { clock_step: { step_ns: '1' } }
const nowMs = 1_764_770_400_000

let vault: SmallVault
let receipts: Receipt[]

/** Three jobs, and two segments that wait. */
beforeEach(async () => {
  vault = await SmallVault.make()
  receipts = []
  for (const [i, digits] of ['aaaaaaaa', 'bbbbbbbb', 'cccccccc'].entries()) {
    const values = { kind: 'frame', body: '{}' }
    const rows = [{ table: 'other' as const, product: null, n: i + 1, values }]
    const label = `segment_20251203T14_0000${i + 1}`
    receipts.push(await vault.job({ label, firstN: i + 1, lastN: i + 1, rows, digits }))
  }
  const first = sealedSegment(4, [event, event], receipts[2]!.sources[0]!.seal_sha256)
  await vault.write('raw/ready/coinbase/segment_20251203T14_00004.ndjson', first)
  const seal = /"sha256":"([0-9a-f]{64})"/.exec(first)![1]!
  await vault.readySegment('segment_20251203T14_00005', 6, [event], seal)
})
afterEach(() => vault.remove())

interface Run {
  readonly findings: readonly Finding[]
  readonly summary: VerifySummary | null
  readonly resumedItems: number | null
}

/** @param stopAfter things that are begun before it is stopped */
async function run(
  stopAfter = Infinity,
  atMs = nowMs,
  isFresh = false,
  changes: Partial<VerifyOptions> = {},
): Promise<Run> {
  const findings: Finding[] = []
  const stop = new AbortController()
  const progress = new (class extends VerifyProgress {
    begun = 0
    override begin(what: string): void {
      super.begin(what)
      if (++this.begun > stopAfter) stop.abort()
    }
  })()
  await using memory = await ProofMemory.open(vault.store, kind, atMs, isFresh)
  const options = proofOptions(async (finding) => void findings.push(finding), {
    memory,
    progress,
    ...changes,
  })
  const resumedItems = memory.resumed?.items ?? null
  try {
    const summary = await verifyVault(vault.store, 'coinbase', options, stop.signal)
    return { findings, summary, resumedItems }
  } catch (error) {
    if (!stop.signal.aborted) throw error
    return { findings, summary: null, resumedItems }
  }
}

const partPath = (i: number): string => vault.store.pathOf(receipts[i]!.parts[0]!.key)

test('a proof that was stopped is gone on with, says so, and ends with the same counts; the next begins anew', async () => {
  const whole = await run()
  assert.deepEqual([whole.findings, whole.summary!.remembered, whole.resumedItems], [[], 0, null])
  assert.equal((await run(3)).summary, null)
  const rest = await run()
  assert.equal(rest.resumedItems, 3)
  assert.deepEqual(rest.summary, { ...whole.summary, remembered: 3 })
  const next = await run()
  assert.deepEqual([next.resumedItems, next.summary!.remembered], [null, 0])
})

test('what was proved and looks different since is proved again', async () => {
  await run(4)
  const bytes = await readFile(partPath(0))
  bytes[bytes.length >> 1]! ^= 1
  await writeFile(partPath(0), bytes)
  const { findings, summary } = await run()
  assert.deepEqual(
    findings.map((finding) => finding.kind),
    ['part_damaged'],
  )
  assert.equal(summary!.remembered, 3)
})

test('what had a finding is looked at again, and told again', async () => {
  await rm(partPath(0))
  await run(4)
  const { findings } = await run()
  assert.deepEqual(
    findings.map((finding) => finding.kind),
    ['part_missing'],
  )
})

test('damage that keeps size and time is not seen by a run that goes on, only by one that begins anew', async () => {
  await utimes(partPath(0), nowMs / 1000, nowMs / 1000)
  await run(4)
  const bytes = await readFile(partPath(0))
  bytes[bytes.length >> 1]! ^= 1
  await writeFile(partPath(0), bytes)
  await utimes(partPath(0), nowMs / 1000, nowMs / 1000)
  const copy = join(vault.baseDir, 'memory')
  const [name] = (await readdir(join(vault.baseDir, '.mdv/scratch/verify'))).filter((each) =>
    each.endsWith('.ndjson'),
  )
  await copyFile(join(vault.baseDir, '.mdv/scratch/verify', name!), copy)
  assert.equal((await run()).summary!.errors, 0)
  await copyFile(copy, join(vault.baseDir, '.mdv/scratch/verify', name!))
  assert.equal((await run(Infinity, nowMs, true)).summary!.errors, 1)
})

test('what was proved more than a week ago, or by a clock that is ahead, is proved again', async () => {
  for (const atMs of [nowMs + 8 * 86_400_000, nowMs - 1000]) {
    await run(4, nowMs, true)
    assert.equal((await run(Infinity, atMs)).resumedItems, null)
  }
})

test('half a line of memory is no memory', async () => {
  await run(4)
  const folder = join(vault.baseDir, '.mdv/scratch/verify')
  const [name] = (await readdir(folder)).filter((each) => each.endsWith('.ndjson'))
  const text = await readFile(join(folder, name!), 'utf8')
  await writeFile(join(folder, name!), text.slice(0, -20))
  const { summary, resumedItems } = await run()
  assert.deepEqual([summary!.errors, summary!.remembered, resumedItems], [0, 3, 3])
})

test('a damaged line of memory is no memory', async () => {
  await run(4)
  const folder = join(vault.baseDir, '.mdv/scratch/verify')
  const [name] = (await readdir(folder)).filter((each) => each.endsWith('.ndjson'))
  const lines = (await readFile(join(folder, name!), 'utf8')).split('\n')
  // It would be believed that nothing of this job's numbers is to be looked at.
  lines[4] = lines[4]!.replace(/"known":\[[^\]]*\]/, '"known":[]').replace('"frames":0', '"frames":1')
  await writeFile(join(folder, name!), lines.join('\n'))
  const { summary, resumedItems } = await run()
  assert.deepEqual([summary!.errors, summary!.remembered, resumedItems], [0, 3, 3])
})

test('several at once and on threads find what one after another on this thread does, in the same order', async () => {
  await rm(partPath(0))
  await rm(partPath(2))
  const damaged = 'raw/ready/coinbase/segment_20251203T14_00005.ndjson'
  await vault.write(damaged, (await readFile(vault.store.pathOf(damaged), 'utf8')).replace('"1"', '"2"'))
  const archived = 'raw/archive/coinbase/date=2025-12-03/segment_20251203T14_00002.ndjson.gz'
  await vault.write(archived, gzipSync('not what was converted').subarray(0, 20))
  const alone = await run()
  assert.ok(alone.findings.length >= 4)
  await using scans = new ScanThreads(2)
  const together = await run(Infinity, nowMs, true, { scans, atOnce: 4 })
  assert.deepEqual(together, alone)
})

test('a thread whose bytes cannot be read is left, and another one goes on', async () => {
  await using scans = new ScanThreads(1)
  const task = {
    kind: 'segment',
    key: 'x.ndjson',
    sizeBytes: 1_000_000,
    venue: 'coinbase',
    isWaiting: true,
  } as const
  const broken = async function* (): AsyncGenerator<Buffer> {
    yield Buffer.from('{"segm')
    throw new Error('the disk is gone')
  }
  await assert.rejects(scans.segment(task, broken(), never), /the disk is gone/)
  await assert.rejects(scans.sha256(join(vault.baseDir, 'nothing')), /no such file/)
  const text = Buffer.from(sealedSegment(1, [event, event]))
  const pieces = async function* (): AsyncGenerator<Buffer> {
    for (let at = 0; at < text.length; at += 50) yield text.subarray(at, at + 50)
  }
  assert.deepEqual(await scans.segment(task, pieces(), never), await scansHere.segment(task, pieces(), never))
})

test('progress says how much of how much, how fast, and how long it will take', () => {
  const progress = new VerifyProgress()
  assert.equal(progressWords(progress, 1), 'verify: listing')
  progress.expect(1200, 8e9)
  progress.doneItems = 12
  progress.doneBytes = 1e9
  progress.begin('job x')
  assert.equal(
    progressWords(progress, 10),
    'verify 12 of 1,200 · 1.0 GB of 8.0 GB · 100.0 MB/s · 1m 10s left · job x',
  )
})
