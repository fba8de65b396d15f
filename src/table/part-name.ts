/** Names of parts: the hour their segment was opened, and digits that come from the job alone. Pure. */

import { sha256Hex } from '../core/ids.ts'
import { parseSegmentLabel, partitionPrefix } from '../storage/keys.ts'

/** What most parts carry. Two jobs of one hour share them once in four thousand million. */
export const partDigitsUsual = 8
/** For a job whose usual names hold other bytes already. */
export const partDigitsMore = 16

/** @returns lower-case hex digits, the same for each try of one plan of a job */
export function partDigits(job: string, planGeneration: number, length: number): string {
  return sha256Hex(`${job} ${planGeneration}`).slice(0, length)
}

/** `segment_20251203T14_00002_abcdefghij_12345`: label and identity of its segment, or of the first of its batch. */
export function jobId(label: string, recorder: string, firstN: number): string {
  return `${label}_${recorder}_${firstN}`
}

/** The job of a segment that its batch was committed without: `…_b2`, by the generation of the binding that says so. */
export function jobIdAgain(
  label: string,
  { recorder, firstN }: { readonly recorder: string; readonly firstN: number },
  bindingGeneration: number,
): string {
  return `${jobId(label, recorder, firstN)}_b${bindingGeneration}`
}

/** Whether a job is that of a segment which the binding of this generation gave to a batch in vain. */
export function isAgainAfter(bindingGeneration: number, job: string): boolean {
  return job.endsWith(`_b${bindingGeneration + 1}`)
}

/** Label, recorder and first n of the segment that a job is called after; undefined when the name is not one. */
export function parseJobId(
  job: string,
): { readonly label: string; readonly recorder: string; readonly firstN: number } | undefined {
  const match = /^(segment_\d{8}T\d{2}_\d{5,})_([a-z2-7]{10})_(\d+)(?:_b\d+)?$/.exec(job)
  return match === null ? undefined : { label: match[1]!, recorder: match[2]!, firstN: Number(match[3]) }
}

export interface PartPlace {
  readonly table: string
  readonly productId: string | null
  readonly date: string
}

/** @param slice from 1; null when the partition has one part of this job */
export function partKey(
  venue: string,
  job: string,
  digits: string,
  place: PartPlace,
  slice: number | null,
): string {
  const hour = parseSegmentLabel(parseJobId(job)?.label ?? '')?.hour ?? '19700101T00'
  const ending = slice === null ? '' : `_${slice}`
  return `${partitionPrefix(venue, place.table, place.productId, place.date)}part_${hour}_${digits}${ending}.parquet`
}

/** @param digits as many as nobody else has */
export function mergedPartKey(venue: string, job: string, digits: string, place: PartPlace): string {
  const hour = /^compact_(\d{8}T\d{2})_/.exec(job)?.[1] ?? '19700101T00'
  return `${partitionPrefix(venue, place.table, place.productId, place.date)}part_${hour}_${digits}.parquet`
}

/** Hour and digits of a part's key, or of a staged part's; undefined for files that are none of ours. */
export function parsePartKey(key: string): { readonly hour: string; readonly digits: string } | undefined {
  const match = /\/part_(\d{8}T\d{2})_([0-9a-f]{8}|[0-9a-f]{16})(?:_[1-9]\d*)?\.parquet(?:\.staged)?$/.exec(
    key,
  )
  return match === null ? undefined : { hour: match[1]!, digits: match[2]! }
}
