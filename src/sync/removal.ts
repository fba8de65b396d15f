/** --delete: what the source has not any more leaves the target, in the opposite order of copying, and never what a receipt there names. */

import { parseReceiptKey } from '../storage/keys.ts'
import type { ObjectInfo } from '../storage/object-store.ts'
import { isMerge, parseReceipt, readReceipts } from '../table/receipts.ts'
import { isStagedFirst, stagedPartKey } from '../table/staged.ts'
import { classifyKey, venueOf, type KeyClass } from './key-class.ts'
import { forEachOf, streamOf } from './flow.ts'
import { receiptWaves, recordWaves } from './removal-order.ts'
import type { Round } from './round.ts'

/** So that receipts name only what is there at every moment of the removal too. */
const order: readonly KeyClass[] = ['receipt', 'record', 'data']

/** Only after every listing of the source came to its end, and all that was missing is copied: otherwise nothing is removed. */
export async function removeExtra(round: Round, isDryRun: boolean): Promise<void> {
  const { failed, heldBack, conflicts } = round.tally
  if (failed + heldBack + conflicts > 0) {
    // A segment's rows may be in what did not go over.
    round.tally.deletionsLeft += round.deletions.length
    return
  }
  for (const wanted of order)
    for (const due of await wavesOf(round, wanted)) {
      // Receipts that a dry run would delete still name their parts.
      const isAsked = wanted === 'data' && !isDryRun
      const named = isAsked ? await namedParts(round, due) : new Set<string>()
      await forEachOf(streamOf(due), round.atOnce, round.signal, async (info) => {
        if (named.has(info.key))
          round.problem('kept', info.key, 'a receipt at the target names it, and the source has lost it')
        else await round.remove(info)
      })
    }
}

/** Of one class, what may go at once, after the waves before it. */
async function wavesOf(round: Round, wanted: KeyClass): Promise<readonly (readonly ObjectInfo[])[]> {
  const due = round.deletions.filter(({ key }) => classifyKey(key) === wanted)
  if (wanted !== 'receipt') return wanted === 'record' ? recordWaves(due) : [due]
  const merges = new Map<string, readonly string[]>()
  for (const { key } of due) {
    const job = parseReceiptKey(key)?.job
    if (job === undefined || !isMerge(job)) continue
    const body = await round.target.store.get(key)
    if (body !== undefined)
      merges.set(
        job,
        (parseReceipt(key, body).supersedes ?? []).map((each) => each.job),
      )
  }
  return receiptWaves(due, merges)
}

/** Parts that readers of the target's receipts would ask for. */
async function namedParts(round: Round, due: readonly ObjectInfo[]): Promise<ReadonlySet<string>> {
  const named = new Set<string>()
  const keys = due.map(({ key }) => key)
  const doomed = new Set(keys)
  for (const venue of new Set(keys.map(venueOf).filter((name) => name !== undefined)))
    for (const receipt of await readReceipts(round.target.store, venue, round.signal))
      for (const { key } of receipt.parts) {
        if (doomed.has(key)) named.add(key)
        const staged = stagedPartKey(receipt, key)
        if (!isStagedFirst(receipt) || !doomed.has(staged)) continue
        if ((await round.target.store.head(key)) === undefined) named.add(staged)
      }
  return named
}
