/**
 * What a month in a bucket costs: rates, measured from receipts or assumed, times a table of prices. The arithmetic with its numbers is
 * docs/cost.md. Pure.
 */

import { rangeBytes } from '../storage/download.ts'
import type { Receipt } from '../table/receipt.ts'

/** US dollars. Deletes, and bytes moved within a region, cost nothing at AWS. */
export interface Prices {
  readonly storageGbMonth: number
  /** PUT, COPY, POST and LIST. */
  readonly putPer1000: number
  readonly getPer1000: number
}

/** What happens in a day. */
export interface DailyRates {
  readonly rawBytes: number
  readonly segments: number
  readonly jobs: number
  readonly parts: number
  readonly parquetBytes: number
}

export interface CostSettings {
  /** Which layers lie in a bucket. */
  readonly isRawInBucket: boolean
  readonly isProcessedInBucket: boolean
  readonly pollSeconds: number
  readonly prices: Prices
}

export interface CostLine {
  readonly what: string
  /** `GB` are of 10^9 bytes and stored; the others are requests a day. */
  readonly kind: 'GB' | 'PUT' | 'LIST' | 'GET'
  readonly count: number
  readonly dollarsPerMonth: number
}

/** How often the recorder copies what is durable to the bucket. */
export const chunkEverySeconds = 5
const daySeconds = 86_400
const monthDays = 30

/** Requests of one job, and of each of its segments, beside parts and the ranges of raw bytes; counted by bench/requests.ts. */
const jobRequests = { PUT: 2, LIST: 1, GET: 4 } as const
const segmentRequests = { PUT: 2, GET: 4 } as const
/** Listings of a round that finds nothing to do. */
const roundLists = 2

/** @param storedBytes what lies in the bucket now */
export function monthlyCost(rates: DailyRates, storedBytes: number, settings: CostSettings): CostLine[] {
  const { isRawInBucket, isProcessedInBucket, pollSeconds } = settings
  const stored: CostLine[] = [
    gigabytes('stored now', storedBytes, settings),
    ...(isProcessedInBucket
      ? [
          gigabytes(
            'added meanwhile, on average half a month of Parquet',
            (rates.parquetBytes * monthDays) / 2,
            settings,
          ),
        ]
      : []),
  ]
  const recording = isRawInBucket
    ? [
        requests('chunks of the growing segment', 'PUT', daySeconds / chunkEverySeconds, settings),
        requests('sealed segments', 'PUT', rates.segments, settings),
        requests('whether their labels are free', 'LIST', rates.segments, settings),
        requests('the same of the archive', 'GET', 2 * rates.segments, settings),
        requests(
          'segments read for conversion',
          'GET',
          rates.rawBytes / rangeBytes + 2 * rates.segments,
          settings,
        ),
      ]
    : []
  const converting = isProcessedInBucket
    ? [
        requests('looking for work', 'LIST', (daySeconds / pollSeconds) * roundLists, settings),
        requests(
          'claims, bindings, receipts',
          'PUT',
          rates.jobs * jobRequests.PUT + rates.segments * segmentRequests.PUT,
          settings,
        ),
        requests('listings of jobs', 'LIST', rates.jobs * jobRequests.LIST, settings),
        requests(
          'reading claims, bindings, receipts',
          'GET',
          rates.jobs * jobRequests.GET + rates.segments * segmentRequests.GET,
          settings,
        ),
        requests('Parquet parts', 'PUT', rates.parts, settings),
      ]
    : []
  return [...stored, ...recording, ...converting]
}

function gigabytes(what: string, sizeBytes: number, { prices }: CostSettings): CostLine {
  const count = sizeBytes / 1e9
  return { what, kind: 'GB', count, dollarsPerMonth: count * prices.storageGbMonth }
}

function requests(
  what: string,
  kind: 'PUT' | 'LIST' | 'GET',
  perDay: number,
  { prices }: CostSettings,
): CostLine {
  const per1000 = kind === 'GET' ? prices.getPer1000 : prices.putPer1000
  return { what, kind, count: perDay, dollarsPerMonth: (perDay / 1000) * per1000 * monthDays }
}

export interface Assumed {
  readonly mbPerSecond: number
  readonly products: number
  /** What one conversion takes together. */
  readonly secondsPerJob: number
  readonly segmentMb: number
  readonly segmentSeconds: number
}

/** Parquet of a byte of raw, and parts of a product in a job, as the demo and recordings of the real feed show them. */
const parquetPerRaw = 0.07
const partsPerProduct = 3

/** Rates of a recording that does not exist yet. */
export function assumedRates(assumed: Assumed): DailyRates {
  const rawBytes = assumed.mbPerSecond * 1e6 * daySeconds
  // Sealed by size or by age, whichever comes first.
  const segments = Math.max(rawBytes / (assumed.segmentMb * 1e6), daySeconds / assumed.segmentSeconds)
  const jobs = Math.min(segments, daySeconds / assumed.secondsPerJob)
  return {
    rawBytes,
    segments,
    jobs,
    parts: jobs * assumed.products * partsPerProduct,
    parquetBytes: rawBytes * parquetPerRaw,
  }
}

/** Below this a rate says nothing. */
const measuredSecondsMin = 60

/** Rates of the last day of recording, or of all there is; null: too little. */
export function measuredRates(receipts: readonly Receipt[]): DailyRates | null {
  const spans = receipts.map((receipt) => ({ receipt, ...spanSeconds(receipt) }))
  const newest = Math.max(0, ...spans.map((span) => span.until))
  const recent = spans.filter((span) => span.until > newest - daySeconds)
  const oldest = Math.min(newest, ...recent.map((span) => span.from))
  const seconds = newest - oldest
  if (seconds < measuredSecondsMin) return null
  const perDay = (of: (receipt: Receipt) => number): number =>
    (recent.reduce((total, { receipt }) => total + of(receipt), 0) * daySeconds) / seconds
  return {
    rawBytes: perDay(({ sources }) => sources.reduce((total, source) => total + source.size_bytes, 0)),
    segments: perDay(({ sources }) => sources.length),
    jobs: perDay(() => 1),
    parts: perDay(({ parts }) => parts.length),
    parquetBytes: perDay(({ parts }) => parts.reduce((total, part) => total + part.size_bytes, 0)),
  }
}

/** When its lines were received, epoch seconds; empty segments: never. */
function spanSeconds({ sources }: Receipt): { readonly from: number; readonly until: number } {
  const seconds = (ns: string | null): number[] =>
    ns === null ? [] : [Number(BigInt(ns) / 1_000_000n) / 1000]
  return {
    from: Math.min(Number.MAX_SAFE_INTEGER, ...sources.flatMap((source) => seconds(source.first_recv_ns))),
    until: Math.max(0, ...sources.flatMap((source) => seconds(source.last_recv_ns))),
  }
}
