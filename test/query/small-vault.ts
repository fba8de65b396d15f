/** A vault of a few rows, its Parquet made by DuckDB directly and its receipts by hand: what readers must show is known beforehand. */

import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { crc32 } from 'node:zlib'
import type { DuckDBInstance } from '@duckdb/node-api'
import { systemClock } from '../../src/cli/system-clock.ts'
import { tableColumns } from '../../src/dataset/tables.ts'
import type { LogEvent } from '../../src/segment/format.ts'
import { CachedStore } from '../../src/storage/cache-store.ts'
import { duckdb } from '../../src/storage/duckdb.ts'
import { openLocalStore } from '../../src/storage/local.ts'
import { partitionPrefix, rawRejected, readySegmentKey, receiptKey } from '../../src/storage/keys.ts'
import type { LocalObjectStore, ObjectStore } from '../../src/storage/object-store.ts'
import type { NumberType, Receipt, ReceiptPart, TableName } from '../../src/table/receipt.ts'
import { FarStore } from '../storage/far-store.ts'

export const recorder = 'abcdefghij'
export const baseNs = 1_764_770_400_000_000_000n

/** One row of a table: what is not given is null, `n` and the partition aside. */
export interface RowSpec {
  readonly table: TableName
  readonly product: string | null
  readonly date?: string
  readonly n: number
  readonly values: Readonly<Record<string, string | number | boolean>>
}

export interface JobSpec {
  readonly label: string
  readonly firstN: number
  readonly lastN: number
  readonly rows: readonly RowSpec[]
  readonly numberType?: NumberType
  readonly generation?: number
  readonly recorder?: string
  /** Counters of lines that were rejected. */
  readonly rejectedN?: readonly number[]
  /** Distinguishes the parts of one job's generations. */
  readonly digits?: string
}

/** Whether readers see the vault as they would a bucket: no files, but copies in a cache. Set by a test file as its first act. */
export const reading = { isFar: false }

export class SmallVault {
  readonly store: LocalObjectStore
  /** As readers see it. */
  readonly reader: ObjectStore
  readonly baseDir: string
  readonly #instance: DuckDBInstance

  constructor(store: LocalObjectStore, baseDir: string, instance: DuckDBInstance) {
    this.store = store
    this.reader = reading.isFar ? cached(new FarStore(store), `${baseDir}-cache`) : store
    this.baseDir = baseDir
    this.#instance = instance
  }

  static async make(): Promise<SmallVault> {
    const baseDir = await mkdtemp(join(tmpdir(), 'mdv-query-'))
    return new SmallVault(
      await openLocalStore(baseDir),
      baseDir,
      await duckdb.DuckDBInstance.create(':memory:'),
    )
  }

  /** Writes the parts, then the receipt. */
  async job(spec: JobSpec): Promise<Receipt> {
    const groups = new Map<string, RowSpec[]>()
    for (const row of spec.rows) {
      const key = partitionPrefix('coinbase', row.table, row.product, row.date ?? '2025-12-03')
      groups.set(key, [...(groups.get(key) ?? []), row])
    }
    const parts: ReceiptPart[] = []
    for (const [prefix, rows] of groups)
      parts.push(
        await this.#part(prefix, rows, spec.numberType ?? 'decimal', spec.digits ?? 'aaaaaaaa', spec.label),
      )
    const receipt = makeReceipt(spec, parts)
    if (receipt.rejects_key !== null) await this.write(receipt.rejects_key, rejectLines(spec))
    await this.write(receiptKey('coinbase', receipt.job, receipt.generation), JSON.stringify(receipt))
    return receipt
  }

