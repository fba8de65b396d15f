/** The runs and gaps of a job, from its rows. */

import type { DuckDBConnection } from '@duckdb/node-api'
import type { Receipt } from '../../table/receipt.ts'
import type { RejectedLines } from './rejects.ts'
import { namedGap, type NamedGap, type SequenceFacts, type SequenceRun } from './sequences.ts'

/**
 * `reached` is the greatest number so far, as the recorder keeps it: a frame begins a run when it does not follow that one. Frames
 * without a number begin and end none, and are remembered where they stand at a run's edge.
 *
 * The numbering is a sum: a window's `count(*) FILTER` looks at all rows before each one again (DuckDB 1.5.6: 57 s instead of 0.5 for 300,000
 * frames of one connection; a merged job has millions).
 */
const runsSql = `WITH frame AS (
  SELECT recorder, conn, n, max(sequence_num) AS seq FROM line WHERE is_frame AND conn IS NOT NULL GROUP BY ALL
), placed AS (
  SELECT *, max(seq) OVER (PARTITION BY recorder, conn ORDER BY n ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS reached,
    lag(seq IS NULL, 1, false) OVER (PARTITION BY recorder, conn ORDER BY n) AS is_after,
    lead(seq IS NULL, 1, false) OVER (PARTITION BY recorder, conn ORDER BY n) AS is_before
  FROM frame
), numbered AS (
  SELECT *, sum((reached IS NULL OR seq > reached + 1)::INTEGER)
    OVER (PARTITION BY recorder, conn ORDER BY n ROWS UNBOUNDED PRECEDING) AS run
  FROM placed WHERE seq IS NOT NULL
)
SELECT recorder, conn, min(n), max(n), arg_min(seq, n), max(seq), arg_min(is_after, n), arg_max(is_before, n)
FROM numbered GROUP BY recorder, conn, run ORDER BY recorder, conn, min(n)`

/**
 * @param connection with the job's lines in the table `line`
 * @param eventsSql recorder, conn, n and body of events that may tell of a gap; null: there are none
 */
export async function sequencesOf(
  connection: DuckDBConnection,
  receipt: Receipt,
  rejects: RejectedLines,
  eventsSql: string | null,
): Promise<SequenceFacts> {
  const runs = (await connection.runAndReadAll(runsSql)).getRows().map((row): SequenceRun => {
    const [firstN, lastN, firstSequence, lastSequence] = row.slice(2, 6).map(Number) as [
      number,
      number,
      number,
      number,
    ]
    const numbers = { firstN, lastN, firstSequence, lastSequence }
    const [isAfterUnknown, isBeforeUnknown] = [row[6] === true, row[7] === true]
    return { recorder: String(row[0]), conn: String(row[1]), ...numbers, isAfterUnknown, isBeforeUnknown }
  })
  const gaps = eventsSql === null ? [] : await gapsOf(connection, eventsSql)
  return { runs: besideRejects(runs, rejects), gaps, known: knownSpans(receipt, rejects) }
}

async function gapsOf(connection: DuckDBConnection, eventsSql: string): Promise<NamedGap[]> {
  const rows = (await connection.runAndReadAll(eventsSql)).getRows()
  return rows.flatMap(
    ([recorder, conn, n, body]) => namedGap(String(recorder), String(conn), Number(n), String(body)) ?? [],
  )
}

/** A rejected line may have been a frame of any connection. */
function besideRejects(runs: readonly SequenceRun[], { counted }: RejectedLines): SequenceRun[] {
  const rejected = new Map<string, number[]>()
  for (const { recorder, n } of counted) {
    const lines = rejected.get(recorder)
    if (lines === undefined) rejected.set(recorder, [n])
    else lines.push(n)
  }
  for (const lines of rejected.values()) lines.sort((a, b) => a - b)
  return runs.map((run, i) => {
    const lines = rejected.get(run.recorder)
    if (lines === undefined) return run
    const [before, after] = [runs[i - 1], runs[i + 1]]
    const from = before?.conn === run.conn ? before.lastN : -1
    const until = after?.conn === run.conn ? after.firstN : Infinity
    return {
      ...run,
      // The line after a jump is the one that names it.
      isAfterUnknown: run.isAfterUnknown || hasBetween(lines, from, run.firstN + 2),
      isBeforeUnknown: run.isBeforeUnknown || hasBetween(lines, run.lastN, until),
    }
  })
}

/** @param sorted ascending; both ends excluded */
function hasBetween(sorted: readonly number[], after: number, before: number): boolean {
  let [low, high] = [0, sorted.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (sorted[middle]! <= after) low = middle + 1
    else high = middle
  }
  return low < sorted.length && sorted[low]! < before
}

/** Bytes too damaged to hold a counter may have been any lines of the job. */
function knownSpans({ sources }: Receipt, { withoutCounter }: RejectedLines): SequenceFacts['known'] {
  if (withoutCounter > 0) return []
  return sources.flatMap(({ recorder, first_n: firstN, last_n: lastN }) =>
    lastN === null ? [] : [{ recorder, firstN, lastN }],
  )
}
