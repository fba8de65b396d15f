/** `mdv verify`: one line a finding, with what to do; exit 6 where data is missing, doubled or damaged. */

import { totalmem } from 'node:os'
import { VaultError } from '../../core/errors.ts'
import { isUtcDate } from '../../core/time.ts'
import type { Finding } from '../../query/verify/finding.ts'
import type { RebuildCheck, VerifySummary } from '../../query/verify/verify.ts'
import { toJson } from '../../query/json.ts'
import type { Command, CommandContext, ExitCode } from '../command.ts'
import { openForReading } from '../open-reading.ts'
import { coinbase } from '../../venue/coinbase.ts'
import { sequenceNumbers } from '../../venue/sequence.ts'

export const command: Command = {
  name: 'verify',
  summary: 'prove that every recorded line is in Parquet or rejected, once',
  example: 'mdv verify --since 2025-12-03',
  sections: ['storage'],

  configure(parser) {
    parser
      .option('--since <date>', 'only segments opened on or after this UTC date')
      .option('--deep', 'also make every frame again from Parquet where its raw segment is kept, and compare')
  },

  async run(context): Promise<ExitCode> {
    const config = await context.config()
    const since = sinceOf(context)
    const store = await openForReading(context, config.storage)
    const { verifyVault } = await import('../../query/verify/verify.ts')
    const findings: Finding[] = []
    const summary = await verifyVault(
      store,
      'coinbase',
      {
        since,
        rebuild: context.options['deep'] === true ? await loadRebuild() : null,
        sequenceOf: sequenceNumbers(coinbase),
        memoryLimitMb: Math.max(256, Math.min(4096, Math.floor(totalmem() / 4_000_000))),
        onFinding: async (finding) => {
          if (context.json) findings.push(finding)
          else await context.output.out(findingText(finding))
        },
        onProgress: (done, total, what) => {
          if (context.output.isTerminal) context.output.err(`\r\u001b[Kverify ${done}/${total} ${what}`)
        },
      },
      context.signal,
    )
    if (context.output.isTerminal) context.output.err('\r\u001b[K')
    await context.output.out(context.json ? toJson({ ...summary, findings }, 2) : summaryText(summary))
    return summary.errors === 0 ? 0 : 6
  },
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

function findingText(finding: Finding): string {
  return `${finding.severity} ${finding.kind} ${finding.where}: ${finding.message} · ${finding.remedy}\n`
}

function summaryText(summary: VerifySummary): string {
  const { receipts, parts, rows, lines, rejected, rawSegments, framesRebuilt, errors, warnings } = summary
  const rebuilt = framesRebuilt === 0 ? '' : `, ${framesRebuilt} frames rebuilt and compared`
  const verdict = errors === 0 ? 'every line accounted for once' : `${errors} errors`
  return (
    `${receipts} receipts, ${parts} parts, ${rows} rows, ${lines} lines (${rejected} rejected), ${rawSegments} raw segments${rebuilt}: ` +
    `${verdict}${warnings === 0 ? '' : `, ${warnings} warnings`}\n`
  )
}
