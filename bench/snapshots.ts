/**
 * How long small frames wait behind snapshots of 5 MB on the same connection, at a recorder and at a bare `ws` client:
 * `node dist/bench/snapshots.js [SECONDS] [ROUNDS]`. The wait is up to the read that brings the frame, which is its receive time.
 */

import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createReadStream, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { SegmentScanner } from '../src/segment/scan.ts'
import { cleanEnv } from './clean-env.ts'
import { machine, median, printTable, tell } from './report.ts'
import { noteOf, waitsBehindSnapshots, type Note } from './snapshot-notes.ts'

const seconds = Number(process.argv[2] ?? 15)
const rounds = Number(process.argv[3] ?? 3)
const script = (name: string): string => fileURLToPath(new URL(name, import.meta.url))

/** @param port of the sender @param sent everything is handed over @returns what arrived */
type Receive = (port: number, sent: Promise<void>) => Promise<Note[]>

async function measure(receive: Receive): Promise<number[]> {
  const sender = spawn(process.execPath, [script('snapshot-sender.js'), String(seconds)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  try {
    const told = says(sender)
    const { port = 0 } = await told('port')
    const waits = waitsBehindSnapshots(
      await receive(
        port,
        told('frames').then(() => undefined),
      ),
    )
    if (waits.length < 100) throw new Error(`only ${waits.length} small frames came behind a snapshot`)
    return waits
  } finally {
    sender.kill('SIGKILL')
  }
}

type Said = Readonly<Record<string, number>>

/** @returns waits for the line of JSON that has a field, or fails when the child ends first */
function says(child: ChildProcess): (field: string) => Promise<Said> {
  const lines = createInterface({ input: child.stdout! })
  return (field) =>
    new Promise((resolve, reject) => {
      lines.on('line', (line) => {
        const said = JSON.parse(line) as Said
        if (said[field] !== undefined) resolve(said)
      })
      child.once('exit', () => reject(new Error(`the sender ended without saying "${field}"`)))
    })
}

/** Fails when the receiver ends before all was sent. */
async function whileRunning(child: ChildProcess, sent: Promise<void>): Promise<void> {
  const ended = new Promise<never>((_, reject) =>
    child.once('exit', (code) => reject(new Error(`the receiver ended with ${code}`))),
  )
  await Promise.race([sent, ended])
  // What was sent last is still on its way.
  await Promise.race([sleep(500), ended])
}

const bare: Receive = async (port, sent) => {
  const child = spawn(process.execPath, [script('snapshot-receiver.js'), `ws://127.0.0.1:${port}/`], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const answer = text(child.stdout)
  await whileRunning(child, sent)
  child.stdin.end()
  return JSON.parse(await answer) as Note[]
}

const recorder: Receive = async (port, sent) => {
  const baseDir = mkdtempSync(join(tmpdir(), 'mdv-bench-'))
  const child = spawn(process.execPath, recorderArgs(baseDir, port), {
    cwd: baseDir,
    env: cleanEnv(),
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  child.stderr.resume()
  try {
    await whileRunning(child, sent)
    const ended = once(child, 'exit')
    child.kill('SIGTERM')
    await ended
    return await recorded(join(baseDir, 'raw', 'ready', 'coinbase'))
  } finally {
    child.kill('SIGKILL')
    rmSync(baseDir, { recursive: true, force: true })
  }
}

function recorderArgs(baseDir: string, port: number): string[] {
  const where = [
    '--base-dir',
    baseDir,
    '--ws-url',
    `ws://127.0.0.1:${port}/`,
    '--rest-url',
    `http://127.0.0.1:${port}`,
  ]
  return [
    script('../src/cli/main.js'),
    'ingest',
    '--product-ids',
    'BTC-USD',
    '--channels',
    'ticker',
    ...where,
  ]
}

async function recorded(folder: string): Promise<Note[]> {
  const notes: Note[] = []
  const scanner = () =>
    new SegmentScanner({
      line({ kind, bytes, recvFrom, recvUntil, valueFrom, valueUntil }) {
        if (kind !== 'frame') return
        const readNs = BigInt(bytes.toString('latin1', recvFrom, recvUntil))
        const note = noteOf(bytes.subarray(valueFrom, valueUntil), readNs)
        if (note !== null) notes.push(note)
      },
    })
  for (const name of readdirSync(folder).sort()) {
    const one = scanner()
    for await (const chunk of createReadStream(join(folder, name))) one.push(chunk as Buffer)
    one.end()
  }
  return notes
}

const at = (sorted: readonly number[], share: number): number =>
  sorted[Math.trunc((sorted.length - 1) * share)]!

async function main(): Promise<void> {
  const runs = { bare: [] as number[][], recorder: [] as number[][] }
  for (let round = 0; round < rounds; round++) {
    runs.bare.push(await measure(bare))
    runs.recorder.push(await measure(recorder))
  }
  process.stdout.write(`${machine()}, snapshots of 5 MB among small frames, medians of ${rounds}\n`)
  const rows = Object.entries(runs).map(([name, all]) => [
    name,
    ...[0.5, 0.99, 1].map((share) => median(all.map((waits) => at(waits, share))).toFixed(1)),
    String(all.reduce((sum, waits) => sum + waits.length, 0)),
  ])
  printTable(['receiver', 'p50 ms', 'p99 ms', 'longest ms', 'frames behind snapshots'], rows)
  const [reference, value] = [runs.bare, runs.recorder].map((all) =>
    median(all.map((waits) => at(waits, 0.99))),
  )
  tell({
    name: 'small frames behind a 5 MB snapshot, p99',
    unit: 'ms',
    value: value!,
    reference: reference!,
    goal: { most: 20, of: 'value' },
  })
}

await main()
