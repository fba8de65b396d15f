/** `mdv doctor`: is everything there that a recorder needs? One line a check, with what to do where it is not. */

import { VaultError } from '../../core/errors.ts'
import type { Command, CommandContext, ExitCode } from '../command.ts'
import type { Check, Surroundings, Verdict } from '../doctor/check.ts'

export const command: Command = {
  name: 'doctor',
  summary: 'check configuration, folder, disk, bucket, clock and venue, each with its remedy',
  example: 'mdv doctor --json',
  sections: ['coinbase', 'ingestion', 'storage'],

  configure(parser) {
    parser.option('--policy', 'print the least IAM policy for the configured bucket, and check nothing')
  },

  async run(context): Promise<ExitCode> {
    if (context.options['policy'] === true) return printPolicy(context)
    const results = await examine(context)
    if (context.json) await context.output.out(JSON.stringify(results.map(resultJson), null, 2) + '\n')
    const failed = results.filter((result) => result.verdict.state === 'fail')
    if (failed.some((result) => result.of === 'configuration')) return 3
    if (failed.some((result) => result.of === 'machine')) return 4
    return failed.length > 0 ? 5 : 0
  },
}

async function printPolicy(context: CommandContext): Promise<ExitCode> {
  const { bucketsOf } = await import('../doctor/bucket.ts')
  const { leastPolicy } = await import('../doctor/policy.ts')
  const places = bucketsOf({ config: await context.config() })
  if (places.length === 0)
    throw new VaultError('config', 'mdv doctor --policy: no bucket is configured', {
      remedy: 'give --backend s3 --s3-bucket NAME, or set storage.backend',
    })
  await context.output.out(`${leastPolicy(places)}\n`)
  return 0
}

interface Result {
  readonly name: string
  readonly of: Check['of'] | 'configuration'
  readonly verdict: Verdict
}

async function examine(context: CommandContext): Promise<Result[]> {
  const results: Result[] = []
  const add = async (result: Result): Promise<void> => {
    results.push(result)
    if (!context.json) await context.output.out(resultText(result, context.output.useColor))
  }
  const around = await surroundings(context)
  if (!('config' in around)) {
    await add({ name: 'configuration', of: 'configuration', verdict: around })
    return results
  }
  await add({ name: 'configuration', of: 'configuration', verdict: { state: 'ok', words: 'valid' } })
  const { failedCheck, machineChecks } = await import('../doctor/machine.ts')
  const { venueChecks } = await import('../doctor/venue.ts')
  const { bucketChecks } = await import('../doctor/bucket.ts')
  for (const check of [...machineChecks, ...(await bucketChecks(around)), ...venueChecks]) {
    context.signal.throwIfAborted()
    const verdict = await check.run(around).catch(failedCheck)
    await add({ name: check.name, of: check.of, verdict })
  }
  return results
}

async function surroundings(context: CommandContext): Promise<Surroundings | Verdict> {
  try {
    const { clock, random, env, signal } = context
    return { config: await context.config(), clock, random, env, signal }
  } catch (error) {
    if (!(error instanceof VaultError) || error.kind !== 'config') throw error
    return { state: 'fail', words: error.message, remedy: error.remedy ?? 'correct the configuration' }
  }
}

const marks = { ok: '✓', warn: '!', fail: '✗' } as const
const colors = { ok: 32, warn: 33, fail: 31 } as const

function resultText({ name, verdict }: Result, useColor: boolean): string {
  const { state, words, remedy } = verdict
  const mark = useColor ? `\u001b[${colors[state]}m${marks[state]}\u001b[0m` : marks[state]
  const [first = '', ...rest] = words.split('\n')
  const lines = [`${mark} ${name.padEnd(14)} ${first}`, ...rest.map((line) => `${' '.repeat(17)}${line}`)]
  if (remedy !== undefined) lines.push(`${' '.repeat(17)}→ ${remedy}`)
  return lines.join('\n') + '\n'
}

function resultJson({ name, of, verdict }: Result): Record<string, unknown> {
  return { check: name, of, ...verdict }
}
