/**
 * The real recorder, recovery and conversion, in which one system call fails: then a healthy run, and `mdv verify`. One place for each call
 * and fault, drawn with MDV_SEED from the first twenty, or MDV_SYSCALL_PLACES of them; MDV_SYSCALLS_ALL=1: every place.
 * MDV_SYSCALL_CASE=program/calls/fault/place, as a failure names it, repeats one.
 */

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { cpSync, existsSync, readdirSync, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { forEachAtOnce } from '../src/core/at-once.ts'
import { seededRandom } from '../src/core/random.ts'
import { utcHour } from '../src/core/time.ts'
import { Exchange } from './exchange.ts'
import { mdv, MdvProcess } from './processes.ts'
import { readReadySegments } from './segment-lines.ts'
import { TracedProcess, whyNoStrace, type Fault, type Injection } from './strace.ts'

const seed = Number(process.env['MDV_SEED'] ?? 1)
const isAll = process.env['MDV_SYSCALLS_ALL'] === '1'
const only = process.env['MDV_SYSCALL_CASE']
const placesOfEach = Number(process.env['MDV_SYSCALL_PLACES'] ?? 1)
const market = ['--rate', '400', '--products', '3', '--book-depth', '20']
/** The first ones: what a program does later it does again and again. */
const placesMax = 20

interface Calls {
  readonly name: string
  readonly calls: string
  readonly faults: readonly Fault[]
  /** Of the growing segments only: what writes to sockets and between threads must not be hit. */
  readonly ofSegments?: true
}

const names: readonly Calls[] = [
  { name: 'fdatasync', calls: 'fdatasync', faults: ['EIO', 'ENOSPC', 'kill'] },
  { name: 'fsync', calls: 'fsync', faults: ['EIO', 'kill'] },
  { name: 'link', calls: 'link,linkat', faults: ['EIO', 'ENOSPC', 'kill'] },
  { name: 'rename', calls: 'rename,renameat,renameat2', faults: ['EIO', 'ENOSPC', 'kill'] },
  { name: 'unlink', calls: 'unlink,unlinkat', faults: ['EIO', 'kill'] },
]
const segmentWrites: Calls = {
  name: 'write',
  calls: 'write,writev,pwrite64,pwritev',
  faults: ['EIO', 'ENOSPC', 'short', 'kill'],
  ofSegments: true,
}

interface Program {
  readonly name: 'ingest' | 'recover' | 'etl'
  readonly args: readonly string[]
  readonly calls: readonly Calls[]
  /** What was there before. */
  readonly origin: string
  /** Waits for the end, or brings it about. */
  readonly play: (process: TracedProcess) => Promise<void>
}

const recoverArgs = ['segments', 'recover', '--wait']
const etlArgs = ['etl', '--once']

function activePaths(baseDir: string): string[] {
  const hours = [0, 3_600_000].map((laterMs) => utcHour(Date.now() + laterMs))
  const counters = Array.from({ length: 8 }, (_, i) => String(i + 1).padStart(5, '0'))
  return hours.flatMap((hour) =>
    counters.map((counter) =>
      join(baseDir, 'raw', 'active', 'coinbase', `segment_${hour}_${counter}.ndjson`),
    ),
  )
}

/** Records over several segments; less if something ends it before. */
async function recordSegments(recorder: TracedProcess): Promise<void> {
  try {
    await recorder.line(/^durable_n=/)
    for (let i = 0; i < 9; i++) await recorder.next(/^durable_n=/)
    recorder.interrupt()
  } catch (error) {
    // It said no more and ended: by the fault.
    assert.ok(recorder.child.exitCode !== null || recorder.child.signalCode !== null, String(error))
  }
  await recorder.ended()
}

/** Every counter of every recorder, once; and each recorder's last one. */
function lastCounters(baseDir: string): number[] {
  // It ended before it recorded anything.
  if (!existsSync(join(baseDir, 'raw', 'ready', 'coinbase'))) return []
  const byRecorder = new Map<string, number[]>()
  for (const { recorder, frames, events, sealed, name } of readReadySegments(baseDir)) {
    assert.ok(sealed, name)
    const own = [...frames, ...events].map(({ n }) => n)
    byRecorder.set(recorder, [...(byRecorder.get(recorder) ?? []), ...own])
  }
  return [...byRecorder.values()].map((counters) => {
    const sorted = counters.sort((a, b) => a - b)
    assert.deepEqual(
      sorted,
      sorted.map((_, i) => i + 1),
      'each counter is there once',
    )
    return sorted.length
  })
}

/** Parts by name and bytes. */
function partsOf(baseDir: string): string[] {
  const folder = join(baseDir, 'processed')
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.parquet'))
    .map(
      (name) =>
        `${name} ${createHash('sha256')
          .update(readFileSync(join(folder, name)))
          .digest('hex')}`,
    )
    .sort()
}

/** A vault of its own for one run. */
async function vaultOf(program: Program, t: { after(undo: () => Promise<void>): void }): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'mdv-syscalls-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const baseDir = join(folder, 'vault')
  if (program.origin !== '') cpSync(program.origin, baseDir, { recursive: true })
  return baseDir
}

