/** `mdv query`: SQL over what is committed, while recording and conversion go on. */

import { randomBytes } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { constants, setPriority, totalmem } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { VaultError, systemCode } from '../../core/errors.ts'
import { progressWords } from '../../query/fetch-words.ts'
import type { OutputFormat, RowPrinter } from '../../query/output.ts'
import type { RowSink } from '../../query/run.ts'
import { snippet, snippetKinds } from '../../query/snippet.ts'
import type { Command, CommandContext, ExitCode } from '../command.ts'
import type { Config } from '../config.ts'
import { openForReading } from '../open-reading.ts'

/** Below it receipts are read as fast. */
const indexFromParts = 5000
const formats: readonly OutputFormat[] = ['table', 'json', 'ndjson', 'csv', 'markdown']

export const command: Command = {
  name: 'query',
  summary: 'ask in SQL: ticker, level2, market_trades, other, gaps, segments',
  example: `mdv query "SELECT product_id, count(*) FROM market_trades_unique GROUP BY ALL" --output csv`,
  sections: ['storage'],

  configure(parser) {
    parser
      .argument('[sql]', 'one or more statements; - reads them from standard input')
      .option('--output <format>', `${formats.join(', ')} (default: table)`)
      .option('--limit-rows <n>', 'rows a table shows; other formats print all', '200')
      .option(
        '--memory-limit-mb <n>',
        'memory DuckDB may use (default: a quarter of the machine, at most 4096)',
      )
      .option(
        '--snippet <program>',
        `instead: code that reads this vault's Parquet from ${snippetKinds.join(', ')}`,
      )
      .option(
        '--allow-files',
        'let SQL read and write other files of yours; without it, it sees the views only',
      )
  },

  async run(context): Promise<ExitCode> {
    const isForOthers = context.options['snippet'] !== undefined
    const given = context.args[0]
    if (given === undefined && !isForOthers)
      throw new VaultError('usage', "missing required argument 'sql'", {
        remedy: 'mdv query "SELECT count(*) FROM level2"',
      })
    const config = await context.config()
    if (given === undefined || isForOthers) return printSnippet(context, config)
    const format = formatOf(context)
    const rowsMax = positiveInteger(context.options['limitRows'], '--limit-rows')
    const sql = given === '-' ? await text(process.stdin) : given
    giveWay()
    const store = await openForReading(context, config.storage)
    const scratchDir = join(await store.scratch('query'), randomBytes(6).toString('hex'))
    const { runQuery } = await import('../../query/run.ts')
    const { makePrinter } = await import('../../query/output.ts')
    const terminalColumns = context.output.isOutTerminal ? context.output.columns : null
    const sink = printingSink(context, (names) => makePrinter(format, names, { rowsMax, terminalColumns }))
    try {
      const learn = await runQuery(
        store,
        'coinbase',
        sql,
        {
          memoryLimitMb: memoryLimit(context),
          scratchDir,
          indexFromParts,
          allowFiles: context.options['allowFiles'] === true,
        },
        sink,
        context.signal,
      )
      await sink.end()
      await learn()
    } finally {
      await rm(scratchDir, { recursive: true, force: true })
    }
    return 0
  },
}

async function printSnippet(context: CommandContext, { storage, etl }: Config): Promise<ExitCode> {
  const given = String(context.options['snippet'])
  const kind = snippetKinds.find((each) => each === given)
  if (kind === undefined)
    throw new VaultError('usage', `--snippet ${given}: not a program mdv writes code for`, {
      remedy: `one of ${snippetKinds.join(', ')}`,
    })
  const region = context.env['AWS_REGION'] ?? context.env['AWS_DEFAULT_REGION'] ?? null
  await context.output.out(snippet(kind, storage.processed, region, 'coinbase', etl.number_type))
  return 0
}

interface PrintingSink extends RowSink {
  end(): Promise<void>
}

function printingSink(context: CommandContext, make: (names: readonly string[]) => RowPrinter): PrintingSink {
  let printer: RowPrinter | undefined
  const print = async (words: string): Promise<void> => {
    if (words !== '') await context.output.out(words)
  }
  const clearLine = context.output.isTerminal ? '\r\u001b[K' : ''
  return {
    note: (words) => context.output.err(`${clearLine}${words}\n`),
    fetching: (progress) => {
      if (context.output.isTerminal) context.output.err(`\r\u001b[K${progressWords(progress)}`)
    },
    async begin(names) {
      printer = make(names)
      await print(printer.begin())
    },
    async rows(rows) {
      await print(printer!.rows(rows))
      return !printer!.isFull()
    },
    async end() {
      await print(printer!.end())
    },
  }
}

function formatOf(context: CommandContext): OutputFormat {
  const given = context.options['output']
  if (typeof given !== 'string') return context.json ? 'json' : 'table'
  const format = formats.find((each) => each === given)
  if (format === undefined)
    throw new VaultError('usage', `--output ${given}: not a format`, {
      remedy: `one of ${formats.join(', ')}`,
    })
  return format
}

function memoryLimit(context: CommandContext): number {
  const given = context.options['memoryLimitMb']
  if (given !== undefined) return positiveInteger(given, '--memory-limit-mb')
  return Math.max(256, Math.min(4096, Math.floor(totalmem() / 4_000_000)))
}

function positiveInteger(value: unknown, flag: string): number {
  const number = Number(value)
  if (Number.isSafeInteger(number) && number > 0) return number
  throw new VaultError('usage', `${flag} ${String(value)}: not a whole number above 0`)
}

/** A question waits for the recorder, never the other way round. */
function giveWay(): void {
  try {
    setPriority(constants.priority.PRIORITY_BELOW_NORMAL)
  } catch (error) {
    // Some sandboxes forbid it; the question is then asked at ordinary priority.
    if (systemCode(error) === undefined) throw error
  }
}
