/**
 * Which rows go into each vector of a staged table, so that one COPY with PARTITION_BY keeps the order of each group's rows. Pure.
 *
 * DuckDB (1.5.6, src/common/types/column/partitioned_column_data.cpp) holds back what a vector has of a partition while it is fewer
 * than 64 rows, and appends more than that at once: a group that begins with few rows at the end of a vector and goes on with many
 * would have its first rows last. Such a beginning is staged twice, and counts in the next vector only.
 */

/** Rows of one vector. */
export interface StageWindow {
  readonly from: number
  readonly until: number
  /** Those before it count; the others come again. */
  readonly countedUntil: number
}

/** As many as DuckDB's vectors hold. */
export const vectorRows = 2048
const heldBackRows = 64

/** @param ends where each group ends, ascending; the last ends with the rows */
export function windowsOf(from: number, ends: readonly number[]): StageWindow[] {
  const last = ends.at(-1) ?? from
  const windows: StageWindow[] = []
  let group = 0
  for (let at = from; at < last;) {
    const until = Math.min(at + vectorRows, last)
    // The group that the window ends in.
    while (ends[group]! < until) group++
    const start = group === 0 ? from : ends[group - 1]!
    const isCut = start > at && until - start < heldBackRows && ends[group]! - until >= heldBackRows
    const countedUntil = isCut ? start : until
    windows.push({ from: at, until, countedUntil })
    at = countedUntil
  }
  return windows
}
