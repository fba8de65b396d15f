/** Lines of segments that are in Parquet only: made of their rows again, in the order of their counter. */

import type { DuckDBConnection } from '@duckdb/node-api'
import { rebuildFrame, type RowText } from '../../dataset/rebuild.ts'
import { localFiles, type Trust } from '../../storage/download.ts'
import type { ObjectStore } from '../../storage/object-store.ts'
import { tableNames, type ReceiptPart, type TableName } from '../../table/receipt.ts'
import { whereItLies, type Catalog } from '../catalog.ts'
import type { RowEngine } from '../row-engine.ts'
import { rowsOfTable, type RowStream } from '../row-stream.ts'
import type { ReplayLine } from './line.ts'
import type { Piece, TablesPiece, TimeRange } from './plan.ts'

const linesAtOnce = 256

export interface TablesDeps {
  readonly store: ObjectStore
  readonly engine: RowEngine
  readonly staged: Catalog['staged']
  readonly trust: Trust
}

/** A piece of which only rows are left. */
export type ConvertedPiece = Piece & { readonly from: TablesPiece }

/**
 * Lines without `len` and `crc`, which only lines as they were received can have; frames equal to those as JSON, keys in another order perhaps.
 * Rejected lines are not among them.
 *
 * @param range lines received outside of it may come too, where no column tells them apart
 */
export async function* tableLines(
  { store, engine, staged, trust }: TablesDeps,
  piece: ConvertedPiece,
  range: TimeRange,
  signal: AbortSignal,
): AsyncGenerator<readonly ReplayLine[]> {
  const { receipt } = piece.from
  const objects = receipt.parts.map((part) => whereItLies(part, staged))
  await using files = await localFiles(store, objects, { trust, onProgress: () => undefined }, signal)
  const pathOf = (part: ReceiptPart): string => files.pathOf(whereItLies(part, staged).key)!
  const paths = new Map(receipt.parts.map((part) => [part.key, pathOf(part)]))
  const open = (table: TableName, connection: DuckDBConnection): RowStream =>
    rowsOfTable(receipt, paths, table, piece.recorder, connection, rowsIn(piece, range))
  using lent = await engine.lend(tableNames.length)
  const streams = tableNames.map((table, i) => open(table, lent.connections[i]!))
  // A sort before the first row may take minutes.
  const interrupt = (): void => lent.connections.forEach((connection) => connection.interrupt())
  signal.addEventListener('abort', interrupt, { once: true })
  try {
    signal.throwIfAborted()
    yield* linesOf(streams, signal)
  } finally {
    signal.removeEventListener('abort', interrupt)
  }
}

function rowsIn({ firstN, lastN }: Piece, { fromNs, untilNs }: TimeRange): string {
  return `part.n BETWEEN ${firstN} AND ${lastN} AND (part.recv_ns IS NULL OR part.recv_ns BETWEEN ${fromNs} AND ${untilNs - 1n})`
}

async function* linesOf(
  streams: readonly RowStream[],
  signal: AbortSignal,
): AsyncGenerator<readonly ReplayLine[]> {
  let batch: ReplayLine[] = []
  for (;;) {
    const line = await nextLine(streams, signal)
    if (line !== null) batch.push(line)
    if (line !== null && batch.length < linesAtOnce) continue
    signal.throwIfAborted()
    if (batch.length > 0) yield batch
    if (line === null) return
    batch = []
  }
}

async function nextLine(streams: readonly RowStream[], signal: AbortSignal): Promise<ReplayLine | null> {
  let least: { readonly n: number; readonly stream: RowStream } | null = null
  for (const stream of streams) {
    signal.throwIfAborted()
    const n = await stream.nextN()
    if (n !== null && (least === null || n < least.n)) least = { n, stream }
  }
  return least === null ? null : lineOf(least.stream.table, await least.stream.take(least.n))
}

function lineOf(table: TableName, rows: readonly RowText[]): ReplayLine {
  const first = rows[0]!
  const { n, recv_ns: recv, conn } = first
  const recvNs = recv == null ? null : BigInt(recv)
  // Of a newer kind: kept whole.
  if (table === 'other' && first['kind'] === 'unknown')
    return { n: Number(n), recvNs, text: Buffer.from(`${first['body']}\n`), frame: null }
  const { member, frame } = table === 'other' ? otherValue(first) : rowsValue(rebuildFrame(table, rows))
  const start = `{"n":${n}${recv == null ? '' : `,"recv_ns":"${recv}"`}${conn == null ? '' : `,"conn":${JSON.stringify(conn)}`}`
  return { n: Number(n), recvNs, text: Buffer.from(`${start},${member}}\n`), frame }
}

interface Value {
  readonly member: string
  readonly frame: Buffer | null
}

function rowsValue(frame: string): Value {
  return { member: `"msg":${frame}`, frame: Buffer.from(frame) }
}

function otherValue({ kind, body, verbatim }: RowText): Value {
  if (kind === 'event') return { member: `"event":${body}`, frame: null }
  if (verbatim == null) return { member: `"msg":${body}`, frame: Buffer.from(String(body)) }
  const isBinary = verbatim === 'binary' || verbatim === 'not_utf8'
  const member = `"${isBinary ? 'base64' : 'text'}":${JSON.stringify(body)},"why":"${verbatim}"`
  return { member, frame: Buffer.from(String(body), isBinary ? 'base64' : 'utf8') }
}
