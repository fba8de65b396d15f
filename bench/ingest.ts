/**
 * Durable ingestion against a bare `ws` receiver, in turn, in one run: `node dist/bench/ingest.js [FRAMES] [ROUNDS]`.
 * The recorder is the real `mdv ingest` process with fsync every 200 ms and the sequence check on; it is done when its
 * durable counter has passed the last frame, not when it has read it.
 */

import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, ftruncateSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { cleanEnv } from './clean-env.ts'
import { machine, median, printTable, tell } from './report.ts'

const frames = Math.ceil(Number(process.argv[2] ?? 3_000_000) / 10_000) * 10_000
const rounds = Number(process.argv[3] ?? 5)
const frameBytes = 630
const script = (name: string): string => fileURLToPath(new URL(name, import.meta.url))

interface Run {
  readonly framesPerSecond: number
  readonly cpuSeconds: number
  readonly peakRssMb: number
}

/** Calls `take` with each line of JSON a child prints. */
function onJson(child: ChildProcess, take: (value: Record<string, number>) => void): void {
  createInterface({ input: child.stdout! }).on('line', (line) => {
    if (line.startsWith('{')) take(JSON.parse(line) as Record<string, number>)
  })
}

/** User and system time, and the resident peak, of a live process (Linux; zeros elsewhere). */
function usage(pid: number): { cpuSeconds: number; peakRssMb: number } {
  if (process.platform !== 'linux') return { cpuSeconds: 0, peakRssMb: 0 }
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const peak = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '0'
  return { cpuSeconds: (Number(fields[11]) + Number(fields[12])) / 100, peakRssMb: Number(peak) / 1024 }
}

interface Sender {
  readonly child: ChildProcess
  readonly port: number
  /** The receiver has subscribed; a second later the first frame is sent. */
  readonly subscribed: Promise<void>
  readonly firstMs: Promise<number>
}