async function runOnce(
  program: Program,
  { calls, ofSegments }: Calls,
  fault: Injection['fault'],
  baseDir: string,
): Promise<TracedProcess> {
  const paths = ofSegments === true ? activePaths(baseDir) : null
  const args = [...program.args, '--base-dir', baseDir]
  const traced = new TracedProcess(args, { calls, paths, fault }, `${baseDir}.strace`)
  await program.play(traced)
  await traced.ended()
  return traced
}

interface Case {
  readonly program: Program
  readonly calls: Calls
  readonly kind: Fault
  readonly at: number
}

const nameOf = ({ program, calls, kind, at }: Case): string => [program.name, calls.name, kind, at].join('/')

/** @param expected parts of a conversion in which nothing failed @returns whether the call that was to fail came */
async function tryCase(one: Case, expected: readonly string[], cleanup: Cleanup): Promise<boolean> {
  const { program, calls, kind, at } = one
  const baseDir = await vaultOf(program, cleanup)
  const traced = await runOnce(program, calls, { kind, at }, baseDir)
  if (kind !== 'kill') assert.equal(traced.child.signalCode, null, 'it ended by itself')
  if (program.name !== 'etl') {
    await mdv(...recoverArgs, '--base-dir', baseDir)
    const watermark = traced.lines.findLast((line) => line.startsWith('durable_n='))
    const promised = Number(watermark?.slice('durable_n='.length) ?? 0)
    const [last = 0, ...others] = lastCounters(baseDir)
    assert.deepEqual(others, [], 'one recorder')
    assert.ok(last >= promised, `durable_n=${promised} was promised, ${last} lines are there`)
    if (program.name === 'recover') assert.ok(last > 0, 'something was recovered')
  }
  if (program.name === 'etl') {
    await mdv(...etlArgs, '--base-dir', baseDir)
    assert.deepEqual(partsOf(baseDir), expected)
  }
  await mdv('verify', '--base-dir', baseDir)
  return traced.isReached
}

interface Cleanup {
  after(undo: () => Promise<void>): void
}

/** Which of the calls, counted from 1, fail. */
function places(count: number, random: () => number): number[] {
  const all = Array.from({ length: isAll ? count : Math.min(count, placesMax) }, (_, i) => i + 1)
  if (isAll || all.length <= placesOfEach) return all
  return Array.from({ length: placesOfEach }, () => all.splice(Math.floor(random() * all.length), 1)[0]!)
}

const absent = whyNoStrace()
const isOptional = absent?.isAbsent === true && process.env['CI'] === undefined
if (absent !== null && isOptional)
  test('system calls that fail', (t) => t.skip(`NOT TESTED: ${absent.reason}; install strace`))
else
  test(`each write, sync, link and removal of the real programs fails once (MDV_SEED=${seed})`, async (t) => {
    assert.equal(absent, null, absent?.reason)
    const folder = await mkdtemp(join(tmpdir(), 'mdv-syscalls-'))
    t.after(() => rm(folder, { recursive: true, force: true }))
    const exchange = await Exchange.start(...market, '--seed', String(seed))
    t.after(() => exchange.stop())
    const programs = await preparePrograms(folder, exchange)
    const expected = await convertedParts(programs, folder)
    if (only === undefined) await tryFileSizes(programs, expected, t)
    const counts = only === undefined ? await countCalls(programs, t) : new Map<string, number>()
    const table: string[] = []
    const cases: Case[] = []
    const random = seededRandom(seed)
    for (const program of only === undefined ? programs : [])
      for (const calls of program.calls) {
        const count = counts.get(`${program.name} ${calls.name}`)!
        table.push(`${program.name} ${calls.name}: ${count} calls`)
        for (const kind of calls.faults)
          for (const at of places(count, random)) cases.push({ program, calls, kind, at })
      }
    const chosen = only === undefined ? cases : casesNamed(only, programs)
    let reached = 0
    await forEachAtOnce(chosen, 2, async (one) => {
      try {
        if (await tryCase(one, expected, t)) reached++
      } catch (cause) {
        const words = cause instanceof Error ? cause.message : String(cause)
        throw new Error(
          `${words}\nTo repeat this case: MDV_SYSCALL_CASE=${nameOf(one)} node --test dist/test-full/syscalls.test.js`,
          { cause },
        )
      }
    })
    for (const line of table) t.diagnostic(line)
    t.diagnostic(`${chosen.length} cases, in ${reached} the call that was to fail came`)
    assert.ok(reached >= chosen.length * 0.8, `only ${reached} of ${chosen.length} were reached`)
  })

