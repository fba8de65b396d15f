/** `mdv adopt`: brings in what someone already has. What is brought in is only read, never changed. */

import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { adoptedSegmentBytes, type AdoptDeps, type AdoptOutcome } from '../../query/adopt/adopt-run.ts'
import type { FolderOutcome } from '../../query/adopt/adopt-folder.ts'
import { namedMappings, parseMapping } from '../../query/adopt/mapping.ts'
import { formatBytes } from '../../core/bytes.ts'
import { systemCode, VaultError } from '../../core/errors.ts'
import { toJson } from '../../query/json.ts'
import type { Command, CommandContext, ExitCode } from '../command.ts'
import { software } from '../version.ts'
import { openVault } from '../open-vault.ts'

export const command: Command = {
  name: 'adopt',
  summary: 'bring in recordings of other tools (NDJSON, also .gz) and folders of Parquet',
  example: 'mdv adopt old/ticker-2024-06.ndjson.gz --mapping recorder-v0 --dry-run',
  sections: ['storage'],

  configure(parser) {
    const names = namedMappings.map((mapping) => mapping.name).join(', ')
    parser
      .argument('<path>', 'a file of lines, a folder of such files, or a folder of Parquet')
      .option('--mapping <name>', `${names}, or raw=PATH,recv=PATH,unit=ns|us|ms|s|iso`, 'bare')
      .option('--name <name>', "of a Parquet folder's view: adopted_<name> (default: the folder's own)")
      .option('--dry-run', 'read and count, write nothing')
  },

  async run(context): Promise<ExitCode> {
    const config = await context.config()
    const path = context.args[0] ?? ''
    const mapping = parseMapping(mappingOf(context))
    const found = await look(path)
    const deps: AdoptDeps = {
      store: await openVault(context, config.storage, 'write', true),
      clock: context.clock,
      venue: 'coinbase',
      software,
    }
    if (found.kind === 'parquet') {
      const { adoptFolder } = await import('../../query/adopt/adopt-folder.ts')
      const name = context.options['name']
      const outcome = await adoptFolder(
        deps,
        path,
        typeof name === 'string' ? name : null,
        isDryRun(context),
        context.signal,
      )
      await context.output.out(context.json ? toJson(outcome, 0) : folderText(outcome))
      if (found.passedOver.length > 0) context.output.err(passedOverText(found.passedOver))
      return 0
    }
    const { adoptFile } = await import('../../query/adopt/adopt-file.ts')
    for (const file of found.files) {
      const onProgress = (lines: number, bytes: number): void => {
        if (context.output.isTerminal)
          context.output.err(`\r\u001b[K${file}: ${lines} lines, ${formatBytes(bytes)}`)
      }
      const options = {
        mapping,
        segmentBytesMax: adoptedSegmentBytes,
        isDryRun: isDryRun(context),
        onProgress,
      }
      const outcome = await adoptFile(deps, file, options, context.signal)
      if (context.output.isTerminal) context.output.err('\r\u001b[K')
      await context.output.out(context.json ? toJson(outcome, 0) : fileText(file, outcome))
    }
    return 0
  },
}

function mappingOf(context: CommandContext): string {
  const given = context.options['mapping']
  return typeof given === 'string' ? given : 'bare'
}

function isDryRun(context: CommandContext): boolean {
  return context.options['dryRun'] === true
}

type Found =
  | { readonly kind: 'lines'; readonly files: readonly string[] }
  /** With files of lines among them, which are not read. */
  | { readonly kind: 'parquet'; readonly passedOver: readonly string[] }

const lineFile = /\.(ndjson|jsonl|json|log|txt)(\.gz)?$/

async function look(path: string): Promise<Found> {
  const info = await statOf(path)
  if (info.isFile()) return { kind: 'lines', files: [path] }
  const entries = await readdir(path, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile())
  const lines = files
    .filter((entry) => lineFile.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
  if (files.some((entry) => entry.name.endsWith('.parquet'))) return { kind: 'parquet', passedOver: lines }
  if (lines.length > 0) return { kind: 'lines', files: lines }
  throw new VaultError('usage', `${path}: no .ndjson, .jsonl or .parquet file is in it`, {
    remedy: 'name the file itself if it has another ending',
  })
}

async function statOf(path: string) {
  try {
    return await stat(path)
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error
    throw new VaultError('usage', `${path}: there is no such file or folder`, { cause: error })
  }
}

function fileText(file: string, outcome: AdoptOutcome): string {
  const { record, rejects, segmentsFound } = outcome
  if (outcome.kind === 'known')
    return `${file}: adopted before, on ${new Date(record.adopted_ms).toISOString()} (${record.frames} frames); nothing done\n`
  const reasons = Object.entries(rejects).map(([reason, count]) => `${reason} ${count}`)
  const rejected = record.rejected === 0 ? '' : `, ${record.rejected} rejected (${reasons.join(', ')})`
  if (outcome.kind === 'dry_run')
    return `${file}: ${record.frames} frames${rejected}; dry run, nothing written\n`
  const resumed = segmentsFound === 0 ? '' : `, ${segmentsFound} of them from an earlier run`
  const where = record.rejects_key === null ? '' : ` in ${record.rejects_key}`
  return `${file}: ${record.frames} frames in ${record.segments.length} segments${resumed}${rejected}${where}; next: mdv etl --once\n`
}

function passedOverText(files: readonly string[]): string {
  const more = files.length === 1 ? '' : ` and ${files.length - 1} more`
  return `note: ${files[0]}${more} passed over, as the folder holds Parquet too; adopt files of lines one by one\n`
}

function folderText(outcome: FolderOutcome): string {
  const { name, files, rows, path } = outcome.record
  const done = { adopted: 'catalogued', known: 'known as it is', dry_run: 'dry run, nothing written' }[
    outcome.kind
  ]
  return `${path}: ${files.length} files, ${rows} rows, ${done}; mdv query "SELECT * FROM adopted_${name} LIMIT 5"\n`
}
