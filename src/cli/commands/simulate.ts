/** `mdv simulate`: a venue on this machine, with faults on demand, to try a recorder without a network. */

import { formatBytes } from '../../core/bytes.ts'
import { VaultError } from '../../core/errors.ts'
import { parseFaultChances, parseFaultKinds } from '../../simulator/faults.ts'
import { type Simulator, type SimulatorOptions, startSimulator } from '../../simulator/simulator.ts'
import type { Command, CommandContext, ExitCode } from '../command.ts'
import { readPort } from '../option-port.ts'

const progressEveryMs = 1_000
/** Where no terminal rewrites the line. */
const plainProgressEveryMs = 5_000

export const command: Command = {
  name: 'simulate',
  summary: 'a venue on this machine that speaks the real protocol, with faults on demand',
  example: 'mdv simulate --port 8080 --products 20 --faults all',
  sections: [],

  configure(parser) {
    parser
      .option('--port <port>', 'TCP port of 127.0.0.1; 0 takes any free one', '0')
      .option('--rate <frames>', 'frames a second over all products', '20000')
      .option('--products <count or ids>', 'how many products, or their ids with commas between', '20')
      .option('--seed <n>', 'the same seed gives the same market', '1')
      .option(
        '--unconflated',
        'no 50 ms conflation: the rate is met whatever it is (with it, some 30 a second and product)',
      )
      .option('--book-depth <levels>', 'levels a side (default: realistic, BTC-USD in 5 MB)')
      .option('--faults <kinds>', 'all, or kinds with commas between, struck at random')
      .option('--fault-rate <n>', 'random faults a second', '0.2')
      .option('--fault <kind=chance>', 'strikes each frame with this chance: drop=0.001,reset=0.00001')
      .option('--message-limit <n>', 'more messages of clients than this in a second are refused')
      .option(
        '--account-frames <n>',
        'frames of a connection the account keeps one by one (default: 10000000)',
      )
      .option('--seconds <n>', 'stop after so many seconds')
  },

  async run(context): Promise<ExitCode> {
    const seconds = context.options['seconds']
    const untilMs =
      seconds === undefined
        ? Number.POSITIVE_INFINITY
        : context.clock.monotonicMs() + 1000 * readNumber('--seconds', seconds, 0)
    const simulator = await startSimulator(readOptions(context), { clock: context.clock })
    try {
      await context.output.out(greeting(simulator, context.json))
      await untilStopped(context, simulator, untilMs)
    } finally {
      await simulator.close()
    }
    return 0
  },
}

function readOptions(context: CommandContext): SimulatorOptions {
  const { options } = context
  const depth = options['bookDepth']
  const faults = options['faults']
  const fault = options['fault']
  const messages = options['messageLimit']
  const kept = options['accountFrames']
  return {
    port: readPort(options['port']),
    products: readProducts(String(options['products'])),
    framesPerSecond: readNumber('--rate', options['rate'], 0),
    unconflated: options['unconflated'] === true,
    seed: readNumber('--seed', options['seed'], 0),
    faultRate: readNumber('--fault-rate', options['faultRate'], 0),
    ...(depth === undefined ? {} : { bookDepth: readNumber('--book-depth', depth, 1) }),
    ...(typeof faults === 'string' ? { faults: parseFaultKinds(faults) } : {}),
    ...(typeof fault === 'string' ? { faultChances: parseFaultChances(fault) } : {}),
    ...(messages === undefined ? {} : { messagesPerSecondMax: readNumber('--message-limit', messages, 1) }),
    ...(kept === undefined ? {} : { accountFramesMax: readNumber('--account-frames', kept, 0) }),
  }
}

function readProducts(text: string): number | string[] {
  return /^\d+$/.test(text) ? readNumber('--products', text, 1) : text.split(',').map((id) => id.trim())
}

function readNumber(flag: string, given: unknown, min: number): number {
  const text = String(given).trim()
  const value = text === '' ? Number.NaN : Number(text)
  if (Number.isFinite(value) && value >= min) return value
  throw new VaultError('usage', `${flag} ${JSON.stringify(given)}: not a number of at least ${min}`)
}

function greeting(simulator: Simulator, isJson: boolean): string {
  const { wsUrl, restUrl, controlUrl, port } = simulator
  if (isJson)
    return JSON.stringify({ ws_url: wsUrl, rest_url: restUrl, control_url: controlUrl, port }) + '\n'
  return `websocket  ${wsUrl}\nproducts   ${restUrl}\ncontrol    ${controlUrl}\nrecord it  mdv run --ws-url ${wsUrl} --rest-url ${restUrl}\n`
}

async function untilStopped(context: CommandContext, simulator: Simulator, untilMs: number): Promise<void> {
  const { clock, output, signal } = context
  const everyMs = output.isTerminal ? progressEveryMs : plainProgressEveryMs
  let framesBefore = 0
  let beforeMs = clock.monotonicMs()
  while (!signal.aborted) {
    const leftMs = untilMs - clock.monotonicMs()
    if (leftMs <= 0) return
    await pause(context, Math.min(leftMs, everyMs))
    const { open, frames } = simulator.totals()
    const nowMs = clock.monotonicMs()
    const rate = Math.round(((frames - framesBefore) * 1000) / Math.max(1, nowMs - beforeMs))
    const text = `${open} connections, ${rate} frames/s, ${frames} frames, ${formatBytes(process.memoryUsage().rss)}`
    if (output.isTerminal) output.err(`\r${text} \u001b[K`)
    else if (!context.json) output.err(`${text}\n`)
    framesBefore = frames
    beforeMs = nowMs
  }
}

/** Sleeps, or less when the command is stopped. */
async function pause(context: CommandContext, delayMs: number): Promise<void> {
  try {
    await context.clock.sleep(delayMs, context.signal)
  } catch (error) {
    if (!context.signal.aborted) throw error
  }
}
