/** Bindings, plans and adoptions: after the data, before the receipts, and none before the one that it points to. */

import { bindingKey, jobsPrefix } from '../storage/keys.ts'
import { adoptedPrefix } from '../table/adopted.ts'
import type { Pair } from './compare.ts'
import { forEachOf } from './flow.ts'
import type { Round } from './round.ts'

export async function copyRecords(round: Round, venue: string): Promise<void> {
  for (const prefix of [jobsPrefix(venue), adoptedPrefix(venue)])
    await forEachOf(round.pairs(prefix), round.atOnce, round.signal, async (pair) => {
      if (!round.settle(pair)) return
      if (pair.target === undefined && !(await bringEarlier(round, venue, pair))) return
      await round.workOff(pair)
    })
}

/** A reader counts plans from 1 up, and follows a successor to its plan: either would stop short at a hole. */
async function bringEarlier(round: Round, venue: string, { key }: Pair): Promise<boolean> {
  const earlier = earlierPlan(venue, key) ?? (await mergePlan(round, venue, key))
  if (earlier === undefined) return true
  const brought = await round.bring(earlier)
  // The source has none either: then its copy is as good as it is.
  if (brought === 'there' || brought === 'nowhere') return true
  round.problem('held_back', key, `${earlier}: ${brought}`)
  return false
}

function earlierPlan(venue: string, key: string): string | undefined {
  const match = /\/_jobs\/([a-z2-7]{10})_(\d+)\.g([1-9]\d*)\.json$/.exec(key)
  return match === null ? undefined : bindingKey(venue, match[1]!, Number(match[2]), Number(match[3]) - 1)
}

async function mergePlan(round: Round, venue: string, key: string): Promise<string | undefined> {
  if (!key.endsWith('.next.json')) return undefined
  const body = await round.source.store.get(key)
  const successor = /"successor":"(compact_[A-Za-z0-9_]{1,100})"/.exec(body?.toString('latin1') ?? '')?.[1]
  return successor === undefined ? undefined : `${jobsPrefix(venue)}${successor}.plan.json`
}
