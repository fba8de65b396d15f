/** `mdv etl`: sealed segments become Parquet, each once; beside a recorder, after one, or again from the archive. */

import { rm } from 'node:fs/promises'
import { availableParallelism, constants, setPriority } from 'node:os'
import { formatBytes } from '../../core/bytes.ts'
import { messageOf, systemCode, VaultError } from '../../core/errors.ts'
import { isUtcDate } from '../../core/time.ts'
import type { Convert, ConvertSettings } from '../../etl/conversion.ts'
import type { JobDeps } from '../../etl/job-commit.ts'
import { ClaimBoard } from '../../etl/claim-board.ts'
import type { HourRange } from '../../etl/plan.ts'
import { runEtlOnce, type EtlOptions } from '../../etl/run.ts'
import type { EtlEvent, EtlProgress, EtlSummary } from '../../etl/run-report.ts'
import { SourceFiles } from '../../etl/source-files.ts'
import { openWorkerScratch } from '../../etl/sweep.ts'
import { watchEtl } from '../../etl/watch.ts'
import { requestsOf } from '../../storage/s3/requests.ts'
import type { Command, CommandContext, ExitCode } from '../command.ts'
import type { Config, EtlConfig } from '../config.ts'
import { systemRemedy } from '../exit-codes.ts'
import { software } from '../version.ts'
import { openForReading } from '../open-reading.ts'
import { openVault } from '../open-vault.ts'
import { proveVault } from '../proof.ts'
import { tellRequests } from '../requests.ts'
import { growsByChunks, rescueMeanwhile } from '../rescue.ts'
import { makeWorker } from '../worker.ts'

const venue = 'coinbase'

export const command: Command = {
  name: 'etl',
  summary: 'turn sealed segments into Parquet, each exactly once',
  example: 'mdv etl --once --date 2025-12-03',
  sections: ['etl', 'storage'],

  configure(parser) {
    parser
      .option('--once', 'convert what is ready, then end')
      .option('--watch', 'go on converting what becomes ready, until stopped')
      .option('--date <date>', 'only segments opened on this UTC date')
      .option(
        '--from <time>',
        'only segments opened in this UTC date or hour, or later: 2025-12-03, 2025-12-03T14',
      )
      .option('--until <time>', 'only segments opened before this UTC date or hour')
      .option('--from-archive', 'convert archived segments again; the new rows take the place of the old')
      .option(
        '--requeue [jobs...]',
        'convert these jobs again, or those of these segments, from raw bytes that are kept; without names, what "mdv verify" finds wrong',
      )
      .addHelpText(
        'after',
        '\n--requeue ends with 6 when raw bytes are gone: it says what stays lost, and how to bring it back. Damaged parts are kept under\n' +
          'processed/<venue>/_damaged before the new ones take their place.\n' +
          '\nEnds with 7 when some segments could not be converted (the others were), with 8 when all of them are held by another\n' +
          'worker. Rejected lines are kept under raw/rejected and are no failure.\n' +
          '\n  mdv etl --requeue segment_20251203T14_00001',
      )
  },

  async run(context): Promise<ExitCode> {
    const isWatch = modeOf(context) === 'watch'
    const hours = hoursOf(context.options)
    const config = await context.config()
    const requeue = await requeueOf(context, config)
    if (requeue?.length === 0) {
      await context.output.out('nothing to requeue\n')
      return 0
    }
    giveWay()
    // A watcher may be up before its recorder; once over nothing is a mistyped folder.
    const store = await openVault(context, config.storage, 'write', isWatch)
    for (const note of store.notes) context.output.err(`${note}\n`)
    const worker = await makeWorker()
    const scratchDir = await openWorkerScratch(store, worker)
    try {
      const { convert, settings } = await loadConvert(config.etl)
      const { clock } = context
      const files = new SourceFiles(store, scratchDir)
      const board = new ClaimBoard({ store, clock, venue })
      const deps: JobDeps = { store, clock, venue, convert, settings, worker, scratchDir, files, board }
      const fromArchive = context.options['fromArchive'] === true
      const options = optionsOf(config.etl, hours, fromArchive, requeue, !isWatch)
      return await (isWatch
        ? watch(context, deps, options, config.etl.poll_interval_seconds)
        : once(context, deps, options))
    } finally {
      await rm(scratchDir, { recursive: true, force: true })
      tellRequests(store, context)
    }
  },
}

