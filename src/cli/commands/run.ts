/** `mdv run`: recorder and converter as processes of their own, so that a crash or a full heap in one never delays the other. */

import type { Command, CommandContext, ExitCode } from '../command.ts'
import { mdvArgv, startChild, type Child, type ChildPlan } from '../child.ts'
import { childEnv } from '../child-settings.ts'
import { supervise } from '../supervise.ts'
import { placeName } from '../../storage/place.ts'

/** How long the last conversion may take after the recorder has stopped; what is left waits for the next start. */
const lastConversionMs = 30_000

export const command: Command = {
  name: 'run',
  summary: 'record and convert until Ctrl-C, each in a process of its own that is restarted when it crashes',
  example: 'mdv run --product-ids BTC-USD,ETH-USD --base-dir ./data',
  sections: ['coinbase', 'ingestion', 'etl', 'storage'],

  async run(context): Promise<ExitCode> {
    const config = await context.config()
    const env = childEnv(context.env, context.options)
    const start = (plan: ChildPlan): Child => startChild(plan, lineHandler(context, plan.name))
    const say = (name: string, words: string): void => tell(context, name, words)
    const json = context.json ? ['--json'] : []
    const ingest: ChildPlan = { name: 'ingest', argv: mdvArgv(['ingest', ...json]), env }
    const etl = (mode: '--watch' | '--once'): ChildPlan => ({
      name: 'etl',
      argv: mdvArgv(['etl', mode, ...json]),
      env,
    })
    const compact: ChildPlan = { name: 'compact', argv: mdvArgv(['compact', '--watch', ...json]), env }
    say('run', `recording into ${placeName(config.storage.ingestion)}; Ctrl-C finishes and ends`)
    const code = await supervise(
      { clock: context.clock, random: context.random, start, say },
      [ingest, etl('--watch'), ...(config.etl.compact ? [compact] : [])],
      context.signal,
    )
    if (code !== 0) return asExitCode(code)
    say('run', 'converting what was recorded last')
    return asExitCode(await convertLast(context, start(etl('--once'))))
  },
}

async function convertLast(context: CommandContext, child: Child): Promise<number> {
  const timer = context.clock.after(lastConversionMs, () => {
    tell(context, 'run', 'the rest is converted at the next start')
    child.drain()
  })
  const { code } = await child.exited
  timer.cancel()
  // Interrupted by us: what it had begun is taken up by whoever comes next.
  return code === 143 ? 0 : (code ?? 1)
}

function lineHandler(context: CommandContext, name: string): (text: string, stream: 'out' | 'err') => void {
  return (text, stream) => {
    if (stream === 'err') context.output.err(`${name.padEnd(7)} | ${text}\n`)
    else void context.output.out(context.json ? markedJson(name, text) : `${name.padEnd(7)} | ${text}\n`)
  }
}

/** A child's line of JSON with the child's name before its own keys; any other line as text. */
function markedJson(name: string, text: string): string {
  const mark = `{"process":${JSON.stringify(name)},`
  return /^\{.+\}$/.test(text) ? `${mark}${text.slice(1)}\n` : `${mark}"text":${JSON.stringify(text)}}\n`
}

function tell(context: CommandContext, name: string, words: string): void {
  context.output.err(`${'run'.padEnd(7)} | ${name === 'run' ? '' : `${name} `}${words}\n`)
}

const exitCodes: readonly ExitCode[] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 130, 143]

function asExitCode(code: number): ExitCode {
  return exitCodes.find((known) => known === code) ?? 1
}
