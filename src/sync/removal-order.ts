/** In which order records may go, so that those left make sense at every moment. Pure. */

import { parseReceiptKey } from '../storage/keys.ts'
import type { ObjectInfo } from '../storage/object-store.ts'
import { isMerge } from '../table/receipts.ts'

/**
 * History before what superseded it: a job whose merge or later generation is gone would count again, without its parts.
 *
 * @param merges the jobs that each merge among them holds
 */
export function receiptWaves(
  due: readonly ObjectInfo[],
  merges: ReadonlyMap<string, readonly string[]>,
): readonly (readonly ObjectInfo[])[] {
  const depths = new Map<string, number>()
  const depthOf = (job: string): number => {
    const known = depths.get(job)
    if (known !== undefined) return known
    depths.set(job, 0) // a circle, which only a forger makes, ends here
    const held = (merges.get(job) ?? []).filter((each) => merges.has(each))
    const depth =
      held.length === 0 ? 0 : 1 + held.reduce((deepest, each) => Math.max(deepest, depthOf(each)), 0)
    depths.set(job, depth)
    return depth
  }
  return inWaves(due, ({ key }) => {
    const name = parseReceiptKey(key)
    if (name === undefined) return 0
    return isMerge(name.job) ? 1e9 * (1 + depthOf(name.job)) : name.generation
  })
}

/** Later plans before earlier ones, and plans of merges after what points to them. */
export function recordWaves(due: readonly ObjectInfo[]): readonly (readonly ObjectInfo[])[] {
  return inWaves(due, ({ key }) => {
    if (key.endsWith('.plan.json')) return 1
    return -Number(/_\d+\.g([1-9]\d*)\.json$/.exec(key)?.[1] ?? 1)
  })
}

function inWaves(
  due: readonly ObjectInfo[],
  waveOf: (info: ObjectInfo) => number,
): readonly (readonly ObjectInfo[])[] {
  const waves = new Map<number, ObjectInfo[]>()
  for (const info of due) {
    const wave = waveOf(info)
    const others = waves.get(wave)
    if (others === undefined) waves.set(wave, [info])
    else others.push(info)
  }
  return [...waves].sort(([a], [b]) => a - b).map(([, infos]) => infos)
}
