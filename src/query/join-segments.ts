/**
 * What lies in raw/ and what receipts remember, as the segments of a vault. Pure. Of a million, what is made for each counts: one small object,
 * and nothing is looked up that is in order already.
 */

import type { ObjectInfo } from '../storage/object-store.ts'
import { ByIdentity } from '../segment/by-identity.ts'
import type { Receipt, ReceiptSource } from '../table/receipt.ts'
import { labelOf, type RawListing, type SegmentEntry, type SegmentState } from './segments.ts'

/** Every segment of a venue, oldest label first. */
export function joinSegments(raw: RawListing, receipts: readonly Receipt[]): SegmentEntry[] {
  const remembered = rememberedSegments(receipts)
  const entries = raw.entries.length === 0 ? remembered : joinRaw(raw.entries, remembered)
  entries.sort(byLabel)
  const strangers = findArchived(entries, raw.archived)
  return strangers.length === 0 ? entries : [...entries, ...strangers.map(unreceipted)].sort(byLabel)
}

/** A segment that a receipt names and that is not in raw/ready. */
class RememberedSegment implements SegmentEntry {
  readonly receipt: Receipt
  readonly source: ReceiptSource
  /** Its bytes in the archive. */
  archived: ObjectInfo | null = null

  constructor(receipt: Receipt, source: ReceiptSource) {
    this.receipt = receipt
    this.source = source
  }

  get label(): string {
    return this.source.label
  }

  get state(): SegmentState {
    return this.archived === null ? 'converted' : 'archived'
  }

  get rawKey(): string | null {
    return this.archived?.key ?? null
  }

  get sizeBytes(): number {
    return this.archived?.sizeBytes ?? this.source.size_bytes
  }

  get modifiedMs(): number | null {
    return this.archived?.modifiedMs ?? null
  }

  get header(): null {
    return null
  }

  get seal(): null {
    return null
  }

  get problem(): null {
    return null
  }
}

/** Of several receipts that name a segment the last. A recorder's counters rise from receipt to receipt, and then none is named twice. */
function rememberedSegments(receipts: readonly Receipt[]): SegmentEntry[] {
  const segments: RememberedSegment[] = []
  const reached = new Map<string, number>()
  let areRising = true
  for (const receipt of receipts)
    for (const source of receipt.sources) {
      segments.push(new RememberedSegment(receipt, source))
      const before = reached.get(source.recorder)
      if (before !== undefined && before >= source.first_n) areRising = false
      reached.set(source.recorder, source.first_n)
    }
  return areRising ? segments : lastOfEach(segments)
}

function lastOfEach(segments: readonly RememberedSegment[]): SegmentEntry[] {
  const last = new ByIdentity<SegmentEntry>()
  for (const segment of segments) last.set(segment.source.recorder, segment.source.first_n, segment)
  return last.values()
}

/** What raw/ and receipts say of a segment. */
interface InRaw {
  /** It lies there as more than a growing one. */
  readonly isSealed: boolean
  readonly remembered: SegmentEntry | null
}

/**
 * Bytes in raw/ready that a receipt covers wait only to be removed; so does what still lies in raw/active of a segment that is published or
 * converted, and it is no segment of its own.
 */
function joinRaw(raw: readonly SegmentEntry[], remembered: readonly SegmentEntry[]): SegmentEntry[] {
  const known = new ByIdentity<InRaw>()
  for (const { header, state } of raw) {
    if (header === null) continue
    const isSealed = state !== 'active' || known.get(header.recorder, header.n)?.isSealed === true
    known.set(header.recorder, header.n, { isSealed, remembered: null })
  }
  const elsewhere = remembered.filter((segment) => {
    const { recorder, first_n: firstN } = segment.source!
    const found = known.get(recorder, firstN)
    if (found !== undefined) known.set(recorder, firstN, { ...found, remembered: segment })
    return found?.isSealed !== true
  })
  const present = raw.flatMap((entry) => {
    const found = entry.header === null ? undefined : known.get(entry.header.recorder, entry.header.n)
    if (found === undefined) return [entry]
    if (entry.state === 'active') return found.isSealed || found.remembered !== null ? [] : [entry]
    if (found.remembered === null) return [entry]
    const { receipt, source } = found.remembered
    return [{ ...entry, receipt, source, state: 'converted' as const }]
  })
  return [...present, ...elsewhere]
}

/**
 * Tells remembered segments where the archive has their bytes: of several objects with a label the first. The archive is listed in the order of
 * labels, strangers in folders of their own aside.
 *
 * @param entries by label
 * @returns objects whose labels no entry bears
 */
function findArchived(entries: readonly SegmentEntry[], objects: readonly ObjectInfo[]): ObjectInfo[] {
  const strangers: ObjectInfo[] = []
  let at = 0
  for (const object of objects) {
    const label = labelOf(object.key)
    // Mostly the next one is meant.
    if (entries[at]?.label !== label) at = entries[at + 1]?.label === label ? at + 1 : firstAt(entries, label)
    if (entries[at]?.label !== label) strangers.push(object)
    for (let i = at; entries[i]?.label === label; i++) {
      const entry = entries[i]
      if (entry instanceof RememberedSegment) entry.archived ??= object
    }
  }
  return strangers
}

/** The first place whose label is not before this one. */
function firstAt(entries: readonly SegmentEntry[], label: string): number {
  let from = 0
  for (let until = entries.length; from < until;) {
    const middle = (from + until) >>> 1
    if (entries[middle]!.label < label) from = middle + 1
    else until = middle
  }
  return from
}

function unreceipted(object: ObjectInfo): SegmentEntry {
  return {
    label: labelOf(object.key),
    state: 'foreign',
    rawKey: object.key,
    sizeBytes: object.sizeBytes,
    modifiedMs: object.modifiedMs,
    header: null,
    seal: null,
    receipt: null,
    source: null,
    problem: 'no receipt names it',
  }
}

/** Several recorders that shipped from spools may have used one label. */
function byLabel(a: SegmentEntry, b: SegmentEntry): number {
  return compareText(a.label, b.label) || compareText(a.source?.recorder ?? '', b.source?.recorder ?? '')
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