  async #part(
    prefix: string,
    rows: readonly RowSpec[],
    numberType: NumberType,
    digits: string,
    label: string,
  ): Promise<ReceiptPart> {
    const { table, product, date } = rows[0]!
    const key = `${prefix}part_${label.slice(8, 19)}_${digits}.parquet`
    const columns = tableColumns(table, numberType)
    const selects = rows.map((row) => {
      const values: Record<string, string | number | boolean> = {
        venue: 'coinbase',
        recorder,
        n: row.n,
        recv_ns: String(baseNs + BigInt(row.n) * 1_000_000n),
        exchange_ns: String(baseNs + BigInt(row.n) * 1_000_000n),
        ...(table === 'other' ? { kind: 'frame', body: '{}' } : { event_index: 0, row_index: 0 }),
        ...row.values,
      }
      return (
        'SELECT ' +
        columns
          .map((column) => `${literal(values[column.name])}::${column.type} AS "${column.name}"`)
          .join(', ')
      )
    })
    const path = this.store.pathOf(key)
    await mkdir(dirname(path), { recursive: true })
    const connection = await this.#instance.connect()
    await connection.run(`COPY (${selects.join(' UNION ALL ')}) TO '${path}' (FORMAT parquet)`)
    connection.closeSync()
    const bytes = await readFile(path)
    const times = rows.map((row) => baseNs + BigInt(row.n) * 1_000_000n).sort((a, b) => Number(a - b))
    return {
      key,
      table,
      product_id: product,
      date: date ?? '2025-12-03',
      rows: rows.length,
      size_bytes: bytes.length,
      sha256: sha256(bytes),
      min_time_ns: String(times[0]),
      max_time_ns: String(times.at(-1)),
    }
  }

  /** A sealed segment in raw/ready whose lines are events. */
  async readySegment(
    label: string,
    firstN: number,
    events: readonly LogEvent[],
    prev: string | null = null,
  ): Promise<string> {
    const key = readySegmentKey('coinbase', label)
    await this.write(key, sealedSegment(firstN, events, prev))
    return key
  }

  async write(key: string, body: string | Uint8Array): Promise<void> {
    const path = this.store.pathOf(key)
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, body)
  }

  async remove(): Promise<void> {
    this.#instance.closeSync()
    await rm(this.baseDir, { recursive: true, force: true })
    await rm(`${this.baseDir}-cache`, { recursive: true, force: true })
  }

  async sizeOf(key: string): Promise<number> {
    return (await stat(this.store.pathOf(key))).size
  }
}

/** A far store with copies in a folder. */
export function cached(store: ObjectStore, dir: string, maxBytes = 1e9): CachedStore {
  return new CachedStore(store, store.location, { dir, maxBytes, clock: systemClock, random: Math.random })
}

/** The bytes of a whole sealed segment of event lines. */
export function sealedSegment(
  firstN: number,
  events: readonly LogEvent[],
  prev: string | null = null,
): string {
  const header = {
    format: 1,
    venue: 'coinbase',
    url: 'wss://example',
    software: 'mdv test',
    recorder,
    n: firstN,
    prev,
    opened_ns: String(baseNs),
  }
  let body = JSON.stringify({ segment: header }) + '\n'
  events.forEach((event, i) => {
    const head = `{"n":${firstN + i},"recv_ns":"${baseNs + BigInt(firstN + i) * 1_000_000n}","event":${JSON.stringify(event)}`
    body += `${head},"crc":"${crc32(head).toString(16).padStart(8, '0')}"}\n`
  })
  const lastN = events.length === 0 ? null : firstN + events.length - 1
  const seal = {
    lines: events.length,
    bytes: Buffer.byteLength(body),
    sha256: sha256(Buffer.from(body)),
    first_n: events.length === 0 ? null : firstN,
    last_n: lastN,
    first_recv_ns: events.length === 0 ? null : String(baseNs + BigInt(firstN) * 1_000_000n),
    last_recv_ns: lastN === null ? null : String(baseNs + BigInt(lastN) * 1_000_000n),
    connections: [],
  }
  return body + JSON.stringify({ seal }) + '\n'
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

function makeReceipt(spec: JobSpec, parts: readonly ReceiptPart[]): Receipt {
  const who = spec.recorder ?? recorder
  const total = spec.lastN - spec.firstN + 1
  const rejected = spec.rejectedN?.length ?? 0
  const job = `${spec.label}_${who}_${spec.firstN}`
  return {
    format: 1,
    job,
    generation: spec.generation ?? 1,
    venue: 'coinbase',
    software: 'mdv test',
    number_type: spec.numberType ?? 'decimal',
    sources: [
      {
        key: readySegmentKey('coinbase', spec.label),
        label: spec.label,
        recorder: who,
        first_n: spec.firstN,
        last_n: spec.lastN,
        lines: total,
        size_bytes: 1000,
        file_sha256: sha256(Buffer.from(spec.label)),
        seal_sha256: sha256(Buffer.from(`seal ${spec.label}`)),
        first_recv_ns: String(baseNs + BigInt(spec.firstN) * 1_000_000n),
        last_recv_ns: String(baseNs + BigInt(spec.lastN) * 1_000_000n),
      },
    ],
    parts,
    lines: { total, frames: total - rejected, events: 0, rejected },
    rejects_key: rejected === 0 ? null : `${rawRejected('coinbase')}${job}.g${spec.generation ?? 1}.ndjson`,
    writer: 'test',
    committed_ms: 1_764_770_500_000,
  }
}

function rejectLines(spec: JobSpec): string {
  const lines = (spec.rejectedN ?? []).map((n) => {
    const reject = {
      segment: spec.label,
      label: spec.label,
      recorder,
      n,
      offset: 0,
      len: 8,
      reason: 'not_json',
      detail: '',
      text: 'not json',
    }
    return JSON.stringify(reject) + '\n'
  })
  return lines.join('')
}

function literal(value: string | number | boolean | undefined): string {
  if (value === undefined) return 'NULL'
  return typeof value === 'string' ? `'${value.replaceAll("'", "''")}'` : String(value)
}
