/** What has to be true of a batch once all is drained: asked of the raw lines, of the simulator's account, and of the rows by glob. */

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DuckDBInstance, type DuckDBConnection } from '@duckdb/node-api'
import { compareWithAccount, type SentConnection } from '../compare.ts'
import { readArchivedSegments, type RecordedSegment } from '../segment-lines.ts'
import { filesUnder } from './stores.ts'
import type { Tally } from './tally.ts'

export interface Evidence {
  /** A folder with the vault, its raw segments archived. */
  readonly baseDir: string
  readonly sent: readonly SentConnection[]
  /** By the process of a recorder, the last counter it called durable. */
  readonly promised: ReadonlyMap<number, number>
  readonly leftovers: readonly string[]
}

const tables = ['ticker', 'level2', 'market_trades', 'other'] as const

export async function prove(evidence: Evidence, tally: Tally): Promise<void> {
  const { baseDir, sent, promised, leftovers } = evidence
  for (const key of leftovers) tally.differ(`${key} is left over`)
  const segments = readArchivedSegments(baseDir)
  const lines = checkCounters(segments, tally)
  checkPromises(segments, promised, lines, tally)
  const comparison = compareWithAccount(segments, sent)
  for (const difference of comparison.differences) tally.differ(difference)
  checkUnheard(comparison.recorders, tally)
  tally.add('compared', 'frames sent', comparison.sent)
  tally.add('compared', 'frames recorded', comparison.recorded)
  tally.add('compared', 'frames lost and named by gaps', comparison.lost - comparison.unheard)
  tally.add('compared', 'frames on connections of which nothing was durable yet', comparison.unheard)
  countSegments(segments, tally)
  await checkRows(baseDir, lines, tally)
}

/** Each recorder's lines are 1, 2, 3 … @returns how many, by recorder */
function checkCounters(segments: readonly RecordedSegment[], tally: Tally): Map<string, number> {
  const byRecorder = new Map<string, number[]>()
  for (const { recorder, frames, events, sealed, name } of segments) {
    if (!sealed) tally.differ(`${name} has no seal`)
    const own = byRecorder.get(recorder) ?? []
    for (const { n } of [...frames, ...events]) own.push(n)
    byRecorder.set(recorder, own)
  }
  const lines = new Map<string, number>()
  for (const [recorder, counters] of byRecorder) {
    counters.sort((a, b) => a - b)
    const at = counters.findIndex((n, i) => n !== i + 1)
    if (at >= 0) tally.differ(`recorder ${recorder}: counter ${counters[at]} where ${at + 1} was expected`)
    lines.set(recorder, counters.length)
    tally.add('compared', 'lines durable', counters.length)
  }
  return lines
}

/** What was called durable is there. */
function checkPromises(
  segments: readonly RecordedSegment[],
  promised: ReadonlyMap<number, number>,
  lines: ReadonlyMap<string, number>,
  tally: Tally,
): void {
  const recorderOf = new Map<number, string>()
  for (const { recorder, events } of segments)
    for (const { kind, body } of events)
      if (kind === 'recorder_started') recorderOf.set(Number(body['pid']), recorder)
  for (const [pid, durableN] of promised) {
    const there = lines.get(recorderOf.get(pid) ?? '') ?? 0
    if (there < durableN)
      tally.differ(`recorder of process ${pid}: durable_n=${durableN} was promised, ${there} lines are there`)
    tally.add('compared', 'lines promised', durableN)
  }
}

/** A recorder has one connection at a time: one of which it wrote nothing can only be its last, on which it died. */
function checkUnheard(recorders: readonly (string | null)[], tally: Tally): void {
  let before: string | null = null
  let isBetween = false
  for (const recorder of recorders) {
    if (recorder !== null && isBetween && recorder === before)
      tally.differ(`recorder ${recorder}: nothing is there of a connection between two others`)
    isBetween = recorder === null
    before = recorder ?? before
  }
}

function countSegments(segments: readonly RecordedSegment[], tally: Tally): void {
  const recorders = new Set(segments.map(({ recorder }) => recorder))
  tally.add('compared', 'segments', segments.length)
  tally.add('reached', 'segments rotated', segments.length - recorders.size)
  for (const { events } of segments)
    for (const { kind, body } of events) {
      if (kind === 'gap') tally.add('gaps by cause', String(body['cause']))
      if (kind === 'clock_step') tally.add('reached', 'clock steps recorded')
      if (kind === 'connection_closed' && String(body['reason']).includes('Max payload size exceeded'))
        tally.add('reached', 'frames over 64 MiB refused')
      if (kind === 'connection_opened') tally.add('reached', 'connections opened')
    }
  // A connection's name ends with its number in its recorder.
  const again = segments
    .flatMap(({ events }) => events)
    .filter(({ kind, conn }) => kind === 'connection_opened' && !conn!.endsWith('-1'))
  tally.add('reached', 'connections opened again by the same recorder', again.length)
}

/** Rows and rejects hold each line of each recorder, none of them twice: read as any reader would, by glob. */
async function checkRows(baseDir: string, lines: ReadonlyMap<string, number>, tally: Tally): Promise<void> {
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  try {
    const rejected = rejectedLines(baseDir)
    tally.add('compared', 'lines rejected', rejected.length)
    const there = await linesInRows(connection, baseDir, tally)
    for (const { reason } of rejected) tally.add('lines rejected by reason', reason)
    for (const { recorder } of rejected) there.set(recorder, (there.get(recorder) ?? 0) + 1)
    for (const recorder of new Set([...lines.keys(), ...there.keys()])) {
      const [recorded, converted] = [lines.get(recorder) ?? 0, there.get(recorder) ?? 0]
      if (recorded !== converted)
        tally.differ(`recorder ${recorder}: ${recorded} lines recorded, ${converted} in rows and rejects`)
    }
  } finally {
    connection.closeSync()
    instance.closeSync()
  }
}

/** @returns lines of each recorder that have rows; a line has them in one table only */
async function linesInRows(
  connection: DuckDBConnection,
  baseDir: string,
  tally: Tally,
): Promise<Map<string, number>> {
  const found = new Map<string, number>()
  const parts = filesUnder(join(baseDir, 'processed', 'coinbase'))
  for (const table of tables) {
    if (!parts.some((part) => part.startsWith(`${table}/`) && part.endsWith('.parquet'))) continue
    const key = table === 'other' ? 'n' : 'n, event_index, row_index'
    const answer = await connection.runAndReadAll(
      `SELECT recorder, count(*)::INTEGER AS rows, count(DISTINCT (${key}))::INTEGER AS different, count(DISTINCT n)::INTEGER AS lines
       FROM read_parquet('${join(baseDir, 'processed', 'coinbase', table, '**', '*.parquet')}') GROUP BY recorder`,
    )
    for (const { recorder, rows, different, lines } of answer.getRowObjects()) {
      const name = String(recorder)
      if (rows !== different)
        tally.differ(`${table} of recorder ${name}: ${Number(rows) - Number(different)} rows are doubled`)
      tally.add('compared', 'rows', Number(rows))
      found.set(name, (found.get(name) ?? 0) + Number(lines))
    }
  }
  return found
}

/** Torn ends lie beside them, under another ending. */
function rejectedLines(baseDir: string): { readonly recorder: string; readonly reason: string }[] {
  return filesUnder(baseDir)
    .filter((name) => name.startsWith('raw/rejected/') && name.endsWith('.ndjson'))
    .flatMap((name) => readFileSync(join(baseDir, name), 'utf8').trimEnd().split('\n'))
    .map((line) => JSON.parse(line) as { recorder: string; reason: string })
}
