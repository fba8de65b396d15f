/** The `segments` view: one row for each segment the vault knows, with where it is and what became of it. Pure. */

import { segmentFacts, type SegmentEntry } from './segments.ts'
import { sqlText } from './views.ts'

const columns: readonly (readonly [name: string, type: string])[] = [
  ['venue', 'VARCHAR'],
  ['label', 'VARCHAR'],
  ['state', 'VARCHAR'],
  ['recorder', 'VARCHAR'],
  ['first_n', 'BIGINT'],
  ['last_n', 'BIGINT'],
  ['lines', 'BIGINT'],
  ['size_bytes', 'BIGINT'],
  ['first_recv_time', 'TIMESTAMPTZ'],
  ['last_recv_time', 'TIMESTAMPTZ'],
  ['raw_key', 'VARCHAR'],
  ['job', 'VARCHAR'],
  ['generation', 'INTEGER'],
  ['parts', 'BIGINT'],
  ['rows', 'BIGINT'],
  ['rejected', 'BIGINT'],
  ['problem', 'VARCHAR'],
]

/** A table, not a view over a query: thousands of rows as VALUES would be parsed again with each use. */
export function segmentsSql(venue: string, segments: readonly SegmentEntry[]): string[] {
  const make = `CREATE TABLE segments (${columns.map(([name, type]) => `"${name}" ${type}`).join(', ')})`
  const inserts: string[] = []
  for (let from = 0; from < segments.length; from += 1000) {
    const rows = segments.slice(from, from + 1000).map((entry) => rowSql(venue, entry))
    inserts.push(`INSERT INTO segments VALUES ${rows.join(', ')}`)
  }
  return [make, ...inserts]
}

function rowSql(venue: string, entry: SegmentEntry): string {
  const facts = segmentFacts(entry)
  const receipt = entry.receipt
  const values = [
    text(venue),
    text(entry.label),
    text(entry.state),
    text(facts.recorder),
    number(facts.firstN),
    number(facts.lastN),
    number(facts.lines),
    number(entry.sizeBytes),
    instant(facts.firstRecvNs),
    instant(facts.lastRecvNs),
    text(entry.rawKey),
    text(receipt?.job ?? null),
    number(receipt?.generation ?? null),
    number(receipt?.parts.length ?? null),
    number(receipt?.parts.reduce((sum, part) => sum + part.rows, 0) ?? null),
    number(receipt?.lines.rejected ?? null),
    text(entry.problem),
  ]
  return `(${values.join(', ')})`
}

function text(value: string | null): string {
  return value === null ? 'NULL' : sqlText(value)
}

function number(value: number | null): string {
  return value === null ? 'NULL' : String(value)
}

function instant(epochNs: bigint | null): string {
  return epochNs === null ? 'NULL' : `make_timestamptz(${epochNs / 1000n})`
}
