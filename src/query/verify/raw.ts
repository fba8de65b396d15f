/** Raw segments against themselves and against receipts: every line's checksum and counter, the seal, the chain from one to the next. */

import { VaultError } from '../../core/errors.ts'
import { parseSegmentLabel } from '../../storage/keys.ts'
import type { ObjectStore } from '../../storage/object-store.ts'
import { error, jobError, jobRemedy, warning, type Finding } from './finding.ts'
import type { VerifyProgress } from './progress.ts'
import type { ScannedSegment, Scans } from './scan-task.ts'
import type { ScanResult } from '../../segment/scan.ts'
import { checkSeal, lastCounter } from '../../segment/seal-check.ts'
import type { Receipt } from '../../table/receipt.ts'
import { noFacts, type SequenceFacts } from './sequences.ts'
import type { SegmentEntry } from '../segments.ts'

/** What the chain is checked with. */
export interface RawFacts {
  readonly key: string
  readonly recorder: string
  readonly firstN: number
  readonly lastN: number | null
  readonly prev: string | null
  readonly sealSha256: string
}

export interface CheckedRaw {
  readonly findings: readonly Finding[]
  /** null where the segment cannot be trusted to say. */
  readonly facts: RawFacts | null
  /** Of its connections, where no rows tell of them yet. */
  readonly sequences: SequenceFacts
}

const useNewest = 'use the newest mdv on this vault'

/** What repair and conversion refuse meanwhile: the receipt that cannot be read may be this segment's. */
export const receiptsFirst =
  'first put right the receipts that cannot be read: one of them may have taken this segment as it is'

/** Of a segment that is not converted, what is good can be; of any other, its rows are in Parquet. */
function repairRemedy(key: string, { source }: SegmentEntry, isReceiptDamaged: boolean): string {
  if (source !== null) return `mdv segments repair ${key} (its rows are in Parquet)`
  return isReceiptDamaged ? receiptsFirst : `mdv segments repair ${key} && mdv etl --once`
}

export interface RawDeps {
  /** There are receipts that cannot be read. */
  readonly isReceiptDamaged: boolean
  /** Whether the bytes of all segments of a job are kept. */
  readonly hasRaw: (receipt: Receipt) => boolean
  readonly store: ObjectStore
  readonly venue: string
  readonly scans: Scans
  readonly progress: VerifyProgress
}

/** @param entry with its bytes in raw/; one that moves on meanwhile has no findings */
export async function checkRawSegment(
  { store, venue, scans, progress, isReceiptDamaged, hasRaw }: RawDeps,
  entry: SegmentEntry,
  signal: AbortSignal,
): Promise<CheckedRaw> {
  const key = entry.rawKey!
  const remedy = repairRemedy(key, entry, isReceiptDamaged)
  const nothing = { findings: [], facts: null, sequences: noFacts }
  if (entry.state === 'foreign' && !isNamedSegment(entry)) {
    const words = `is not a segment of this vault (${entry.problem ?? 'its name is not one'}); it is left alone`
    return {
      ...nothing,
      findings: [warning('segment_foreign', key, words, 'move it away if it should not be there')],
    }
  }
  try {
    const { sizeBytes } = entry
    const task = { kind: 'segment', key, sizeBytes, venue, isWaiting: entry.source === null } as const
    const bytes = progress.reading(store.read(key, 0, sizeBytes, signal))
    const scanned = await scans.segment(task, bytes, signal)
    const { findings, facts } = checkScan(key, entry, scanned, remedy)
    const untrue = checkSource(entry, scanned.scan, hasRaw)
    return { findings: [...findings, ...untrue], facts, sequences: scanned.sequences }
  } catch (thrown) {
    signal.throwIfAborted()
    if ((await store.head(key)) === undefined) return nothing
    if (!(thrown instanceof VaultError) || thrown.kind === 'unavailable') throw thrown
    const finding =
      thrown.kind === 'corrupt'
        ? error('segment_damaged', key, thrown.message, remedy)
        : warning('segment_damaged', key, thrown.message, thrown.remedy ?? remedy)
    return { ...nothing, findings: [finding] }
  }
}

/** Who wrote it called it a segment: that its first line cannot be read is damage. What no receipt names in the archive is a stranger. */
function isNamedSegment({ label, rawKey }: SegmentEntry): boolean {
  const name = `/${label}.ndjson`
  return parseSegmentLabel(label) !== undefined && rawKey!.endsWith(name)
}

