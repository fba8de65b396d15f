/** Segments for conversion tests, and their conversion read back as texts. */

import { createHash } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { DuckDBInstance } from '@duckdb/node-api'
import type { NumberType, TableName } from '../../src/dataset/names.ts'
import type { RowText } from '../../src/dataset/rebuild.ts'
import { tableColumns } from '../../src/dataset/tables.ts'
import { convertSegments } from '../../src/etl/convert.ts'
import type { Conversion } from '../../src/etl/conversion.ts'

export const recorder = 'abcdefghij'
export const baseNs = 1_764_770_400_000_000_000n

/** The bytes of a line around a value, as a recorder writes it. */
export function line(n: number, rest: string): Buffer {
  return lineAt(n, String(baseNs + BigInt(n) * 1000n), rest)
}

export function lineAt(n: number, recvNs: string, rest: string): Buffer {
  const head = Buffer.from(`{"n":${n},"recv_ns":"${recvNs}"${rest}`)
  return Buffer.concat([head, Buffer.from(`,"crc":"${crc32(head).toString(16).padStart(8, '0')}"}\n`)])
}

export function frameLine(n: number, frame: string): Buffer {
  return line(n, `,"conn":"${recorder}-1","len":${Buffer.byteLength(frame)},"msg":${frame}`)
}

/** A sealed segment of whole lines from `firstN` on. */
export function segment(lines: readonly Buffer[], firstN = 1): Buffer {
  const header = {
    format: 1,
    venue: 'coinbase',
    url: 'wss://example',
    software: 'mdv test',
    recorder,
    n: firstN,
    prev: null,
    opened_ns: String(baseNs),
  }
  const body = Buffer.concat([Buffer.from(`${JSON.stringify({ segment: header })}\n`), ...lines])
  const seal = {
    lines: lines.length,
    bytes: body.length,
    sha256: createHash('sha256').update(body).digest('hex'),
    first_n: firstN,
    last_n: firstN + lines.length - 1,
    first_recv_ns: String(baseNs + BigInt(firstN) * 1000n),
    last_recv_ns: String(baseNs + BigInt(firstN + lines.length - 1) * 1000n),
    connections: [],
  }
  return Buffer.concat([body, Buffer.from(`${JSON.stringify({ seal })}\n`)])
}

export function frameSegment(frames: readonly string[]): Buffer {
  return segment(frames.map((frame, i) => frameLine(i + 1, frame)))
}

export interface ConvertedRow {
  readonly table: TableName
  readonly productId: string | null
  readonly date: string
  readonly values: RowText
}

/** Converts a segment in a folder of its own and hands over what came of it, before the folder goes. */
export async function withConversion<T>(
  segments: Buffer | readonly Buffer[],
  options: { readonly numberType?: NumberType; readonly threads?: number },
  use: (conversion: Conversion) => Promise<T>,
): Promise<T> {
  const dir = await mkdtemp(join(tmpdir(), 'mdv-convert-'))
  try {
    const label = 'segment_20251203T14_00001'
    const sources = await Promise.all(
      (Buffer.isBuffer(segments) ? [segments] : segments).map(async (bytes, i) => {
        const path = join(dir, `${i}.ndjson`)
        await writeFile(path, bytes)
        const name = `segment_20251203T14_0000${i + 1}`
        return { key: `raw/ready/coinbase/${name}.ndjson`, label: name, file: async () => path }
      }),
    )
    const conversion = await convertSegments(
      sources,
      {
        scratchDir: join(dir, 'scratch'),
        venue: 'coinbase',
        job: `${label}_${recorder}_1`,
        planGeneration: 1,
        partDigits: 'abc12345',
        onParts: () => undefined,
        software: 'mdv test',
        numberType: options.numberType ?? 'decimal',
        compression: 'zstd',
        memoryLimitMb: 800,
        threads: options.threads ?? 2,
      },
      new AbortController().signal,
    )
    return await use(conversion)
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}

/** All rows of all parts in their order, as texts; instants as epoch microseconds. */
export async function readRows(
  conversion: Conversion,
  numberType: NumberType = 'decimal',
): Promise<ConvertedRow[]> {
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  const rows: ConvertedRow[] = []
  for (const part of conversion.parts) {
    const columns = tableColumns(part.table, numberType)
    const select = columns.map((one) =>
      one.type.startsWith('TIMESTAMP') ? `epoch_us("${one.name}")::VARCHAR` : `"${one.name}"::VARCHAR`,
    )
    const found = await connection.runAndReadAll(
      `SELECT ${select.join(', ')} FROM read_parquet('${part.path}')`,
    )
    for (const row of found.getRows() as (string | null)[][])
      rows.push({
        table: part.table,
        productId: part.productId,
        date: part.date,
        values: {
          product_id: part.productId,
          ...Object.fromEntries(columns.map((one, i) => [one.name, row[i] ?? null])),
        },
      })
  }
  connection.closeSync()
  instance.closeSync()
  return rows
}