/** By program and calls; calls that are told apart by their paths need a run of their own. */
async function countCalls(programs: readonly Program[], cleanup: Cleanup): Promise<Map<string, number>> {
  const counts = new Map<string, number>()
  for (const program of programs)
    for (const ofSegments of [true, undefined]) {
      const own = program.calls.filter((each) => each.ofSegments === ofSegments)
      if (own.length === 0) continue
      const all = own.map(({ calls }) => calls).join(',')
      const together: Calls = {
        name: 'all',
        calls: all,
        faults: [],
        ...(ofSegments === true ? { ofSegments } : {}),
      }
      const traced = await runOnce(program, together, null, await vaultOf(program, cleanup))
      for (const { name, calls } of own) counts.set(`${program.name} ${name}`, traced.countOf(calls))
    }
  return counts
}

/**
 * What a conversion writes goes to names that nobody knows beforehand, and its engine's threads write to pipes as well: so files may not grow
 * beyond a size. The write that crosses it is cut short, the next one fails.
 */
async function tryFileSizes(
  programs: readonly Program[],
  expected: readonly string[],
  cleanup: Cleanup,
): Promise<void> {
  const program = programs.find(({ name }) => name === 'etl')!
  for (const sizeBytes of [300, 3000]) {
    const baseDir = await vaultOf(program, cleanup)
    const limited = new MdvProcess(
      [...program.args, '--base-dir', baseDir],
      ['prlimit', `--fsize=${sizeBytes}`],
    )
    const code = await limited.ended()
    assert.ok(code !== null && code > 0, `with files of at most ${sizeBytes} bytes it ends with ${code}`)
    await mdv(...etlArgs, '--base-dir', baseDir)
    await mdv('verify', '--base-dir', baseDir)
    assert.deepEqual(partsOf(baseDir), expected, `files of at most ${sizeBytes} bytes`)
  }
}

function casesNamed(name: string, programs: readonly Program[]): Case[] {
  const [of, what, kind, at] = name.split('/')
  const program = programs.find((each) => each.name === of)
  const calls = program?.calls.find((each) => each.name === what)
  assert.ok(program !== undefined && calls !== undefined, `MDV_SYSCALL_CASE: ${name}`)
  return [{ program, calls, kind: kind as Fault, at: Number(at) }]
}

/** The three programs, each with what it begins from: nothing, a dead recorder's segments, sealed segments. */
async function preparePrograms(folder: string, exchange: Exchange): Promise<Program[]> {
  const flags = ['--watermark', '--segment-max-mb', '0.02', ...exchange.flags]
  const ingest: Program = {
    name: 'ingest',
    args: ['ingest', ...flags],
    calls: [segmentWrites, ...names],
    origin: '',
    play: recordSegments,
  }
  const play = async (): Promise<void> => undefined
  const dead = join(folder, 'dead')
  const killed = await runOnce(ingest, segmentWrites, { kind: 'kill', at: 6 }, dead)
  assert.ok(killed.isReached, 'a recorder was killed in the middle of a write')
  const sealed = join(folder, 'sealed')
  cpSync(dead, sealed, { recursive: true })
  await mdv(...recoverArgs, '--base-dir', sealed)
  return [
    ingest,
    { name: 'recover', args: recoverArgs, calls: [segmentWrites, ...names], origin: dead, play },
    { name: 'etl', args: etlArgs, calls: names, origin: sealed, play },
  ]
}

async function convertedParts(programs: readonly Program[], folder: string): Promise<string[]> {
  const { origin } = programs.find(({ name }) => name === 'etl')!
  const baseDir = join(folder, 'converted')
  cpSync(origin, baseDir, { recursive: true })
  await mdv(...etlArgs, '--base-dir', baseDir)
  return partsOf(baseDir)
}
