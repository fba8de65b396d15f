/** `mdv compact`: fewer, larger parts for what is over, with the same rows and the same promise. */

import { randomBytes } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { formatBytes } from '../../core/bytes.ts'
import { messageOf, VaultError } from '../../core/errors.ts'
import type { CompactDeps, CompactOutcome } from '../../etl/compact.ts'
import type { CompactionOptions, CompactionPlan } from '../../etl/compact-plan.ts'
import { openWorkerScratch } from '../../etl/sweep.ts'
import { isProvablyDead, thisProcess } from '../../storage/process-identity.ts'
import { ReceiptCache } from '../../table/receipts.ts'
import type { Command, CommandContext, ExitCode } from '../command.ts'
import type { Config } from '../config.ts'
import { openVault } from '../open-vault.ts'
import { tellRequests } from '../requests.ts'
import { software } from '../version.ts'

/** Segments of an hour are sealed, shipped and converted within this, unless something is wrong. */
const graceMs = 15 * 60_000
const watchEveryMs = 10 * 60_000

export const command: Command = {
  name: 'compact',
  summary: 'merge the parts of hours and days that are over into fewer, larger ones',
  example: 'mdv compact --watch',
  sections: ['etl', 'storage'],

  configure(parser) {
    parser
      .option('--watch', 'go on every ten minutes')
      .option('--dry-run', 'say what would be merged, and merge nothing')
      .addHelpText(
        'after',
        '\nA job is merged once its raw segment has left raw/ready (etl.delete_after_processing). Ends with 7 when some merges failed.',
      )
  },

  async run(context): Promise<ExitCode> {
    const config = await context.config()
    const store = await openVault(context, config.storage, 'write', context.options['watch'] === true)
    const worker = {
      writer: randomBytes(8).toString('hex'),
      identity: await thisProcess(),
      isDead: isProvablyDead,
    }
    const scratchDir = await openWorkerScratch(store, worker)
    try {
      const { clock } = context
      const settings = await settingsOf(config)
      const { memory_limit_mb: memoryLimitMb, compact_max_mb: maxMb } = config.etl
      const threads = availableParallelism()
      const deps = { store, clock, venue: 'coinbase', settings, worker, scratchDir, memoryLimitMb, threads }
      const options = { bytesMax: maxMb * 1e6, graceMs }
      if (context.options['dryRun'] === true) return await dryRun(context, deps, options)
      return await (context.options['watch'] === true
        ? watch(context, deps, options)
        : round(context, deps, options, new ReceiptCache()))
    } finally {
      await rm(scratchDir, { recursive: true, force: true })
      tellRequests(store, context)
    }
  },
}

async function settingsOf({ etl }: Config): Promise<CompactDeps['settings']> {
  const { duckdb } = await import('../../storage/duckdb.ts')
  return {
    software: `${software} duckdb ${duckdb.version()}`,
    numberType: etl.number_type,
    compression: etl.compression,
  }
}

async function dryRun(
  context: CommandContext,
  deps: CompactDeps,
  options: CompactionOptions,
): Promise<ExitCode> {
  const { findMerges } = await import('../../etl/compact-run.ts')
  for (const plan of await findMerges(deps, options, new ReceiptCache(), context.signal))
    await context.output.out(context.json ? `${JSON.stringify(planJson(plan))}\n` : `${planText(plan)}\n`)
  return 0
}

async function watch(
  context: CommandContext,
  deps: CompactDeps,
  options: CompactionOptions,
): Promise<ExitCode> {
  const cache = new ReceiptCache()
  while (!context.signal.aborted) {
    try {
      await round(context, deps, options, cache)
      await context.clock.sleep(watchEveryMs, context.signal)
    } catch (error) {
      // Being told to stop is no failure; a bucket out of reach is asked again at the next round.
      if (context.signal.aborted) break
      if (!(error instanceof VaultError) || error.kind !== 'unavailable') throw error
      context.output.err(`${error.message} · ${error.remedy ?? ''}\n`)
      await context.clock.sleep(watchEveryMs, context.signal).catch(() => undefined)
    }
  }
  return 0
}

async function round(
  context: CommandContext,
  deps: CompactDeps,
  options: CompactionOptions,
  cache: ReceiptCache,
): Promise<ExitCode> {
  const { runCompaction } = await import('../../etl/compact-run.ts')
  let failed = 0
  const report = {
    outcome(outcome: CompactOutcome): void {
      const text = context.json ? JSON.stringify(outcomeJson(outcome)) : outcomeText(outcome)
      void context.output.out(`${text}\n`)
    },
    failed(plan: CompactionPlan, error: unknown): void {
      failed++
      const remedy = error instanceof VaultError && error.remedy !== undefined ? ` · ${error.remedy}` : ''
      context.output.err(`${plan.job}: ${messageOf(error)}${remedy}\n`)
    },
  }
  await runCompaction(deps, options, report, cache, context.signal)
  return failed > 0 ? 7 : 0
}

function planJson(plan: CompactionPlan) {
  return {
    job: plan.job,
    jobs: plan.inputs.length,
    parts: partsOf(plan),
    size_bytes: plan.inputs.reduce(
      (total, { parts }) => total + parts.reduce((sum, part) => sum + part.size_bytes, 0),
      0,
    ),
  }
}

function planText(plan: CompactionPlan): string {
  const { jobs, parts, size_bytes: sizeBytes } = planJson(plan)
  return `${plan.job}: would merge ${jobs} jobs with ${parts} parts, ${formatBytes(sizeBytes)}`
}

function partsOf(plan: CompactionPlan): number {
  return plan.inputs.reduce((total, { parts }) => total + parts.length, 0)
}

function outcomeJson(outcome: CompactOutcome) {
  if (outcome.kind === 'held') return { kind: 'held', job: outcome.job }
  const { receipt, partsBefore } = outcome
  return {
    kind: outcome.kind,
    job: receipt.job,
    jobs: receipt.supersedes?.length ?? 0,
    parts_before: partsBefore,
    parts: receipt.parts.length,
  }
}

function outcomeText(outcome: CompactOutcome): string {
  if (outcome.kind === 'held') return `${outcome.job}: held by another worker, or one of its jobs is`
  const { receipt, partsBefore } = outcome
  const words = outcome.kind === 'merged' ? '' : ' (committed before)'
  return `${receipt.job}: ${receipt.supersedes?.length ?? 0} jobs, ${partsBefore} parts → ${receipt.parts.length}${words}`
}
