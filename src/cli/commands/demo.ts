/** `mdv demo`: everything at once against the built-in simulator, and a report in which three accounts must agree. */

import { readdir, writeFile } from 'node:fs/promises'
import { join, relative, resolve } from 'node:path'
import { formatBytes } from '../../core/bytes.ts'
import { messageOf, systemCode, VaultError } from '../../core/errors.ts'
import { makeFolders } from '../../storage/disk.ts'
import { listAll } from '../../storage/object-store.ts'
import type { Command, CommandContext, ExitCode } from '../command.ts'
import { bucketPlace, folderPlace, type DemoPlace } from '../demo/place.ts'
import { Pipeline, type PipelineState } from '../demo/pipeline.ts'
import { count, equalities, reportText, type DemoResult } from '../demo/report.ts'
import { treeText } from '../demo/tree.ts'

export const command: Command = {
  name: 'demo',
  summary:
    'record, convert and query a simulated exchange, then prove that nothing was lost; no network, no key',
  example: 'mdv demo --seconds 60 --rate 50000',
  sections: ['storage'],

  configure(parser) {
    parser
      .option('--seconds <n>', 'how long to record', '15')
      .option('--rate <n>', 'frames a second the simulated exchange sends', '20000')
      .option('--products <n>', 'how many products', '20')
      .option('--dir <path>', 'folder for the data, new or empty (default: mdv-demo/<time>)')
      .option(
        '--storage <where>',
        'local, or s3: the bucket of the configuration, under a prefix of its own',
        'local',
      )
      .option('--keep', 'keep the raw segments too, compressed, after conversion')
  },

  async run(context): Promise<ExitCode> {
    const options = readOptions(context)
    const startedMs = context.clock.monotonicMs()
    await makeFolder(options.folder)
    const place = await placeOf(context, options)
    const result = await perform(context, options, place)
    const holds = equalities(result).every((each) => each.holds)
    if (context.json) {
      await context.output.out(JSON.stringify({ ...result, folder: options.folder, holds }, null, 2) + '\n')
      return holds ? 0 : 6
    }
    const seconds = (context.clock.monotonicMs() - startedMs) / 1000
    await context.output.out(reportText(result, context.output.useColor))
    await context.output.out(await closingWords(context, options.folder, place, seconds))
    return holds ? 0 : 6
  },
}

interface DemoOptions {
  readonly seconds: number
  readonly framesPerSecond: number
  readonly products: number
  readonly folder: string
  readonly keepsRaw: boolean
}

/** @throws {VaultError} `usage` for another word, what opening a bucket throws */
async function placeOf(context: CommandContext, { folder }: DemoOptions): Promise<DemoPlace> {
  const where = context.options['storage']
  if (where === 'local') return folderPlace(context, folder)
  if (where === 's3') return bucketPlace(context, await context.config(), folder)
  throw new VaultError('usage', `--storage ${JSON.stringify(where)}: neither local nor s3`)
}

function readOptions({ options, clock }: CommandContext): DemoOptions {
  const time = new Date(clock.nowMs()).toISOString().slice(0, 19).replaceAll(/[-:]/g, '')
  const folder = options['dir']
  return {
    seconds: readNumber('--seconds', options['seconds'], 1, 86_400),
    framesPerSecond: readNumber('--rate', options['rate'], 1, 1_000_000),
    products: readNumber('--products', options['products'], 1, 500),
    folder: resolve(typeof folder === 'string' ? folder : join('mdv-demo', time)),
    keepsRaw: options['keep'] === true,
  }
}

function readNumber(flag: string, given: unknown, min: number, max: number): number {
  const value = Number(given)
  if (Number.isInteger(value) && value >= min && value <= max) return value
  throw new VaultError('usage', `${flag} ${String(given)}: not a whole number from ${min} to ${max}`)
}

async function makeFolder(folder: string): Promise<void> {
  try {
    await makeFolders(folder)
    if ((await readdir(folder)).length === 0) return
  } catch (error) {
    const isFile = ['EEXIST', 'ENOTDIR'].includes(systemCode(error) ?? '')
    throw new VaultError(
      'preflight',
      isFile ? `${folder}: a file is in the way` : `${folder}: ${messageOf(error)}`,
      {
        cause: error,
        remedy: 'name a folder that can be made with --dir',
      },
    )
  }
  throw new VaultError('preflight', `${folder}: not empty`, { remedy: 'name a new folder with --dir' })
}

/** Small segments, so that conversion begins while recording goes on. */
const segmentMb = 32
const segmentSeconds = 5
/** Nothing converted for this long: something is wrong, and the report says so. */
const patienceMs = 60_000