/** With what the bucket was asked since the start. */
function summaryJson(summary: EtlSummary, { store }: JobDeps): string {
  return `${JSON.stringify({ ...summary, requests: requestsOf(store) })}\n`
}

async function once(context: CommandContext, deps: JobDeps, options: EtlOptions): Promise<ExitCode> {
  const report = reportTo(context)
  let isLost = false
  const onEvent = (event: EtlEvent): void => {
    isLost ||= event.kind === 'failed' && event.error instanceof VaultError && event.error.kind === 'corrupt'
    report.onEvent(event)
  }
  const summary = await runEtlOnce(deps, options, { ...report, onEvent }, context.signal)
  clearProgress(context)
  await context.output.out(context.json ? summaryJson(summary, deps) : summaryText(summary))
  // The way out of main knows which signal it was.
  if (summary.isStopped) context.signal.throwIfAborted()
  return options.requeue !== null && isLost ? 6 : exitCodeOf(summary)
}

async function watch(
  context: CommandContext,
  deps: JobDeps,
  options: EtlOptions,
  pollSeconds: number,
): Promise<ExitCode> {
  const rescuing = growsByChunks(deps.store)
    ? rescueMeanwhile(deps.store, context, context.signal)
    : Promise.resolve()
  await watchEtl(
    { ...deps, random: context.random },
    options,
    { pollMs: pollSeconds * 1000 },
    {
      ...reportTo(context),
      onRound(summary) {
        clearProgress(context)
        if (summary.segments === 0) return
        void context.output.out(context.json ? summaryJson(summary, deps) : summaryText(summary))
      },
      onRoundFailed(error, retryMs) {
        clearProgress(context)
        context.output.err(`${errorWords(error)} (next try in ${secondsText(retryMs)})\n`)
      },
    },
    context.signal,
  )
  await rescuing
  return 0
}

function exitCodeOf(summary: EtlSummary): ExitCode {
  if (summary.failed > 0 || summary.foreign > 0) return 7
  if (summary.held > 0) return summary.segments + summary.finished > 0 ? 7 : 8
  return 0
}

function modeOf({ options }: CommandContext): 'once' | 'watch' {
  const isRequeue = options['requeue'] !== undefined
  const [once, watch] = [options['once'] === true || isRequeue, options['watch'] === true]
  if (once === watch)
    throw new VaultError('usage', once ? 'both --once and --watch' : 'neither --once nor --watch', {
      remedy: 'mdv etl --once converts what is ready; mdv etl --watch goes on',
    })
  if (isRequeue && ['fromArchive', 'date', 'from', 'until'].some((name) => options[name] !== undefined))
    throw new VaultError('usage', '--requeue names its jobs: it goes with no other choice', {
      remedy: 'mdv etl --requeue JOB',
    })
  if (watch && options['fromArchive'] === true)
    throw new VaultError('usage', '--from-archive does not end with --watch', {
      remedy: 'mdv etl --once --from-archive',
    })
  return watch ? 'watch' : 'once'
}

/** @returns null: not asked for; empty: nothing is wrong that it could repair */
async function requeueOf(context: CommandContext, { storage }: Config): Promise<readonly string[] | null> {
  const { requeue } = context.options
  if (requeue === undefined) return null
  if (Array.isArray(requeue)) return requeue as string[]
  const store = await openForReading(context, storage)
  const jobs = new Set<string>()
  await proveVault(context, store, venue, {
    since: null,
    rebuild: null,
    memory: null,
    onFinding: async ({ job }) => void (job !== undefined && jobs.add(job)),
  })
  return [...jobs]
}

