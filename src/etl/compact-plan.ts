/**
 * What is worth merging: receipts of hours and days that are over, whose raw bytes are gone from raw/ready. Pure.
 *
 * An hour's jobs become one, and once the day is over the day's become one. What comes late stays beside it until there is enough of
 * it: writing a day again for one segment would cost more than the segment's few parts.
 */

import { sha256Hex } from '../core/ids.ts'
import type { ConvertSettings } from './conversion.ts'
import type { NumberType, Receipt } from '../table/receipt.ts'

export interface CompactionOptions {
  /** Parquet that one merged job holds at most. */
  readonly bytesMax: number
  /** How long after its end an hour or a day may still get segments. */
  readonly graceMs: number
}

/** Receipts that become one. */
export interface CompactionPlan {
  /** `compact_20251203T14_h_0123456789abcdef`; `d` for a day. The same for the same inputs and settings. */
  readonly job: string
  readonly numberType: NumberType
  /** Ascending by job. */
  readonly inputs: readonly Receipt[]
}

/** @param waiting keys in raw/ready: jobs whose source is there are still being finished */
export function planCompaction(
  receipts: readonly Receipt[],
  waiting: ReadonlySet<string>,
  settings: Pick<ConvertSettings, 'software' | 'compression'>,
  nowMs: number,
  options: CompactionOptions,
): CompactionPlan[] {
  const windows = new Map<string, Receipt[]>()
  for (const receipt of receipts) {
    const window = windowOf(receipt.job, nowMs - options.graceMs)
    const isDone = !receipt.sources.some((source) => waiting.has(source.key))
    if (window === undefined || !isDone) continue
    const name = `${window}|${receipt.number_type}`
    const members = windows.get(name)
    if (members === undefined) windows.set(name, [receipt])
    else members.push(receipt)
  }
  return [...windows].flatMap(([name, members]) => {
    const [window = '', numberType] = name.split('|')
    return pack(members, options.bytesMax)
      .filter(isWorthwhile)
      .map((inputs) => ({
        job: compactionJob(window, inputs, settings),
        numberType: numberType as NumberType,
        inputs,
      }))
  })
}

/** `20251203T00_d` once the day is over, `20251203T14_h` once the hour is; undefined: neither, or of no hour. */
export function windowOf(job: string, overMs: number): string | undefined {
  const hour = hourOfJob(job)
  if (hour === undefined) return undefined
  const [year, month, day] = [hour.slice(0, 4), hour.slice(4, 6), hour.slice(6, 8)]
  const dayMs = Date.parse(`${year}-${month}-${day}T00:00:00Z`)
  if (dayMs + 86_400_000 <= overMs) return `${hour.slice(0, 8)}T00_d`
  return dayMs + (Number(hour.slice(9)) + 1) * 3_600_000 <= overMs ? `${hour}_h` : undefined
}

/** The UTC hour in a job's name, of a segment or of a merge. */
export function hourOfJob(job: string): string | undefined {
  return /^(?:segment|compact)_(\d{8}T\d{2})_/.exec(job)?.[1]
}

/** In the order of their names, so that neighbours in time come together. */
function pack(receipts: readonly Receipt[], bytesMax: number): Receipt[][] {
  const groups: Receipt[][] = []
  let groupBytes = Infinity
  for (const receipt of [...receipts].sort((a, b) => (a.job < b.job ? -1 : 1))) {
    const sizeBytes = parquetBytes(receipt)
    if (groupBytes + sizeBytes > bytesMax) {
      groups.push([])
      groupBytes = 0
    }
    groups.at(-1)!.push(receipt)
    groupBytes += sizeBytes
  }
  return groups
}

/** Less than a quarter of what is merged already is left until there is more of it. */
function isWorthwhile(inputs: readonly Receipt[]): boolean {
  if (inputs.length < 2) return false
  const sizes = inputs.map(parquetBytes)
  const largest = sizes.reduce((max, size) => Math.max(max, size))
  return sizes.reduce((total, size) => total + size, 0) - largest >= largest / 4
}

function parquetBytes(receipt: Receipt): number {
  return receipt.parts.reduce((total, part) => total + part.size_bytes, 0)
}

function compactionJob(
  window: string,
  inputs: readonly Receipt[],
  settings: Pick<ConvertSettings, 'software' | 'compression'>,
): string {
  const names = inputs.map((receipt) => `${receipt.job}.g${receipt.generation}`)
  const digits = sha256Hex([settings.software, settings.compression, ...names].join('\n')).slice(0, 16)
  return `compact_${window}_${digits}`
}
