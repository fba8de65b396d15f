/** --delete: what the source has not any more leaves the target, in the opposite order of copying, and never what a receipt there names. */

import { readReceipts } from '../table/receipts.ts'
import { isStagedFirst, stagedPartKey } from '../table/staged.ts'
import { classifyKey, venueOf, type KeyClass } from './key-class.ts'
import { forEachOf, streamOf } from './flow.ts'
import type { Round } from './round.ts'

/** So that receipts name only what is there at every moment of the removal too. */
const order: readonly KeyClass[] = ['receipt', 'record', 'data']

/** Only after every listing of the source came to its end, and all that was missing is copied. */
export async function removeExtra(round: Round, isDryRun: boolean): Promise<void> {
  for (const wanted of order) {
    const due = round.deletions.filter(({ key }) => classifyKey(key) === wanted)
    if (due.length === 0) continue
    // Receipts that a dry run would delete still name their parts.
    const named =
      wanted === 'data' && !isDryRun
        ? await namedParts(
            round,
            due.map(({ key }) => key),
          )
        : new Set()
    await forEachOf(streamOf(due), round.atOnce, round.signal, async (info) => {
      if (named.has(info.key))
        round.problem('kept', info.key, 'a receipt at the target names it, and the source has lost it')
      else await round.remove(info)
    })
  }
}

/** Parts that readers of the target's receipts would ask for. */
async function namedParts(round: Round, keys: readonly string[]): Promise<ReadonlySet<string>> {
  const named = new Set<string>()
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