function hoursOf(options: CommandContext['options']): HourRange {
  const [date, from, until] = [options['date'], options['from'], options['until']]
  if (typeof date !== 'string') return rangeOf(from, until)
  if (from !== undefined || until !== undefined)
    throw new VaultError('usage', '--date together with --from or --until', {
      remedy: 'give one or the other',
    })
  // No hour of a day sorts after it.
  return { from: hourOf(date, '--date'), until: `${date.replaceAll('-', '')}T24` }
}

function rangeOf(from: unknown, until: unknown): HourRange {
  const range = { from: hourOf(from, '--from'), until: hourOf(until, '--until') }
  if (range.from === null || range.until === null || range.from < range.until) return range
  throw new VaultError(
    'usage',
    `--from ${String(from)} --until ${String(until)}: no hour lies between them`,
    {
      remedy: '--until is not part of it: for one day give --date, for one hour the next one as --until',
    },
  )
}

/** `2025-12-03` and `2025-12-03T14` as the hour in a segment's label. */
function hourOf(value: unknown, flag: string): string | null {
  if (typeof value !== 'string') return null
  const match = /^(\d{4}-\d{2}-\d{2})(?:T([01]\d|2[0-3]))?$/.exec(value)
  if (match !== null && isUtcDate(match[1]!) && !(flag === '--date' && match[2] !== undefined))
    return `${match[1]!.replaceAll('-', '')}T${match[2] ?? '00'}`
  throw new VaultError('usage', `${flag} ${value}: not a ${flag === '--date' ? 'date' : 'date or hour'}`, {
    remedy: flag === '--date' ? 'write it as 2025-12-03' : 'write it as 2025-12-03 or 2025-12-03T14',
  })
}

function optionsOf(
  config: EtlConfig,
  hours: HourRange,
  fromArchive: boolean,
  requeue: readonly string[] | null,
  waitForHeld: boolean,
): EtlOptions {
  const { archive_max_days: maxDays, archive_max_gb: maxGb } = config
  return {
    deleteRaw: config.delete_after_processing,
    archive: config.archive,
    retention: { maxDays, maxBytes: maxGb === null ? null : maxGb * 1e9 },
    hours,
    fromArchive,
    requeue,
    waitForHeld,
    sweep: true,
    batch: {
      segmentsMax: config.batch_max_segments,
      bytesMax: config.batch_max_mb * 1e6,
      waitMs: config.batch_wait_seconds * 1000,
      isPatient: !waitForHeld,
    },
  }
}

/** DuckDB is loaded here and not before: `mdv --help` and a mistyped date need none. */
async function loadConvert(
  config: EtlConfig,
): Promise<{ readonly convert: Convert; readonly settings: ConvertSettings }> {
  const { convertSegments } = await import('../../etl/convert.ts')
  const { duckdb } = await import('../../storage/duckdb.ts')
  const settings: ConvertSettings = {
    // Another DuckDB may write other bytes for the same rows.
    software: `${software} duckdb ${duckdb.version()}`,
    numberType: config.number_type,
    compression: config.compression,
  }
  const threads = availableParallelism()
  const limits = { memoryLimitMb: config.memory_limit_mb, threads }
  return {
    settings,
    convert: (sources, plan, signal) => convertSegments(sources, { ...plan, ...settings, ...limits }, signal),
  }
}

function reportTo(context: CommandContext) {
  const { output } = context
  return {
    onEvent(event: EtlEvent): void {
      clearProgress(context)
      const words = eventWords(event)
      if (words !== null) output.err(`${words}\n`)
    },
    onProgress(progress: EtlProgress): void {
      if (output.isTerminal && progress.totalSegments > 0) output.err(`\r\u001b[K${progressWords(progress)}`)
    },
  }
}

function clearProgress({ output }: CommandContext): void {
  if (output.isTerminal) output.err('\r\u001b[K')
}

