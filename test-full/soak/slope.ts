/** Whether a series of samples rises: a robust slope and the bound it must stay under. Pure. */

/** One sample: seconds since the start, and the value in the measure's own unit. */
export interface Sample {
  readonly s: number
  readonly value: number
}

/** What a series may rise by in an hour and is still called flat: the larger of a share of its level and a room. */
export interface Bound {
  readonly share: number
  readonly room: number
}

export interface Trend {
  readonly start: number
  readonly end: number
  readonly median: number
  readonly max: number
  /** Per hour, of the samples after the warm-up. */
  readonly slope: number
  /** Per hour. */
  readonly allowed: number
  /** Whether there are samples from most of the time after the warm-up. */
  readonly isTold: boolean
  readonly isRising: boolean
}

/** The share of a run at its beginning in which caches fill and the heap finds its size. */
const warmUp = 0.25
const toldShare = 0.6
/** Start and end are medians of this share of the samples: single ones say nothing where a value swings. */
const edge = 0.05

/**
 * @param samples in the order of time; there may be none of some of the time
 * @param wholeS how long was sampled
 * @returns undefined when there are too few after the warm-up
 */
export function trendOf(samples: readonly Sample[], bound: Bound, wholeS: number): Trend | undefined {
  const fromS = wholeS * warmUp
  const warm = samples.filter(({ s }) => s >= fromS)
  if (warm.length < 4) return undefined
  const values = warm.map(({ value }) => value)
  const ends = Math.max(1, Math.round(values.length * edge))
  const median = medianOf(values)
  const slope = theilSen(warm) * 3600
  const allowed = Math.max(bound.share * Math.abs(median), bound.room)
  return {
    start: medianOf(values.slice(0, ends)),
    end: medianOf(values.slice(-ends)),
    median,
    max: Math.max(...values),
    slope,
    allowed,
    isTold: warm.at(-1)!.s - warm[0]!.s > (wholeS - fromS) * toldShare,
    isRising: slope > allowed,
  }
}

/**
 * The median of the slopes between all pairs (Theil and Sen): up to 29 % of the samples may be anything, which for a process that now and
 * then does more work they are, and the slope stays what the rest says.
 */
export function theilSen(samples: readonly Sample[]): number {
  const slopes: number[] = []
  for (const [i, early] of samples.entries())
    for (const late of samples.slice(i + 1))
      if (late.s > early.s) slopes.push((late.value - early.value) / (late.s - early.s))
  return medianOf(slopes)
}

/** @returns 0 for none */
export function medianOf(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  if (sorted.length === 0) return 0
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}
