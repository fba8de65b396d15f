/** `mdv init`: writes a commented configuration where none is. It never overwrites one. */

import { stat, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { createInterface, type Interface } from 'node:readline/promises'
import { messageOf, systemCode, VaultError } from '../../core/errors.ts'
import { makeFolders } from '../../storage/disk.ts'
import type { Command, CommandContext, ExitCode } from '../command.ts'
import { defaultConfigPath, loadConfig } from '../config-load.ts'
import { commentedYaml } from '../config-text.ts'
import { optionSpecs, type OptionSpec } from '../options.ts'
import { readText, type OptionValue } from '../option-value.ts'

export const command: Command = {
  name: 'init',
  summary: 'write a commented configuration file, asking two questions on a terminal',
  example: 'mdv init --yes --product-ids BTC-USD,SOL-USD --base-dir ~/market-data',
  sections: ['coinbase', 'ingestion', 'etl', 'storage', 'cost'],

  configure(parser) {
    parser.option('--yes', 'ask nothing')
  },

  async run(context): Promise<ExitCode> {
    const wanted = context.options['config'] ?? context.env['MDV_CONFIG']
    const path = typeof wanted === 'string' ? wanted : defaultConfigPath
    const given = await givenValues(context)
    const hasFlags = given.size > 0
    if (isInteractive(context) && !(await exists(path))) await ask(context, given)
    const isNew = await writeIfAbsent(path, exampleConfig(given))
    if (!isNew && hasFlags)
      throw new VaultError('usage', `${path} is there already: nothing was written`, {
        remedy: 'edit it, or name another file with --config',
      })
    context.output.err(isNew ? `wrote ${path}\n` : `${path} is there already: left as it is\n`)
    context.output.err('  → next: mdv doctor, then mdv run\n')
    return 0
  },
}

/** Lines that are not commented out even when nobody chose them: what a newcomer changes first. */
const alwaysWritten = ['coinbase.product_ids', 'coinbase.channels', 'storage.base_dir']

/** The text of a new configuration file, also kept as config/config.example.yaml. */
export function exampleConfig(given: ReadonlyMap<string, OptionValue>): string {
  const specs = optionSpecs.filter((spec) => spec.path.split('.').length === 2)
  const active = new Map(given)
  for (const spec of specs)
    if (alwaysWritten.includes(spec.path) && !active.has(spec.path)) active.set(spec.path, spec.default)
  return (
    '# Configuration of mdv. Lines that begin with # show the defaults. Every key: docs/configuration.md\n' +
    '# Check it with "mdv config validate"; "mdv config show --origin" prints what is in effect.\n\n' +
    commentedYaml(specs, active)
  )
}

/** What flags say; the environment stays where it is. */
async function givenValues(context: CommandContext): Promise<Map<string, OptionValue>> {
  const { settings } = await loadConfig({
    path: undefined,
    readFile: false,
    env: {},
    flags: context.options,
    sections: command.sections,
  })
  const chosen = settings.filter((setting) => setting.origin !== 'default')
  return new Map(chosen.map(({ spec, value }) => [spec.path, value]))
}

function isInteractive(context: CommandContext): boolean {
  return context.options['yes'] !== true && process.stdin.isTTY && context.output.isTerminal
}

async function ask(context: CommandContext, given: Map<string, OptionValue>): Promise<void> {
  const lines = createInterface({ input: process.stdin, output: process.stderr })
  try {
    for (const [path, question] of [
      ['storage.base_dir', 'Folder for the data'],
      ['coinbase.product_ids', 'Products to record (BTC-USD,ETH-USD … or all)'],
    ] as const) {
      const spec = optionSpecs.find((candidate) => candidate.path === path)!
      if (!given.has(path)) given.set(path, await answer(lines, spec, question, context.signal))
    }
  } finally {
    lines.close()
  }
}

async function answer(
  lines: Interface,
  spec: OptionSpec,
  question: string,
  signal: AbortSignal,
): Promise<OptionValue> {
  for (;;) {
    const text = await lines.question(`${question} [${String(spec.default)}]: `, { signal })
    if (text.trim() === '') return spec.default
    const read = readText(spec.type, text)
    if ('value' in read) return read.value
    process.stderr.write(`  ${read.problem}\n`)
  }
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}

/** @returns false when something is there already */
async function writeIfAbsent(path: string, text: string): Promise<boolean> {
  let isMade = false
  try {
    await makeFolders(dirname(path))
    isMade = true
    await writeFile(path, text, { flag: 'wx' })
    return true
  } catch (error) {
    if (isMade && systemCode(error) === 'EEXIST') return false
    throw new VaultError('preflight', `${path}: cannot be written: ${messageOf(error)}`, {
      cause: error,
      remedy: 'name another file with --config, or make the folder writable',
    })
  }
}
