/** Before a job's next generation is made: it must not be part of a merge, and from then on cannot become one. */

import type { Receipt } from '../table/receipt.ts'
import { currentReceipt } from '../table/receipts.ts'
import { bindSuccessor } from '../table/succession.ts'
import type { ClaimDeps } from './job-claim.ts'

/** @returns null: the next generation may be made; the merge that holds the job's rows; `pending`: one that is not committed yet */
export async function mergeInstead(
  { store, venue }: ClaimDeps,
  { job, generation }: Receipt,
): Promise<Receipt | 'pending' | null> {
  const successor = await bindSuccessor(store, venue, { job, generation }, job)
  return successor === job ? null : ((await currentReceipt(store, venue, successor)) ?? 'pending')
}
