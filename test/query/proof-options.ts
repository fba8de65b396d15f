/** A proof as tests ask for one: of everything, on this thread, one after another, nothing remembered. */

import { VerifyProgress } from '../../src/query/verify/progress.ts'
import { scansHere } from '../../src/query/verify/scan-task.ts'
import type { VerifyOptions } from '../../src/query/verify/verify.ts'

export function proofOptions(
  onFinding: VerifyOptions['onFinding'],
  changes: Partial<VerifyOptions> = {},
): VerifyOptions {
  return {
    since: null,
    rebuild: null,
    memoryLimitMb: 512,
    atOnce: 1,
    scans: scansHere,
    memory: null,
    progress: new VerifyProgress(),
    onFinding,
    ...changes,
  }
}
