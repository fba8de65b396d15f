#!/usr/bin/env node
/** `mdv`: parses the command line, runs one command, ends with its exit code. */

import type { CommandContext, ExitCode } from './command.ts'
import type { Config } from './config.ts'
import { endingOf } from './exit-codes.ts'
import { makeOutput, printable } from './output.ts'
import { parseCommandLine, type Invocation } from './parser.ts'
import { listenForStop, type Stopping } from './signals.ts'
import { systemClock } from './system-clock.ts'

const isDebug = (process.env['MDV_DEBUG'] ?? '') !== ''

await main()

async function main(): Promise<void> {
  process.on('uncaughtException', endWith)
  process.on('unhandledRejection', endWith)
  try {
    const invocation = await parseCommandLine(process.argv.slice(2))
    process.exitCode =
      'answer' in invocation ? await printAnswer(invocation.answer) : await runCommand(invocation)
  } catch (error) {
    endWith(error)
  }
  // Not by itself: DuckDB's threads or a socket in time-out would keep the process for nothing.
  process.exit()
}

/** Nothing can be waited for here: the process may be in any state. */
function endWith(error: unknown): never {
  const { code, words } = endingOf(error, isDebug)
  process.stderr.write(printable(words))
  process.exit(code)
}

/** `mdv` alone shows help too, but is not what anyone meant. */
async function printAnswer(answer: string): Promise<ExitCode> {
  const output = makeOutput(process.stdout, process.stderr, {
    env: process.env,
    isPlain: true,
    onReaderGone: () => undefined,
  })
  await output.out(answer)
  return process.argv.length > 2 ? 0 : 2
}

async function runCommand(invocation: Invocation): Promise<ExitCode> {
  const isSupervised = process.env['MDV_SUPERVISED'] === '1'
  const stopping = listenForStop(isSupervised, (words) => process.stderr.write(words))
  let isReaderGone = false
  const output = makeOutput(process.stdout, process.stderr, {
    env: process.env,
    isPlain: invocation.isPlain,
    onReaderGone() {
      isReaderGone = true
      stopping.stop(0)
    },
  })
  const context: CommandContext = {
    clock: systemClock,
    random: Math.random,
    env: process.env,
    output,
    signal: stopping.signal,
    config: configOnce(invocation, (words) => output.err(words)),
    options: invocation.options,
    args: invocation.args,
    json: invocation.isJson,
  }
  try {
    return await invocation.command.run(context)
  } catch (error) {
    return interruptedCode(error, stopping, isReaderGone)
  }
}

/** A command that stopped because it was asked to has not failed. @throws `error` when it has */
function interruptedCode(error: unknown, stopping: Stopping, isReaderGone: boolean): ExitCode {
  const code = stopping.interruptedCode()
  const isAbort = error instanceof Error && (error.name === 'AbortError' || error === stopping.signal.reason)
  if (code === undefined || !isAbort) throw error
  return isReaderGone ? 0 : code
}

/** Configuration is read on the first call, so that a command without any pays nothing; its warnings are said once. */
function configOnce(invocation: Invocation, say: (words: string) => void): () => Promise<Config> {
  let loading: Promise<Config> | undefined
  return () => (loading ??= load())

  async function load(): Promise<Config> {
    const { loadConfig } = await import('./config-load.ts')
    const { config, warnings } = await loadConfig({
      path: invocation.configPath ?? process.env['MDV_CONFIG'],
      env: process.env,
      flags: invocation.options,
      sections: invocation.command.sections,
    })
    for (const warning of warnings) say(`mdv: warning: ${warning}\n`)
    return config
  }
}
