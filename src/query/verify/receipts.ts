/** Receipts among themselves: no line claimed twice, no part named twice, numbers that add up, no hole in a recorder's counter. Pure. */

import { utcDate } from '../../core/time.ts'
import type { Receipt, ReceiptSource } from '../../table/receipt.ts'
import type { AdoptedFile } from '../../table/adopted.ts'
import { chainHoles } from '../chain.ts'
import { error, jobError, jobRemedy, type Finding, type JobRemedy } from './finding.ts'
import { segmentFacts, type SegmentEntry } from '../segments.ts'

export function checkReceipts(receipts: readonly Receipt[], segments: readonly SegmentEntry[]): Finding[] {
  return [
    ...overlaps(receipts),
    ...sharedParts(receipts),
    ...receipts.flatMap((receipt) => checkNumbers(receipt, jobRemedy(receipt, hasRaw(receipt, segments)))),
    ...chainHoles(segments).map((hole) =>
      error(
        'segment_missing',
        `recorder ${hole.recorder}`,
        `lines ${hole.fromN} to ${hole.untilN - 1} are in no receipt and in no segment under raw/`,
        'restore the segment file into raw/ready from a backup; until then the view gaps shows the hole',
      ),
    ),
  ]
}

function overlaps(receipts: readonly Receipt[]): Finding[] {
  const claims = receipts
    .flatMap((receipt) => receipt.sources.map((source) => ({ job: receipt.job, source })))
    .filter(({ source }) => source.last_n !== null)
    .sort((a, b) => compareSources(a.source, b.source))
  const findings: Finding[] = []
  for (let i = 1; i < claims.length; i++) {
    const [before, after] = [claims[i - 1]!, claims[i]!]
    if (before.source.recorder !== after.source.recorder || after.source.first_n > before.source.last_n!)
      continue
    findings.push(
      error(
        'receipts_overlap',
        after.job,
        `claims lines ${after.source.first_n} to ${after.source.last_n} of recorder ${after.source.recorder}, of which ${before.job} already has some: their rows are twice in every table`,
        'one of the two receipts is not of this vault: look at both and move the stranger out of _receipts',
      ),
    )
  }
  return findings
}

function compareSources(a: ReceiptSource, b: ReceiptSource): number {
  if (a.recorder !== b.recorder) return a.recorder < b.recorder ? -1 : 1
  return a.first_n - b.first_n
}

function sharedParts(receipts: readonly Receipt[]): Finding[] {
  const owners = new Map<string, string>()
  const findings: Finding[] = []
  for (const receipt of receipts)
    for (const part of receipt.parts) {
      const owner = owners.get(part.key)
      owners.set(part.key, receipt.job)
      if (owner === undefined) continue
      const message = `is named by ${owner} and by ${receipt.job}: readers see its rows twice`
      findings.push(
        error(
          'part_doubled',
          part.key,
          message,
          'move the receipt that is not of this vault out of _receipts',
        ),
      )
    }
  return findings
}

/** Whether the raw bytes of all its segments are kept. */
export function hasRaw({ job, sources }: Receipt, segments: readonly SegmentEntry[]): boolean {
  const kept = segments.filter(({ rawKey, receipt }) => rawKey !== null && receipt?.job === job)
  return kept.length >= sources.length
}

function checkNumbers(receipt: Receipt, remedy: JobRemedy): Finding[] {
  const { total, frames, events, rejected } = receipt.lines
  const sourceLines = receipt.sources.reduce((sum, source) => sum + source.lines, 0)
  const findings: Finding[] = []
  const say = (message: string): void => {
    findings.push(jobError('receipt_numbers', receipt.job, message, remedy))
  }
  if (frames + events + rejected !== total)
    say(`${frames} frames + ${events} events + ${rejected} rejected are not its ${total} lines`)
  if (sourceLines !== total) say(`its sources have ${sourceLines} lines, its total is ${total}`)
  for (const part of receipt.parts)
    if (utcDate(BigInt(part.min_time_ns)) !== part.date || utcDate(BigInt(part.max_time_ns)) !== part.date)
      say(`part ${part.key} has times outside its date`)
  return findings
}

/** Segments that an adopted file became: the last ones of a file leave no hole that would show their absence. */
export function checkAdopted(files: readonly AdoptedFile[], segments: readonly SegmentEntry[]): Finding[] {
  const known = new Set(
    segments.map((entry) => segmentFacts(entry)).map((facts) => `${facts.recorder} ${facts.firstN}`),
  )
  return files.flatMap((file) =>
    file.segments
      .filter((segment) => !known.has(`${file.recorder} ${segment.first_n}`))
      .map((segment) =>
        error(
          'segment_missing',
          file.path,
          `its ${segment.lines} lines from ${segment.first_n} (recorder ${file.recorder}) are in no receipt and in no segment under raw/`,
          `restore the segment, or remove _adopted/${file.sha256}.json and adopt the file again: what is there is left as it is`,
        ),
      ),
  )
}
