/** The segments that a vault has or had, by identity: what a recovery must not make a second time. */

import { forEachAtOnce } from '../core/at-once.ts'
import { rawActive, rawReady, receiptsPrefix } from '../storage/keys.ts'
import { listAll, type ObjectInfo, type ObjectStore } from '../storage/object-store.ts'
import type { SegmentHeader } from './format.ts'
import { isOfThisFormat, peekSegment, type PeekedHeader } from './peek.ts'

/** A segment that exists somewhere, by identity. */
export interface Known {
  readonly recorder: string
  readonly n: number
  /** Published: under raw/ready or named by a receipt. */
  readonly isPublished: boolean
  /** Where it lies; null when only a receipt knows it. */
  readonly key: string | null
  readonly openedNs: bigint
}

/**
 * A file that turns out to hold no line is forgotten before the one it was to follow is looked at: that one is then the recorder's
 * last, and says where its connections stood. Killed in between: the file is gone, and the next recovery finds the same.
 */
export function latestFirst(files: readonly ObjectInfo[], known: ReadonlyMap<string, Known>): ObjectInfo[] {
  const orderOf = (file: ObjectInfo): Known | undefined => known.get(file.key)
  return [...files].sort((a, b) => {
    const [x, y] = [orderOf(a), orderOf(b)]
    if (x === undefined || y === undefined) return Number(x === undefined) - Number(y === undefined)
    return y.n - x.n || compareBigInt(y.openedNs, x.openedNs) || (a.key < b.key ? 1 : -1)
  })
}

function compareBigInt(a: bigint, b: bigint): number {
  return a < b ? -1 : Number(a > b)
}

/** A recorder that starts beside a backlog of thousands does not record before all are looked at. */
const peeksAtOnce = 16

/** By the key they lie under, or the receipt's. */
export async function knownSegments(
  store: ObjectStore,
  venue: string,
  signal: AbortSignal,
): Promise<Map<string, Known>> {
  const known = new Map<string, Known>()
  for (const folder of [rawActive(venue), rawReady(venue)]) {
    const objects = await listAll(store, `${folder}segment_`, signal)
    await forEachAtOnce(objects, peeksAtOnce, async (object) => {
      const peek = await peekSegment(store, object, false, signal)
      if (peek === 'gone' || peek.header === null) return
      known.set(object.key, {
        recorder: peek.header.recorder,
        n: peek.header.n,
        isPublished: folder === rawReady(venue),
        key: object.key,
        openedNs: openedNs(peek.header),
      })
    })
  }
  for (const { key } of await listAll(store, receiptsPrefix(venue), signal)) {
    const job = /_([a-z2-7]{10})_(\d+)(?:\.g\d+)?\.json$/.exec(key)
    if (job !== null)
      known.set(key, { recorder: job[1]!, n: Number(job[2]), isPublished: true, key: null, openedNs: 0n })
  }
  return known
}

function openedNs(header: PeekedHeader): bigint {
  return isOfThisFormat(header) ? BigInt(header.opened_ns) : 0n
}

/**
 * Whether another file holds the same segment. `published`: the crash between the link to ready and the removal of the active name.
 * `later`: it was opened in place of this one, which failed before any of its lines was durable; kept aside all the same, since the
 * wall clock alone says which was later.
 */
export function replacedBy(
  key: string,
  header: SegmentHeader,
  known: ReadonlyMap<string, Known>,
): 'published' | 'later' | null {
  const opened = openedNs(header)
  const same = [...known.values()].filter(
    (one) => one.recorder === header.recorder && one.n === header.n && one.key !== key,
  )
  if (same.some((one) => one.isPublished)) return 'published'
  const isLater = (one: Known): boolean =>
    one.openedNs > opened || (one.openedNs === opened && one.key !== null && one.key > key)
  return same.some(isLater) ? 'later' : null
}

/** The counter at which the recorder's next segment begins; null: this is its last. */
export function nextOf(header: SegmentHeader, known: ReadonlyMap<string, Known>): number | null {
  let next: number | null = null
  for (const { recorder, n } of known.values())
    if (recorder === header.recorder && n > header.n && (next === null || n < next)) next = n
  return next
}