async function perform(context: CommandContext, options: DemoOptions, place: DemoPlace): Promise<DemoResult> {
  const { clock, signal } = context
  const { folder, framesPerSecond, products, seconds } = options
  const say = progressLine(context)
  const { env, countReady } = place
  const pipeline = new Pipeline(clock, { folder, framesPerSecond, products, env, countReady }, signal)
  try {
    say('starting the simulated exchange', true)
    await writeFile(join(folder, 'config.yaml'), '{}\n')
    const simulator = await pipeline.startSimulator()
    await writeFile(join(folder, 'config.yaml'), await configYaml(options, place, simulator))
    await pipeline.startRecording()
    const startedMs = clock.monotonicMs()
    for (let second = 0; second < seconds; second++) {
      say(stateWords(pipeline.state, `${second}/${seconds} s`), second % 5 === 0)
      await pipeline.wait(startedMs + (second + 1) * 1000 - clock.monotonicMs())
    }
    say('the exchange pauses; waiting until everything is on disk', true)
    const sent = await pipeline.settle(simulator.control_url)
    const recordedSeconds = (clock.monotonicMs() - startedMs) / 1000
    await pipeline.stopRecording()
    say('recorded; converting the rest', true)
    const segmentsLeft = await pipeline.finishConverting(patienceMs)
    say('counting', true)
    const { readFacts } = await import('../demo/facts.ts')
    const facts = await readFacts(await place.open(), signal)
    return { sent, recordedLines: pipeline.state.recordedLines ?? 0, recordedSeconds, segmentsLeft, facts }
  } finally {
    say('', false)
    await pipeline.end()
    if (signal.aborted) context.output.err(`stopped; what was recorded is in ${folder}\n`)
  }
}

async function configYaml(
  options: DemoOptions,
  place: DemoPlace,
  simulator: { readonly ws_url: string; readonly rest_url: string },
): Promise<string> {
  const { stringify } = await import('yaml')
  const settings = {
    coinbase: { ws_url: simulator.ws_url, rest_url: simulator.rest_url, product_ids: 'all' },
    ingestion: {
      segment_max_mb: segmentMb,
      segment_max_seconds: segmentSeconds,
      spool_dir: join(options.folder, 'spool'),
    },
    etl: { poll_interval_seconds: 0.5, archive: options.keepsRaw },
    storage: place.storage,
  }
  return `# Settings of one mdv demo; its exchange is gone.\n${stringify(settings)}`
}

function stateWords(state: PipelineState, time: string): string {
  return (
    `${time} · recording ${count(Math.round(state.framesPerSecond))} frames/s, ${formatBytes(Math.round(state.bytesPerSecond))}/s · ` +
    `${count(state.durableN)} lines durable (lag ${Math.round(state.durableLagMs)} ms) · ${count(state.convertedLines)} converted`
  )
}

/** One line redrawn on a terminal; elsewhere only what is worth a line. */
function progressLine({ output }: CommandContext): (words: string, isWorthALine: boolean) => void {
  return (words, isWorthALine) => {
    if (output.isTerminal) output.err(`\r\u001b[K${words.slice(0, output.columns - 1)}`)
    else if (isWorthALine) output.err(`${words}\n`)
  }
}

/** Five-second candles: enough to see in a demo of fifteen seconds. */
const candlesSql =
  `SELECT time_bucket(INTERVAL '5 seconds', time) AS t, first(price ORDER BY trade_id) AS open, max(price) AS high, min(price) AS low, ` +
  `last(price ORDER BY trade_id) AS close, sum(size) AS volume FROM market_trades_unique WHERE product_id = 'BTC-USD' AND NOT from_snapshot GROUP BY t ORDER BY t`

async function closingWords(
  context: CommandContext,
  folder: string,
  place: DemoPlace,
  seconds: number,
): Promise<string> {
  const { printAnswer } = await import('../demo/facts.ts')
  const mdv = context.env['npm_command'] === 'exec' ? 'npx mdv' : 'mdv'
  const shown = relative(process.cwd(), folder)
  const dir = shown.startsWith('..') || /\s/.test(shown) ? `"${folder}"` : shown
  const store = await place.open()
  const answer = await printAnswer(store, candlesSql, context.signal)
  const where = place.isBucket ? `--config ${dir}/config.yaml` : `--base-dir ${dir}`
  const tree = place.isBucket ? `\n${treeText(await listAll(store, '', context.signal))}` : ''
  return (
    `\nAll of it in ${seconds.toFixed(0)} s, in ${place.isBucket ? store.location : folder}\n${tree}\nTry next:\n` +
    `  ${mdv} query ${where} "${candlesSql}"\n\n${answer}\n` +
    `  ${mdv} status ${where}\n  ${mdv} verify ${where}\n`
  )
}
