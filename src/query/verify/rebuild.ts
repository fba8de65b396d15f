/**
 * The proof that conversion lost nothing: every line of a raw segment that is kept is made again from Parquet and compared.
 * Rows and lines are read side by side in the order of their counter, so that a segment of any size takes little memory.
 */

import { assert } from '../../core/assert.ts'
import { rebuildFrame, type RowText } from '../../dataset/rebuild.ts'
import type { RowTable } from '../../dataset/shape.ts'
import { messageOf, VaultError } from '../../core/errors.ts'
import type { Line } from '../../segment/format.ts'
import { readSegmentChunks } from '../../segment/read.ts'
import type { ObjectStore } from '../../storage/object-store.ts'
import { unpacked, unpackedBytesMax } from '../../storage/unpack.ts'
import type { Receipt, TableName } from '../../table/receipt.ts'
import { tableNames } from '../../table/receipt.ts'
import { jobError, jobRemedy, type Finding } from './finding.ts'
import { isEqualJson } from './json-equal.ts'
import type { PartPaths } from '../row-stream.ts'
import type { RejectedLines } from './rejects.ts'
import type { RowEngine } from '../row-engine.ts'
import { rowsOfTable, type RowStream } from '../row-stream.ts'
import type { SegmentEntry } from '../segments.ts'

/** Lines beyond this are counted and not told one by one. */
const toldMax = 5

export async function rebuildCheck(
  store: ObjectStore,
  receipt: Receipt,
  paths: PartPaths,
  rejects: RejectedLines,
  raw: SegmentEntry,
  engine: RowEngine,
  signal: AbortSignal,
): Promise<{ readonly frames: number; readonly findings: readonly Finding[] }> {
  const { source } = raw
  assert(source !== null, `${raw.label} has a receipt`)
  using lent = await engine.lend(tableNames.length)
  const streams = tableNames.map((table, i) =>
    rowsOfTable(receipt, paths, table, source.recorder, lent.connections[i]!),
  )
  const rejected = new Set(
    rejects.counted.filter(({ recorder }) => recorder === source.recorder).map(({ n }) => n),
  )
  const key = raw.rawKey!
  const bytes = unpacked(
    key,
    store.read(key, 0, raw.sizeBytes, signal),
    unpackedBytesMax(raw.sizeBytes),
    signal,
  )
  try {
    return await compare(receipt, bytes, streams, rejected, signal)
  } catch (thrown) {
    // Raw bytes that cannot be unpacked are told of where they are looked at; here there is nothing to compare with.
    if (thrown instanceof VaultError && thrown.kind === 'corrupt') return { frames: 0, findings: [] }
    throw thrown
  }
}

async function compare(
  receipt: Receipt,
  bytes: AsyncIterable<Buffer>,
  streams: readonly RowStream[],
  rejected: ReadonlySet<number>,
  signal: AbortSignal,
): Promise<{ readonly frames: number; readonly findings: readonly Finding[] }> {
  let frames = 0
  const differing: number[] = []
  const missing: number[] = []
  for await (const batch of readSegmentChunks(bytes)) {
    signal.throwIfAborted()
    for (const line of batch) {
      if (line.kind === 'bad') continue
      const found = await rowsOf(streams, line.n)
      if (found === null) {
        // The accounting cannot miss it where bytes were rejected that hold no counter: it might have been in them.
        if (!rejected.has(line.n)) missing.push(line.n)
        continue
      }
      if (line.kind === 'unknown') continue
      frames++
      if (!isSame(line, found.table, found.rows)) differing.push(line.n)
    }
  }
  const findings = [
    ...told(
      'rebuild_differs',
      receipt,
      differing,
      'made again from Parquet are not what the raw segment has',
    ),
    ...told('lines_missing', receipt, missing, 'of the raw segment are neither in a table nor rejected'),
  ]
  return { frames, findings }
}

function told(
  kind: 'rebuild_differs' | 'lines_missing',
  receipt: Receipt,
  lines: readonly number[],
  words: string,
): Finding[] {
  if (lines.length === 0) return []
  const which = lines.slice(0, toldMax).join(', ')
  const more = lines.length > toldMax ? ', …' : ''
  const message = `${lines.length} lines ${words} (n ${which}${more})`
  return [jobError(kind, receipt.job, message, jobRemedy(receipt, true))]
}

async function rowsOf(
  streams: readonly RowStream[],
  n: number,
): Promise<{ readonly table: TableName; readonly rows: readonly RowText[] } | null> {
  let found: { readonly table: TableName; readonly rows: readonly RowText[] } | null = null
  for (const stream of streams) {
    const rows = await stream.take(n)
    if (rows.length > 0) found = { table: stream.table, rows }
  }
  return found
}

function isSame(
  line: Exclude<Line, { kind: 'unknown' }>,
  table: TableName,
  rows: readonly RowText[],
): boolean {
  const first = rows[0]!
  const isOfLine = (row: RowText): boolean =>
    row['recv_ns'] === String(line.recvNs) && (row['conn'] ?? null) === line.conn
  if (!rows.every(isOfLine)) return false
  if (line.kind === 'event') return isEqualJson(first['body'] ?? '', JSON.stringify(line.event))
  if (table === 'other') return isSameBody(line, first)
  if (line.verbatim !== null) return false
  return isEqualJson(rebuilt(table, rows), line.frame.toString('utf8'))
}

function isSameBody(line: Extract<Line, { kind: 'frame' }>, row: RowText): boolean {
  if ((row['verbatim'] ?? null) !== line.verbatim) return false
  const isBinary = line.verbatim === 'binary' || line.verbatim === 'not_utf8'
  return row['body'] === line.frame.toString(isBinary ? 'base64' : 'utf8')
}

/** Rows that make no frame are a difference like any other. */
function rebuilt(table: RowTable, rows: readonly RowText[]): string {
  try {
    return rebuildFrame(table, rows)
  } catch (thrown) {
    return JSON.stringify(messageOf(thrown))
  }
}
