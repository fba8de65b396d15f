/** What a vault says it holds, asked of its receipts and, by SQL, of its rows. */

import { rm } from 'node:fs/promises'
import type { ObjectStore } from '../../storage/object-store.ts'
import { tableNames, type Receipt, type TableName } from '../../table/receipt.ts'
import { readReceipts } from '../../table/receipts.ts'
import { runQuery } from '../../query/run.ts'
import { makePrinter, type Row } from '../../query/output.ts'

export interface VaultFacts {
  /** Different (recorder, n) in the rows of all tables. */
  readonly linesInRows: number
  readonly eventsInRows: number
  /** Lines in the files of rejects. */
  readonly rejectedLines: number
  readonly rows: Readonly<Record<TableName, number>>
  /** Gaps but for the one that our own orderly end leaves. */
  readonly gaps: number
  readonly framesMissing: number
  /** Gaps without a known end: an unknown number of frames. */
  readonly openGaps: number
  readonly segments: number
  readonly parts: number
  readonly rawBytes: number
  readonly parquetBytes: number
}

const linesSql = `SELECT count(*) FROM (${tableNames.map((name) => `SELECT recorder, n FROM ${name}`).join(' UNION ')})`
const eventsSql = `SELECT count(*) FROM other WHERE kind = 'event'`
const gapsSql = `SELECT count(*), coalesce(sum(missing), 0), count(*) FILTER (missing IS NULL) FROM gaps WHERE cause <> 'stopped'`

export async function readFacts(store: ObjectStore, signal: AbortSignal): Promise<VaultFacts> {
  const receipts = await readReceipts(store, 'coinbase', signal)
  const [[lines], [events], [gaps]] = [
    await ask(store, linesSql, signal),
    await ask(store, eventsSql, signal),
    await ask(store, gapsSql, signal),
  ]
  const parts = receipts.flatMap((receipt) => receipt.parts)
  const rowsOf = (table: TableName): number =>
    sum(parts.filter((part) => part.table === table).map((part) => part.rows))
  return {
    linesInRows: Number(lines?.[0]),
    eventsInRows: Number(events?.[0]),
    rejectedLines: await countRejects(store, receipts),
    rows: {
      ticker: rowsOf('ticker'),
      level2: rowsOf('level2'),
      market_trades: rowsOf('market_trades'),
      other: rowsOf('other'),
    },
    gaps: Number(gaps?.[0]),
    framesMissing: Number(gaps?.[1]),
    openGaps: Number(gaps?.[2]),
    segments: receipts.length,
    parts: parts.length,
    rawBytes: sum(receipts.flatMap((receipt) => receipt.sources.map((source) => source.size_bytes))),
    parquetBytes: sum(parts.map((part) => part.size_bytes)),
  }
}

/** The answer as `mdv query` prints it. */
export async function printAnswer(store: ObjectStore, sql: string, signal: AbortSignal): Promise<string> {
  let names: readonly string[] = []
  const rows = await ask(store, sql, signal, (given) => (names = given))
  const printer = makePrinter('table', names, { rowsMax: 20, terminalColumns: null })
  return printer.begin() + printer.rows(rows) + printer.end()
}

async function ask(
  store: ObjectStore,
  sql: string,
  signal: AbortSignal,
  begin: (names: readonly string[]) => void = () => undefined,
): Promise<Row[]> {
  const scratchDir = `${await store.scratch('query')}/demo`
  const all: Row[] = []
  const sink = {
    note: () => undefined,
    fetching: () => undefined,
    begin: async (names: readonly string[]) => begin(names),
    rows: async (rows: readonly Row[]) => all.push(...rows) > 0,
  }
  try {
    await runQuery(
      store,
      'coinbase',
      sql,
      { memoryLimitMb: 1024, scratchDir, allowFiles: false },
      sink,
      signal,
    )
  } finally {
    await rm(scratchDir, { recursive: true, force: true })
  }
  return all
}

async function countRejects(store: ObjectStore, receipts: readonly Receipt[]): Promise<number> {
  let lines = 0
  for (const { rejects_key: key } of receipts) {
    const body = key === null ? undefined : await store.get(key)
    for (const byte of body ?? []) if (byte === 0x0a) lines++
  }
  return lines
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, each) => total + each, 0)
}
