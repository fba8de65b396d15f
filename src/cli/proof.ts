/** A proof of a vault with this machine's processors and memory, and its progress on stderr: for `mdv verify`, and for what does as it says. */

import { availableParallelism, totalmem } from 'node:os'
import type { VerifyOptions, VerifySummary } from '../query/verify/verify.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import type { CommandContext } from './command.ts'
import { ProgressLine } from './progress-line.ts'

type Asked = Pick<VerifyOptions, 'since' | 'rebuild' | 'memory' | 'onFinding'>

/** A job at work has its parts in the cache, where the vault is far away, and a share of the memory. */
const atOnceMax = 8
const jobMbMin = 256

export async function proveVault(
  context: CommandContext,
  store: ObjectStore,
  venue: string,
  asked: Asked,
): Promise<VerifySummary> {
  const { verifyVault } = await import('../query/verify/verify.ts')
  const { scansHere } = await import('../query/verify/scan-task.ts')
  const { ScanThreads } = await import('../query/verify/scan-threads.ts')
  const { progressWords, VerifyProgress } = await import('../query/verify/progress.ts')
  const processors = availableParallelism()
  const memoryLimitMb = Math.max(256, Math.min(4096, Math.floor(totalmem() / 4_000_000)))
  const atOnce = Math.max(1, Math.min(processors, atOnceMax, Math.floor(memoryLimitMb / jobMbMin)))
  await using scans = processors === 1 ? scansHere : new ScanThreads(processors)
  const progress = new VerifyProgress()
  const startedMs = context.clock.monotonicMs()
  const line = new ProgressLine(context, () =>
    progressWords(progress, (context.clock.monotonicMs() - startedMs) / 1000),
  )
  const onFinding: VerifyOptions['onFinding'] = async (finding) => {
    line.clear()
    await asked.onFinding(finding)
  }
  const options = { ...asked, onFinding, memoryLimitMb, atOnce, scans, progress }
  try {
    return await verifyVault(store, venue, options, context.signal)
  } finally {
    line.end()
  }
}
