/**
 * How many frames a second the simulator makes, and what one costs it. The client is a process of its own and only counts.
 *
 * argv: RATES with commas between (frames a second; default 20000,400000). Prints one JSON line each.
 */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { WebSocket } from 'ws'
import { systemClock } from '../src/cli/system-clock.ts'
import { startSimulator } from '../src/simulator/simulator.ts'

const warmUpMs = 2000
const measuredMs = 4000

if (process.argv[2] === 'client') count(process.argv[3] ?? '')
else for (const rate of (process.argv[2] ?? '20000,400000').split(',')) await measure(Number(rate))

function count(url: string): void {
  const socket = new WebSocket(url, { perMessageDeflate: false, skipUTF8Validation: true })
  socket.on('open', () => {
    for (const channel of ['level2', 'market_trades', 'ticker', 'heartbeats'])
      socket.send(JSON.stringify({ type: 'subscribe', channel }))
  })
  socket.on('message', () => undefined)
  socket.on('close', () => process.exit(0))
}

async function measure(framesPerSecond: number): Promise<void> {
  const simulator = await startSimulator(
    { products: 20, framesPerSecond, unconflated: true, seed: 1, bookDepth: 300 },
    { clock: systemClock },
  )
  const client = spawn(process.execPath, [fileURLToPath(import.meta.url), 'client', simulator.wsUrl], {
    stdio: 'inherit',
  })
  await sleep(warmUpMs)
  const cpu = process.cpuUsage()
  const startMs = performance.now()
  const { frames } = simulator.totals()
  await sleep(measuredMs)
  const made = simulator.totals().frames - frames
  const used = process.cpuUsage(cpu)
  const line = {
    target: framesPerSecond,
    frames_per_second: Math.round((made * 1000) / (performance.now() - startMs)),
    cpu_us_per_frame: Number(((used.user + used.system) / made).toFixed(2)),
  }
  process.stdout.write(JSON.stringify(line) + '\n')
  await simulator.close()
  await once(client, 'exit')
}

async function sleep(ms: number): Promise<void> {
  await systemClock.sleep(ms, new AbortController().signal)
}
