/**
 * Raw replay over HTTP against reading the same files through `http`: servers and reader are processes of their own, asked in turn.
 * `node dist/bench/replay.js [ROUNDS] [SEGMENTS]` with segments of 100 MB.
 */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { get } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { cleanEnv } from './clean-env.ts'
import { writeBenchSegment } from './etl-segment.ts'
import { machine, median, printTable, tell } from './report.ts'

const rounds = Number(process.argv[2] ?? 9)
const segments = Number(process.argv[3] ?? 5)
/** The best published figure of such a server known when this was written, on eight fast cores. */
const publishedPerSecond = 700_000

const script = (name: string): string => fileURLToPath(new URL(name, import.meta.url))

interface Server extends Disposable {
  readonly url: string
}

async function start(args: readonly string[]): Promise<Server> {
  const child = spawn(process.execPath, args, { env: cleanEnv(), stdio: ['ignore', 'pipe', 'inherit'] })
  const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string]
  return { url: /http:\S+/.exec(line)![0], [Symbol.dispose]: () => void child.kill('SIGKILL') }
}

/** @returns bytes read, and in how many milliseconds */
async function read(url: string): Promise<{ readonly sizeBytes: number; readonly ms: number }> {
  const from = performance.now()
  const asked = get(url, { agent: false })
  const [response] = (await once(asked, 'response')) as [AsyncIterable<Buffer>]
  let sizeBytes = 0
  for await (const chunk of response) sizeBytes += chunk.length
  return { sizeBytes, ms: performance.now() - from }
}

async function measure(dir: string): Promise<void> {
  const ready = join(dir, 'raw', 'ready', 'coinbase')
  await mkdir(ready, { recursive: true })
  const paths = Array.from({ length: segments }, (_, i) =>
    join(ready, `segment_20251203T14_0000${i + 1}.ndjson`),
  )
  let lines = 0
  for (const path of paths)
    lines += writeBenchSegment(path, { sizeBytes: 100_000_000, firstN: lines + 1, products: 20 })
  using bare = await start([script('replay-bare.js'), ...paths])
  using own = await start([script('../src/cli/main.js'), 'serve', '--port', '0', '--base-dir', dir])
  await read(bare.url)
  const pairs: { readonly own: number; readonly bare: number }[] = []
  for (let round = 0; round < rounds; round++) {
    const rate = async (url: string): Promise<number> => {
      const { sizeBytes, ms } = await read(url)
      if (sizeBytes < segments * 99_000_000) throw new Error(`${url}: ${sizeBytes} bytes came`)
      return sizeBytes / 1000 / ms
    }
    pairs.push({ bare: await rate(bare.url), own: await rate(own.url) })
  }
  report(pairs, lines)
}

function report(pairs: readonly { readonly own: number; readonly bare: number }[], lines: number): void {
  const own = median(pairs.map((pair) => pair.own))
  const bare = median(pairs.map((pair) => pair.bare))
  const ratio = median(pairs.map((pair) => pair.own / pair.bare))
  const perSecond = (lines / segments / 100) * own
  process.stdout.write(`${machine()}, ${segments} segments of 100 MB, ${lines} lines, medians of ${rounds}\n`)
  printTable(
    ['', 'MB/s', 'lines/s', 'of the reference'],
    [
      ['files through http', bare.toFixed(0), ((lines / segments / 100) * bare).toFixed(0), ''],
      ['mdv serve, /v1/replay', own.toFixed(0), perSecond.toFixed(0), ratio.toFixed(2)],
    ],
  )
  tell({
    name: 'raw replay over HTTP',
    unit: 'MB/s',
    value: own,
    reference: bare,
    ratio,
    goal: { least: 0.8, of: 'ratio' },
  })
  tell({
    name: 'lines replayed a second',
    unit: 'lines/s',
    value: perSecond,
    reference: publishedPerSecond,
    goal: { least: publishedPerSecond, of: 'value' },
  })
}

const dir = await mkdtemp(join(tmpdir(), 'mdv-bench-'))
try {
  await measure(dir)
} finally {
  await rm(dir, { recursive: true, force: true })
}