async function startSender(): Promise<Sender> {
  const child = spawn(process.execPath, [script('feed-sender.js'), String(frames), String(frameBytes)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  let sent: (ms: number) => void
  let isHeard: () => void
  const firstMs = new Promise<number>((resolve) => (sent = resolve))
  const subscribed = new Promise<void>((resolve) => (isHeard = resolve))
  const port = await new Promise<number>((resolve) => {
    onJson(child, (value) => {
      if (value['port'] !== undefined) resolve(value['port'])
      if (value['subscribed'] !== undefined) isHeard()
      if (value['first_ms'] !== undefined) sent(value['first_ms'])
    })
  })
  return { child, port, subscribed, firstMs }
}

async function measure(
  start: (port: number) => { child: ChildProcess; done: Promise<number> },
): Promise<Run> {
  const sender = await startSender()
  const receiver = start(sender.port)
  const ended = Promise.race([endOf('sender', sender.child), endOf('receiver', receiver.child)])
  try {
    return await Promise.race([untilDone(sender, receiver), ended])
  } finally {
    ended.catch(() => undefined) // they are killed now
    const left = new Promise((resolve) => receiver.child.once('exit', resolve))
    receiver.child.kill('SIGKILL')
    sender.child.kill('SIGKILL')
    if (receiver.child.exitCode === null && receiver.child.signalCode === null) await left
  }
}

async function endOf(name: string, child: ChildProcess): Promise<never> {
  const code = await new Promise((resolve) => child.once('exit', resolve))
  throw new Error(`the ${name} ended with ${String(code)} before all was received`)
}

async function untilDone(
  sender: Sender,
  receiver: { child: ChildProcess; done: Promise<number> },
): Promise<Run> {
  await sender.subscribed
  const before = usage(receiver.child.pid!)
  const [firstMs, doneMs] = await Promise.all([sender.firstMs, receiver.done])
  const { cpuSeconds, peakRssMb } = usage(receiver.child.pid!)
  return {
    framesPerSecond: (frames / (doneMs - firstMs)) * 1000,
    cpuSeconds: cpuSeconds - before.cpuSeconds,
    peakRssMb,
  }
}

function bare(port: number): { child: ChildProcess; done: Promise<number> } {
  const child = spawn(
    process.execPath,
    [script('bare-receiver.js'), `ws://127.0.0.1:${port}/`, String(frames)],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  )
  return {
    child,
    done: new Promise((resolve) => onJson(child, (value) => resolve(value['done_ms'] ?? Number.NaN))),
  }
}

function recorder(
  baseDir: string,
  letPagesGo: (written: number) => void,
): (port: number) => { child: ChildProcess; done: Promise<number> } {
  return (port) => {
    const args = [
      script('../src/cli/main.js'),
      'ingest',
      '--watermark',
      '--base-dir',
      baseDir,
      '--product-ids',
      'BTC-USD',
      '--channels',
      'ticker',
      '--ws-url',
      `ws://127.0.0.1:${port}/`,
      '--rest-url',
      `http://127.0.0.1:${port}`,
      '--queue-max-mb',
      '2000',
    ]
    const child = spawn(process.execPath, args, {
      cwd: baseDir,
      env: cleanEnv(),
      stdio: ['pipe', 'pipe', 'ignore'],
    })
    const done = new Promise<number>((resolve) => {
      createInterface({ input: child.stdout }).on('line', (line) => {
        const durable = /durable_n\D+(\d+)/.exec(line)?.[1]
        if (durable === undefined) return
        if (Number(durable) >= frames) resolve(Date.now())
        letPagesGo(Number(durable))
      })
    })
    return { child, done }
  }
}

interface HeldPages {
  /** To be told how many frames are written. */
  readonly letGo: (written: number) => void
  readonly close: () => void
}

/**
 * A recorder that has run for a while writes into memory that the machine has in use. A virtual machine that gives free memory back
 * pays for it again at the first touch: three to five times what the copying costs, and no property of the recorder. So a file
 * holds as much memory as will be written, and lets go of it a little ahead of the recorder.
 */
function holdPages(folder: string): HeldPages {
  const lineBytes = frameBytes + 110
  const aheadBytes = 256 * 1024 * 1024
  const file = openSync(join(folder, 'held'), 'w')
  const piece = Buffer.alloc(1024 * 1024)
  let heldBytes = 0
  while (heldBytes < frames * lineBytes) heldBytes += writeSync(file, piece)
  return {
    letGo: (written) => ftruncateSync(file, Math.max(0, heldBytes - written * lineBytes - aheadBytes)),
    close: () => closeSync(file),
  }
}

async function main(): Promise<void> {
  const runs = { bare: [] as Run[], durable: [] as Run[] }
  for (let round = 0; round < rounds; round++) {
    runs.bare.push(await measure(bare))
    const baseDir = mkdtempSync(join(tmpdir(), 'mdv-bench-'))
    const pages = holdPages(baseDir)
    try {
      runs.durable.push(await measure(recorder(baseDir, pages.letGo)))
    } finally {
      pages.close()
      rmSync(baseDir, { recursive: true, force: true })
    }
  }
  const rows = Object.entries(runs).map(([name, all]) => {
    const perSecond = median(all.map((run) => run.framesPerSecond))
    const cpu = median(all.map((run) => run.cpuSeconds))
    return [
      name,
      Math.round(perSecond).toLocaleString('en'),
      ((perSecond * frameBytes) / 1e6).toFixed(0),
      cpu.toFixed(2),
      median(all.map((run) => run.peakRssMb)).toFixed(0),
    ]
  })
  const ratio = median(runs.durable.map((run, i) => run.framesPerSecond / runs.bare[i]!.framesPerSecond))
  process.stdout.write(
    `durable ingestion against a bare ws receiver: ${frames} frames of ${frameBytes} bytes, medians of ${rounds}\n${machine()}\n`,
  )
  printTable(['receiver', 'frames/s', 'MB/s', 'CPU s', 'peak RSS MB'], rows)
  process.stdout.write(`ratio durable / bare (pair by pair, median): ${ratio.toFixed(2)}\n`)
  tellOf('durable ingestion of 630-byte frames', 0.65, (run) => run.framesPerSecond)
  if (runs.bare.every((run) => run.cpuSeconds > 0))
    tellOf('the same for each second of processor time', 0.5, (run) => frames / run.cpuSeconds)

  function tellOf(name: string, least: number, of: (run: Run) => number): void {
    tell({
      name,
      unit: 'frames/s',
      value: median(runs.durable.map(of)),
      reference: median(runs.bare.map(of)),
      ratio: median(runs.durable.map((run, i) => of(run) / of(runs.bare[i]!))),
      goal: { least, of: 'ratio' },
    })
  }
}

await main()
