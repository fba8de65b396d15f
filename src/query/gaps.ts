/** The `gaps` view: what recorders wrote down as missing, less what came late, and segments that are missing whole. Pure. */

import type { ChainHole } from './chain.ts'
import { sqlText } from './views.ts'

/** Columns of `gaps`, in order. `from_time`/`until_time`: receipt of the last frame before and the first after. */
export const gapColumns =
  'venue, recorder, conn, cause, after_seq, before_seq, missing, late, from_time, until_time, products, n'

/**
 * Statements that make the view. A gap whose numbers all arrived later, out of order, is no gap and has no row;
 * `late` counts those of a remaining one, and `missing` is without them.
 */
export function gapsSql(venue: string, holes: readonly ChainHole[]): string[] {
  return [missingSegmentsSql(venue, holes), viewSql]
}

const viewSql = `CREATE VIEW gaps AS
WITH event AS (
  SELECT venue, recorder, conn, n, body::JSON AS body FROM other WHERE kind = 'event'
), gap AS (
  SELECT venue, recorder, conn, n,
    body->>'$.gap.cause' AS cause,
    (body->>'$.gap.after_seq')::BIGINT AS after_seq,
    (body->>'$.gap.before_seq')::BIGINT AS before_seq,
    (body->>'$.gap.missing')::BIGINT AS missing,
    make_timestamptz((body->>'$.gap.from_ns')::BIGINT // 1000) AS from_time,
    make_timestamptz((body->>'$.gap.until_ns')::BIGINT // 1000) AS until_time,
    coalesce(from_json(body->'$.gap.products', '["VARCHAR"]'), []) AS products
  FROM event WHERE json_exists(body, '$.gap')
), late AS (
  SELECT DISTINCT recorder, conn, (body->>'$.disorder.got')::BIGINT AS seq
  FROM event WHERE body->>'$.disorder.kind' = 'late'
), counted AS (
  SELECT gap.*, (
    SELECT count(*) FROM late
    WHERE late.recorder = gap.recorder AND late.conn = gap.conn
      AND late.seq > gap.after_seq AND late.seq < gap.before_seq) AS late
  FROM gap
)
SELECT venue, recorder, conn, cause, after_seq, before_seq, missing - late AS missing, late,
  from_time, until_time, products, n
FROM counted WHERE missing IS NULL OR missing > late OR late = 0
UNION ALL
SELECT ${gapColumns} FROM missing_segments`

function missingSegmentsSql(venue: string, holes: readonly ChainHole[]): string {
  const rows = holes.map(
    (hole) =>
      `(${sqlText(venue)}, ${sqlText(hole.recorder)}, ${microseconds(hole.fromNs)}, ${microseconds(hole.untilNs)}, ${hole.fromN})`,
  )
  const source =
    rows.length === 0
      ? `(SELECT NULL::VARCHAR, NULL::VARCHAR, NULL::BIGINT, NULL::BIGINT, NULL::BIGINT WHERE false)`
      : `(VALUES ${rows.join(', ')})`
  return `CREATE VIEW missing_segments AS
SELECT venue, recorder, NULL::VARCHAR AS conn, 'missing_segment' AS cause, NULL::BIGINT AS after_seq,
  NULL::BIGINT AS before_seq, NULL::BIGINT AS missing, 0::BIGINT AS late, make_timestamptz(from_us::BIGINT) AS from_time,
  make_timestamptz(until_us::BIGINT) AS until_time, []::VARCHAR[] AS products, n::BIGINT AS n
FROM ${source} AS hole(venue, recorder, from_us, until_us, n)`
}

function microseconds(epochNs: bigint | null): string {
  return epochNs === null ? 'NULL' : String(epochNs / 1000n)
}
