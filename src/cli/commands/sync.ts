/** `mdv sync`: a vault, or a layer of it, to another place: disk to bucket and back, bucket to bucket. */

import { stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { Command as Parser } from 'commander'
import { formatBytes } from '../../core/bytes.ts'
import { systemCode, VaultError } from '../../core/errors.ts'
import { emptyStore } from '../../storage/empty-store.ts'
import { LayeredStore } from '../../storage/layered.ts'
import type { ObjectStore } from '../../storage/object-store.ts'
import { openStore, type Access } from '../../storage/open.ts'
import { isSamePlace, type Place } from '../../storage/place.ts'
import { endOf, layeredEnd, overlap, type SyncEnd } from '../../sync/end.ts'
import { keyFilter } from '../../sync/globs.ts'
import { nothingWords, progressWords, summaryJson, summaryWords } from '../../sync/progress.ts'
import { Tally, type SyncEvent } from '../../sync/report.ts'
import type { SyncOptions } from '../../sync/round.ts'
import { syncUntilStill, type SyncDeps } from '../../sync/run.ts'
import { parseWhere, sharedPrefixes, type Where } from '../../sync/where.ts'
import type { Command, CommandContext, ExitCode } from '../command.ts'
import type { StorageConfig } from '../config.ts'
import { expandHome } from '../config-storage.ts'
import { storeDeps } from '../open-vault.ts'
import { ProgressLine } from '../progress-line.ts'

const watchEveryMs = 30_000
const filesAtOnce = 8

export const command: Command = {
  name: 'sync',
  summary: 'copy a vault between folders and buckets, resumable, consistent at every moment',
  example: 'mdv sync vault s3://bucket/prefix',
  sections: ['storage'],

  configure(parser) {
    parser
      .argument(
        '<src>',
        'a folder, s3://bucket/prefix, or vault, ingestion, raw, processed of the configuration',
      )
      .argument('<dst>', 'the same; what is missing there is copied, nothing is overwritten')
      .option('--dry-run', 'say what would be done, and do nothing')
      .option('--check', 'compare the bytes of what both have by SHA-256')
      .option('--watch', 'go on every 30 seconds')
      .option('--delete', 'remove at DST what SRC has not (any more)')
    repeatable(
      parser,
      '--include <glob>',
      'only what one of these matches: processed/coinbase/level2/**, *.parquet',
    )
    repeatable(parser, '--exclude <glob>', 'nothing that one of these matches')
    parser
      .option('--src-endpoint-url <url>', 'endpoint of SRC, where it is not storage.s3.endpoint_url')
      .option('--dst-endpoint-url <url>', 'endpoint of DST, where it is not storage.s3.endpoint_url')
      .option('--src-region <name>', 'region of SRC, where it is not storage.s3.region')
      .option('--dst-region <name>', 'region of DST, where it is not storage.s3.region')
      .addHelpText(
        'after',
        '\nEnds with 6 when something else lies at DST under a name of SRC, 7 when some objects could not be copied: run it again.',
      )
  },

  async run(context): Promise<ExitCode> {
    const { clock, random, options } = context
    const syncOptions = readOptions(context)
    const { storage } = await context.config()
    const from = whereOf(context, storage, 'src', context.args[0]!)
    const to = whereOf(context, storage, 'dst', context.args[1]!)
    const prefixes = sharedPrefixes(from, to)
    refuseOverlap(from, to, prefixes)
    const [source, target] = [
      await openSource(context, storage, from, prefixes),
      await openTarget(context, storage, to, prefixes, syncOptions.isDryRun),
    ]
    const deps = { source, target, clock, random }
    const all = { ...syncOptions, prefixes }
    return options['watch'] === true ? watch(context, deps, all) : once(context, deps, all)
  },
}

function repeatable(parser: Parser, flags: string, words: string): void {
  const collect = (value: string, before: readonly string[]): string[] => [...before, value]
  parser.option(flags, `${words} (again for more)`, collect, [])
}

function readOptions({ options }: CommandContext): Omit<SyncOptions, 'prefixes'> {
  const globs = (name: string): readonly string[] => options[name] as readonly string[]
  return {
    isSelected: keyFilter(globs('include'), globs('exclude')),
    isDryRun: options['dryRun'] === true,
    isChecking: options['check'] === true,
    isDeleting: options['delete'] === true,
    isSweeping: options['dryRun'] !== true,
    atOnce: filesAtOnce,
  }
}

function whereOf(context: CommandContext, storage: StorageConfig, side: 'src' | 'dst', text: string): Where {
  const flag = (name: string): string | undefined => {
    const value = context.options[`${side}${name}`]
    return typeof value === 'string' ? value : undefined
  }
  const endpointUrl = flag('EndpointUrl')
  if (endpointUrl !== undefined && !/^https?:\/\/[^/]/.test(endpointUrl))
    throw new VaultError(
      'usage',
      `--${side}-endpoint-url ${JSON.stringify(endpointUrl)}: no http or https URL`,
    )
  return parseWhere(text, storage, { endpointUrl, region: flag('Region') }, side, (folder) =>
    resolve(expandHome(folder)),
  )
}

function placesOf(where: Where, prefixes: readonly string[]): Place[] {
  return prefixes.map((prefix) => (prefix === 'raw/' ? where.raw : where.processed))
}

function refuseOverlap(from: Where, to: Where, prefixes: readonly string[]): void {
  for (const source of placesOf(from, prefixes))
    for (const target of placesOf(to, prefixes)) {
      const words = overlap(source, target)
      if (words !== undefined)
        throw new VaultError('usage', words, { remedy: 'name two places: mdv sync vault s3://bucket/prefix' })
    }
}

async function openSource(
  context: CommandContext,
  storage: StorageConfig,
  where: Where,
  prefixes: readonly string[],
): Promise<SyncEnd> {
  for (const place of placesOf(where, prefixes))
    if (place.backend === 'local' && !(await isThere(place.baseDir)))
      throw new VaultError('preflight', `${place.baseDir}: there is no such folder`, {
        remedy: 'name the folder of a vault, s3://bucket/prefix, or vault for the configured one',
      })
  return openEnd(context, storage, where, prefixes, 'read')
}

async function openTarget(
  context: CommandContext,
  storage: StorageConfig,
  where: Where,
  prefixes: readonly string[],
  isDryRun: boolean,
): Promise<SyncEnd> {
  const [place] = placesOf(where, prefixes)
  if (isDryRun && place?.backend === 'local' && !(await isThere(place.baseDir)))
    return endOf(emptyStore(place.baseDir), place)
  return openEnd(context, storage, where, prefixes, isDryRun ? 'read' : 'write')
}

async function openEnd(
  context: CommandContext,
  storage: StorageConfig,
  where: Where,
  prefixes: readonly string[],
  access: Access,
): Promise<SyncEnd> {
  const open = async (place: Place): Promise<ObjectStore> => {
    const store = await openStore(place, access, storeDeps(context, storage))
    for (const note of store.notes) context.output.err(`${note}\n`)
    return store
  }
  const [first, second] = placesOf(where, prefixes)
  if (second === undefined || isSamePlace(first!, second)) return endOf(await open(first!), first!)
  const raw = { store: await open(where.raw), place: where.raw }
  const processed = { store: await open(where.processed), place: where.processed }
  return layeredEnd(new LayeredStore(raw.store, processed.store), raw, processed)
}

async function isThere(folder: string): Promise<boolean> {
  try {
    await stat(folder)
    return true
  } catch (error) {
    if (systemCode(error) === 'ENOENT' || systemCode(error) === 'ENOTDIR') return false
    throw error
  }
}

async function watch(context: CommandContext, deps: SyncDeps, options: SyncOptions): Promise<ExitCode> {
  const said = new Set<string>()
  let isSweeping = true
  while (!context.signal.aborted) {
    try {
      await once(context, deps, { ...options, isSweeping }, said)
      isSweeping = false
      await context.clock.sleep(watchEveryMs, context.signal)
    } catch (error) {
      // Being told to stop is no failure; a bucket out of reach is asked again at the next round.
      if (context.signal.aborted) break
      if (!(error instanceof VaultError) || error.kind !== 'unavailable') throw error
      context.output.err(`${error.message} · ${error.remedy ?? 'trying again in 30 seconds'}\n`)
      await context.clock.sleep(watchEveryMs, context.signal).catch(() => undefined)
    }
  }
  return 0
}

/** @param said problems told in earlier rounds: they are not told again */
async function once(
  context: CommandContext,
  deps: SyncDeps,
  options: SyncOptions,
  said?: Set<string>,
): Promise<ExitCode> {
  const { clock, output } = context
  const tally = new Tally()
  const startedMs = clock.monotonicMs()
  const secondsNow = (): number => (clock.monotonicMs() - startedMs) / 1000
  const progress = new ProgressLine(context, () => progressWords(tally, secondsNow()))
  let hasNews = said === undefined
  const report = {
    event(event: SyncEvent): void {
      const words = eventWords(event, options.isDryRun)
      hasNews ||= words === undefined || said?.has(words) !== true
      if (words === undefined || said?.has(words) === true) return
      if ('detail' in event) said?.add(words)
      progress.clear()
      if ('detail' in event) output.err(`${words}\n`)
      else if (!context.json) void output.out(`${words}\n`)
    },
  }
  try {
    await syncUntilStill(deps, options, report, tally, context.signal)
  } finally {
    progress.end()
    if (hasNews) await output.out(summary(context, tally, secondsNow(), options.isDryRun))
  }
  const nothing = said === undefined ? nothingWords(tally, deps.source.store.location) : undefined
  if (nothing !== undefined) output.err(`note: ${nothing}\n`)
  if (tally.conflicts + tally.kept > 0) return 6
  return problemsOf(tally) > 0 ? 7 : 0
}

function problemsOf(tally: Tally): number {
  return tally.conflicts + tally.kept + tally.failed + tally.heldBack + tally.deletionsLeft
}

function summary({ json }: CommandContext, tally: Tally, seconds: number, isDryRun: boolean): string {
  return json
    ? `${JSON.stringify(summaryJson(tally, seconds, isDryRun))}\n`
    : `${summaryWords(tally, seconds, isDryRun)}\n`
}

/** What was copied is only counted; what was deleted, would be done or went wrong has a line of its own. */
function eventWords(event: SyncEvent, isDryRun: boolean): string | undefined {
  switch (event.kind) {
    case 'copied':
      return undefined
    case 'would_copy':
      return `would copy ${event.key} (${formatBytes(event.sizeBytes)})`
    case 'deleted':
    case 'would_delete':
      return `${isDryRun ? 'would delete' : 'deleted'} ${event.key} (${formatBytes(event.sizeBytes)})`
    case 'conflict':
      return `conflict: ${event.key}: ${event.detail} · compare the two, and move one away; nothing was overwritten`
    case 'kept':
      return `kept: ${event.key}: ${event.detail} · restore it at the source: mdv sync the other way`
    case 'failed':
      return `failed: ${event.key}: ${event.detail} · run it again`
    case 'held_back':
      return `held back: ${event.key}: ${event.detail}`
  }
}
