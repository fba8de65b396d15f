/** The command line: commands from the registry, flags of configuration sections from the options table. */

import { Command as Parser, CommanderError, Option } from 'commander'
import { VaultError } from '../core/errors.ts'
import type { Command } from './command.ts'
import { exitCodeWords } from './exit-codes.ts'
import { envOf, optionSpecs, sectionOf, type OptionSpec } from './options.ts'
import { commands } from './registry.ts'
import { version } from './version.ts'

/** What a command line asks for. */
export interface Invocation {
  readonly command: Command
  readonly args: readonly string[]
  readonly options: Readonly<Record<string, unknown>>
  readonly configPath: string | undefined
  readonly isJson: boolean
  readonly isPlain: boolean
}

/** Words to print on stdout instead of running anything: help or version. */
export interface Answer {
  readonly answer: string
}

/** @param argv without node and script @throws {VaultError} `usage` with one line */
export async function parseCommandLine(argv: readonly string[]): Promise<Invocation | Answer> {
  let answer = ''
  let invocation: Invocation | undefined
  const root = makeRoot((text) => (answer += text))
  root.hook('preSubcommand', async (_, parser) => {
    const command = await loadCommand(parser.name())
    configure(parser, command)
    parser.action(() => {
      invocation = invocationOf(command, parser)
    })
  })
  try {
    await root.parseAsync(asHelpFlag(argv), { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    if (error.exitCode === 0 || error.code === 'commander.help') return { answer }
    throw usageError(error, argv)
  }
  return invocation ?? { answer: root.helpInformation() }
}

function makeRoot(print: (text: string) => void): Parser {
  const root = new Parser('mdv')
  quiet(root, print)
  root
    .description(
      'A flight recorder for market data: records a feed, turns it into Parquet, answers questions.',
    )
    .usage('<command> [options]')
    .version(version, '--version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .helpCommand(false)
    .option('--config <path>', 'configuration file (default: config/config.yaml where it exists)')
    .option('--json', 'output for machines')
    .option('--no-color', 'no colours (also NO_COLOR)')
    .addHelpText('after', rootHelp)
  for (const { name, summary } of commands) {
    quiet(root.command(name), print).description(summary).helpOption('-h, --help', 'print help')
  }
  return root
}

const rootHelp = `
Begin with:
  mdv demo                     record, convert and query a simulated exchange; no network, no key
  mdv init && mdv run          the real feed

Every setting: flag > environment (MDV_STORAGE_BASE_DIR) > file (config/config.yaml) > default; "mdv config show --origin".
Exit codes:
  ${exitCodeWords}
`

function quiet(parser: Parser, print: (text: string) => void): Parser {
  return parser
    .exitOverride()
    .configureOutput({ writeOut: print, writeErr: print, outputError: () => undefined })
    .configureHelp({ showGlobalOptions: true, helpWidth: Math.min(process.stdout.columns || 110, 140) })
}

/** `mdv help query` is `mdv query --help`. */
function asHelpFlag(argv: readonly string[]): readonly string[] {
  if (argv[0] !== 'help') return argv
  return argv.length === 1 ? ['--help'] : [argv[1]!, '--help']
}

async function loadCommand(name: string): Promise<Command> {
  const entry = commands.find((candidate) => candidate.name === name)!
  return entry.load()
}

function configure(parser: Parser, command: Command): void {
  command.configure?.(parser)
  for (const spec of optionSpecs) {
    const isWanted = command.sections.some((section) => section === sectionOf(spec))
    if (spec.flag === null || !isWanted) continue
    if (parser.options.some((own) => own.long === spec.flag)) continue
    for (const option of configOptions(spec, spec.flag)) parser.addOption(option)
  }
  parser.addHelpText('after', `\nExample:\n  ${command.example}`)
}

function configOptions(spec: OptionSpec, flag: string): Option[] {
  const words = `${spec.doc} [${String(spec.default ?? 'not set')}; ${envOf(spec)}]`
  const group = `Configuration (${sectionOf(spec)}):`
  if (spec.type.kind !== 'boolean') {
    const option = new Option(`${flag} <${valueName(spec)}>`, words).helpGroup(group)
    // Known, so that a configuration can name it already; of no use to a reader before there is S3.
    return [flag.startsWith('--s3-') || flag === '--backend' ? option.hideHelp() : option]
  }
  const off = new Option(flag.replace('--', '--no-'), `not ${flag}`).hideHelp()
  // Two options of one name: neither may bring a default, which would outrank environment and file.
  const on = new Option(flag, `${words}; off: --no-${flag.slice(2)}`).helpGroup(group)
  return [flag.startsWith('--s3-') ? on.hideHelp() : on, off]
}

function valueName(spec: OptionSpec): string {
  const { type } = spec
  if (type.kind === 'number' || type.kind === 'integer') return type.unit
  return type.kind === 'products' || type.kind === 'list' ? 'a,b' : type.kind
}

function invocationOf(command: Command, parser: Parser): Invocation {
  const global = parser.parent!.opts()
  return {
    command,
    args: parser.args,
    options: parser.optsWithGlobals(),
    configPath: typeof global['config'] === 'string' ? global['config'] : undefined,
    isJson: global['json'] === true,
    isPlain: global['color'] === false,
  }
}

/** Commander's `error: unknown option '--basedir'\n(Did you mean --base-dir?)` in our words. */
function usageError(error: CommanderError, argv: readonly string[]): VaultError {
  const words = error.message.replace(/^error: /, '').replace(/\s*\n\s*/g, ' ')
  const name = argv.find((arg) => commands.some((entry) => entry.name === arg))
  return new VaultError('usage', words, { remedy: `mdv ${name === undefined ? '' : `${name} `}--help` })
}
