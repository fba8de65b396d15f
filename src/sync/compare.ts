/** Two listings side by side, in the order of keys: what one has, the other, or both. Holds a batch of each, whatever their lengths. */

import { VaultError } from '../core/errors.ts'
import type { ObjectInfo, ObjectStore } from '../storage/object-store.ts'

/** At least one of the two is there. */
export interface Pair {
  readonly key: string
  readonly source: ObjectInfo | undefined
  readonly target: ObjectInfo | undefined
}

/** @throws what either listing threw: half a listing must not look like a whole one */
export async function* comparePairs(
  source: ObjectStore,
  target: ObjectStore,
  prefix: string,
  signal: AbortSignal,
): AsyncGenerator<Pair> {
  const ours = inOrder(source, prefix, signal)
  const theirs = inOrder(target, prefix, signal)
  try {
    let [one, other] = await Promise.all([ours.next(), theirs.next()])
    while (one.done !== true || other.done !== true) {
      const mine = one.done === true ? undefined : one.value
      const its = other.done === true ? undefined : other.value
      const key = mine === undefined || (its !== undefined && its.key < mine.key) ? its!.key : mine.key
      const inSource = mine?.key === key
      const inTarget = its?.key === key
      yield { key, source: inSource ? mine : undefined, target: inTarget ? its : undefined }
      if (inSource) one = await ours.next()
      if (inTarget) other = await theirs.next()
    }
  } finally {
    await Promise.all([ours.return(undefined), theirs.return(undefined)])
  }
}

/** A listing out of order would make objects look missing, and be removed for it. */
async function* inOrder(
  store: ObjectStore,
  prefix: string,
  signal: AbortSignal,
): AsyncGenerator<ObjectInfo, undefined> {
  let last = ''
  for await (const batch of store.list(prefix, signal))
    for (const info of batch) {
      if (info.key <= last)
        throw new VaultError(
          'unavailable',
          `${store.location}: lists ${JSON.stringify(info.key)} after ${JSON.stringify(last)}, which is not the order of keys`,
          { remedy: 'nothing was removed; look at that server: S3 lists keys in ascending order' },
        )
      last = info.key
      yield info
    }
  return undefined
}
