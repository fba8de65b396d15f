/** `mdv verify`: one line a finding, with what to do; exit 6 where data is missing, doubled or damaged. */

import { VaultError } from '../../core/errors.ts'
import { formatRfc3339Ns, isUtcDate } from '../../core/time.ts'
import { toJson } from '../../query/json.ts'
import type { Finding } from '../../query/verify/finding.ts'
import type { RebuildCheck } from '../../query/verify/job-proof.ts'
import type { Resumed } from '../../query/verify/memory.ts'
import type { VerifySummary } from '../../query/verify/verify.ts'
import type { ObjectStore } from '../../storage/object-store.ts'
import type { Command, CommandContext, ExitCode } from '../command.ts'
import { openForReading } from '../open-reading.ts'
import { proveVault } from '../proof.ts'
import { software } from '../version.ts'

const venue = 'coinbase'

export const command: Command = {
  name: 'verify',
  summary: 'prove that every recorded line is in Parquet or rejected, once',
  example: 'mdv verify --since 2025-12-03',
  sections: ['storage'],

  configure(parser) {
    parser
      .option('--since <date>', 'only segments opened on or after this UTC date')
      .option('--deep', 'also make every frame again from Parquet where its raw segment is kept, and compare')
      .option('--fresh', 'begin anew where an earlier run was stopped, instead of going on')
      .addHelpText(
        'after',
        '\nA run that is stopped or killed is gone on with by the next one with the same options: what was found whole and still has its\n' +
          'sizes and times is not read again, and the summary says how much that was. A run that ends leaves nothing behind.\n' +
          '\nFindings name what to do, mostly one of:\n' +
          '  mdv etl --requeue JOB            convert a job again from its raw bytes; the old rows go when the new ones are committed\n' +
          '  mdv segments repair LABEL        put a damaged raw segment aside and seal what is good of it anew\n' +
          'docs/verifying.md lists them all.',
      )
  },

  async run(context): Promise<ExitCode> {
    const config = await context.config()
    const since = sinceOf(context)
    const store = await openForReading(context, config.storage)
    const findings: Finding[] = []
    const summary = await prove(context, store, since, async (finding) => {
      if (context.json) findings.push(finding)
      else await context.output.out(findingText(finding))
    })
    await context.output.out(context.json ? toJson({ ...summary, findings }, 2) : summaryText(summary))
    return summary.errors === 0 ? 0 : 6
  },
}

async function prove(
  context: CommandContext,
  store: ObjectStore,
  since: string | null,
  onFinding: (finding: Finding) => Promise<void>,
): Promise<VerifySummary> {
  const { clock, options, output } = context
  const isDeep = options['deep'] === true
  const { ProofMemory } = await import('../../query/verify/memory.ts')
  const kind = { venue, since, isDeep, software }
  await using memory = await ProofMemory.open(store, kind, clock.nowMs(), options['fresh'] === true)
  if (memory.resumed !== null) output.err(`${resumedText(memory.resumed)}\n`)
  try {
    const rebuild = isDeep ? await loadRebuild() : null
    return await proveVault(context, store, venue, { since, rebuild, memory, onFinding })
  } catch (error) {
    if (context.signal.aborted) output.err('stopped: the same command goes on from here\n')
    throw error
  }
}

async function loadRebuild(): Promise<RebuildCheck> {
  const { rebuildCheck } = await import('../../query/verify/rebuild.ts')
  return rebuildCheck
}

function sinceOf(context: CommandContext): string | null {
  const given = context.options['since']
  if (typeof given !== 'string') return null
  if (isUtcDate(given)) return given
  throw new VaultError('usage', `--since ${given}: not a date`, { remedy: 'write it as 2025-12-03' })
}

function resumedText({ beganMs, items }: Resumed): string {
  const began = formatRfc3339Ns(BigInt(Math.floor(beganMs / 1000)) * 1_000_000_000n)
  return `going on with the run begun at ${began}: ${items} segments and jobs that it proved are not read again unless they changed; --fresh reads all`
}

export function findingText(finding: Finding): string {
  return `${finding.severity} ${finding.kind} ${finding.where}: ${finding.message} · ${finding.remedy}\n`
}

function summaryText(summary: VerifySummary): string {
  const { receipts, parts, rows, lines, rejected, rawSegments, framesRebuilt, errors, warnings } = summary
  const rebuilt = framesRebuilt === 0 ? '' : `, ${framesRebuilt} frames rebuilt and compared`
  const verdict = errors === 0 ? 'every line accounted for once' : `${errors} errors`
  const remembered =
    summary.remembered === 0 ? '' : ` (${summary.remembered} segments and jobs proved by the run before)`
  return (
    `${receipts} receipts, ${parts} parts, ${rows} rows, ${lines} lines (${rejected} rejected), ${rawSegments} raw segments${rebuilt}: ` +
    `${verdict}${warnings === 0 ? '' : `, ${warnings} warnings`}${remembered}\n`
  )
}