function progressWords(progress: EtlProgress): string {
  const { label, doneSegments, totalSegments, doneBytes, totalBytes, elapsedMs } = progress
  const share = totalBytes === 0 ? 1 : doneBytes / totalBytes
  const left = share > 0 && share < 1 ? `, about ${secondsText((elapsedMs / share) * (1 - share))} left` : ''
  return `etl ${doneSegments}/${totalSegments} segments, ${formatBytes(doneBytes)} of ${formatBytes(totalBytes)}${left} · ${label}`
}

/** @returns null for what only the summary counts */
function eventWords(event: EtlEvent): string | null {
  switch (event.kind) {
    case 'converted': {
      const { receipt, sizeBytes, elapsedMs, label } = event
      const rejected =
        receipt.lines.rejected === 0 ? '' : `, ${receipt.lines.rejected} rejected (${receipt.rejects_key})`
      const others = receipt.sources.length - 1
      const more = others === 0 ? '' : ` and ${others} more`
      return `${label}${more}: ${receipt.lines.total} lines, ${receipt.parts.length} parts${rejected}, ${rateText(sizeBytes, elapsedMs)}`
    }
    case 'finished':
      return `${event.label}: was committed already, by an earlier run or another worker`
    case 'held':
      return `${event.label}: held by ${event.by ?? 'another worker'}`
    case 'failed':
      return `${event.label}: ${errorWords(event.error)}${event.retryMs === null ? '' : ` (next try in ${secondsText(event.retryMs)})`}`
    case 'foreign':
      return `${event.file.key}: ${event.file.reason}; left alone · ${event.file.remedy}`
    case 'foreign_part':
      return `${event.key}: none of ours; left alone, and read by globs · move it elsewhere, or bring its folder in with "mdv adopt"`
    case 'orphan_removed':
      return `${event.key}: removed, its job was committed without it`
    case 'archive_removed':
      return `${event.key}: removed, older or more than etl.archive_max_days and etl.archive_max_gb allow`
    case 'swap_finished':
      return `${event.job}: the change to its next generation is finished`
  }
}

function summaryText(summary: EtlSummary): string {
  const {
    segments,
    finished,
    held,
    failed,
    foreign,
    lines,
    rejected,
    rows,
    parts,
    bytesIn,
    bytesOut,
    elapsedMs,
  } = summary
  const tables = Object.entries(rows).map(([table, count]) => `${table} ${count}`)
  const rest = [
    finished === 0 ? '' : `${finished} committed already`,
    held === 0 ? '' : `${held} held elsewhere`,
    failed === 0 ? '' : `${failed} failed`,
    foreign === 0 ? '' : `${foreign} files that are no segments`,
    summary.isStopped ? 'stopped before the end' : '',
  ].filter((words) => words !== '')
  return (
    `${segments} segments converted${rest.length === 0 ? '' : `, ${rest.join(', ')}`}: ` +
    `${lines} lines, ${rejected} rejected, rows ${tables.join(' · ')}, ${parts} parts, ` +
    `${formatBytes(bytesIn)} → ${formatBytes(bytesOut)}, ${rateText(bytesIn, elapsedMs)}\n`
  )
}

function rateText(sizeBytes: number, elapsedMs: number): string {
  return `${(elapsedMs / 1000).toFixed(1)} s, ${(sizeBytes / 1000 / Math.max(1, elapsedMs)).toFixed(1)} MB/s`
}

function secondsText(ms: number): string {
  const seconds = Math.ceil(ms / 1000)
  return seconds < 120 ? `${seconds} s` : `${Math.ceil(seconds / 60)} min`
}

function errorWords(error: unknown): string {
  const remedy = error instanceof VaultError ? error.remedy : systemRemedy(error)
  return messageOf(error).replace(/\s*\n\s*/g, ' ') + (remedy === undefined ? '' : ` · ${remedy}`)
}

/** Conversion waits for the recorder, never the other way round. */
function giveWay(): void {
  try {
    setPriority(constants.priority.PRIORITY_BELOW_NORMAL)
  } catch (error) {
    // Some sandboxes forbid it; work then goes on at ordinary priority.
    if (systemCode(error) === undefined) throw error
  }
}