function checkScan(
  key: string,
  entry: SegmentEntry,
  { scan, problems, connections }: ScannedSegment,
  remedy: string,
): Omit<CheckedRaw, 'sequences'> {
  const findings: Finding[] = []
  const expected = entry.source?.file_sha256
  // The very bytes that were converted: their damage is known, and what it spoiled is among the rejects.
  const isKnown = expected === scan.fileSha256
  const isOther = expected !== undefined && !isKnown
  const say = (message: string): void => {
    findings.push(
      isKnown
        ? warning(
            'segment_damaged',
            key,
            `${message}; it was so when it was converted`,
            entry.state === 'archived' ? 'nothing: what could not be read is in raw/rejected' : remedy,
          )
        : error('segment_damaged', key, message, remedy),
    )
  }
  // What the rest of it means, this version cannot say.
  if (scan.headerProblem?.includes('newer version') === true)
    return { findings: [error('segment_newer', key, scan.headerProblem, useNewest)], facts: null }
  // Nothing behind it was looked at.
  if (scan.headerProblem !== null)
    return {
      findings: [error('segment_damaged', key, scan.headerProblem, remedy)],
      facts: null,
    }
  if (scan.badLines > 0) say(`${scan.badLines} bad lines (${problems.join('; ')})`)
  if (scan.seal === null) say('it has no seal: its end is missing')
  if (scan.sealProblem !== null) say(scan.sealProblem)
  else if (scan.seal !== null && scan.badLines === 0)
    for (const problem of checkSeal(scan.seal, scan, connections)) say(problem)
  if (isOther)
    say(
      `sha256 ${scan.fileSha256.slice(0, 12)}… ≠ ${expected.slice(0, 12)}… in its receipt: not the bytes that were converted`,
    )
  if (scan.header === null || scan.seal === null) return { findings, facts: null }
  // It is linked to its neighbours by the bytes that its recorder sealed, and these are not here any more.
  if (scan.seal.repaired === true) return { findings, facts: null }
  const { recorder, n, prev } = scan.header
  const facts = { key, recorder, firstN: n, lastN: scan.seal.last_n, prev, sealSha256: scan.seal.sha256 }
  return { findings, facts }
}

/** Where the bytes that were converted are kept, they show whether the receipt says the truth of them. */
function checkSource(
  { receipt, source }: SegmentEntry,
  scan: ScanResult,
  hasRaw: RawDeps['hasRaw'],
): Finding[] {
  if (receipt === null || source === null || scan.header === null) return []
  if (scan.fileSha256 !== source.file_sha256) return []
  const lines = scan.lines + scan.badLines
  const lastN = lastCounter(scan)
  if (source.lines === lines && source.last_n === lastN) return []
  const message = `says that ${source.label} has ${source.lines} lines up to n ${source.last_n}; it has ${lines} up to ${lastN}`
  return [jobError('receipt_numbers', receipt.job, message, jobRemedy(receipt, hasRaw(receipt)))]
}

/** Each segment names the digest of the one before it: a segment exchanged for another shows. */
export function checkRawChain(facts: readonly RawFacts[], segments: readonly SegmentEntry[]): Finding[] {
  const before = sealsBefore(facts, segments)
  return facts.flatMap((each) => {
    const seals = before.get(`${each.recorder} ${each.firstN}`)
    const isFirst = each.firstN === 1 && each.prev === null
    if (isFirst || seals === undefined || (each.prev !== null && seals.has(each.prev))) return []
    const words = `follows ${each.prev?.slice(0, 12) ?? 'nothing'}…, but the segment before it is ${[...seals][0]?.slice(0, 12)}…`
    return [
      error('segment_chain', each.key, words, 'one of the two was exchanged: compare both with a backup'),
    ]
  })
}

/** Seals of the segments that end right before a counter: one, or more where one of them is empty. */
function sealsBefore(
  facts: readonly RawFacts[],
  segments: readonly SegmentEntry[],
): Map<string, Set<string>> {
  const seals = new Map<string, Set<string>>()
  const note = (recorder: string, firstN: number, lastN: number | null, seal: string): void => {
    const key = `${recorder} ${lastN === null ? firstN : lastN + 1}`
    seals.set(key, (seals.get(key) ?? new Set()).add(seal))
  }
  for (const { source } of segments)
    if (source?.seal_sha256) note(source.recorder, source.first_n, source.last_n, source.seal_sha256)
  for (const each of facts) note(each.recorder, each.firstN, each.lastN, each.sealSha256)
  return seals
}
