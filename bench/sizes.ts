/**
 * Bytes on disk of a segment of 100 MB: its archive beside `zstd -3`, its Parquet beside what a straightforward pipeline writes:
 * rows as they come, every value as the text it was sent as, one file a table, the writer's defaults. `node dist/bench/sizes.js`
 */

import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { copyFile, mkdir, mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { systemCode } from '../src/core/errors.ts'
import { archiveEnding, archiveRaw } from '../src/etl/archive.ts'
import { convertSegments } from '../src/etl/convert.ts'
import { parseHeader } from '../src/segment/ends.ts'
import { duckdb } from '../src/storage/duckdb.ts'
import { openLocalStore } from '../src/storage/local.ts'
import { readySegmentKey } from '../src/storage/keys.ts'
import { benchPlan, writeBenchSegment } from './etl-segment.ts'
import { machine, printTable, tell } from './report.ts'
import { rowFields } from './venue-fields.ts'

const label = 'segment_20251203T14_00001'
const never = new AbortController().signal

async function archivedBytes(dir: string, path: string): Promise<number> {
  const store = await openLocalStore(join(dir, 'vault'))
  const key = readySegmentKey('coinbase', label)
  await mkdir(dirname(store.pathOf(key)), { recursive: true })
  await copyFile(path, store.pathOf(key))
  const bytes = await readFile(path)
  const header = parseHeader(bytes.toString('utf8', 0, bytes.indexOf(0x0a)))
  if (typeof header === 'string') throw new Error(header)
  const source = {
    key,
    label,
    recorder: header.recorder,
    first_n: header.n,
    last_n: null,
    lines: 0,
    size_bytes: bytes.length,
    file_sha256: createHash('sha256').update(bytes).digest('hex'),
    seal_sha256: null,
    first_recv_ns: null,
    last_recv_ns: null,
  }
  const archived = await archiveRaw(store, join(dir, 'scratch'), { key, label, header }, source, never)
  return (await stat(store.pathOf(archived))).size
}

/** The reference; undefined where there is no such program. */
async function zstdBytes(dir: string, path: string): Promise<number | undefined> {
  const target = join(dir, 'reference.zst')
  try {
    execFileSync('zstd', ['-3', '-q', '-f', path, '-o', target])
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined
    throw error
  }
  return (await stat(target)).size
}

async function parquetBytes(dir: string, path: string): Promise<number> {
  const source = { key: readySegmentKey('coinbase', label), label, file: async () => path }
  const { parts } = await convertSegments([source], benchPlan(label, join(dir, 'parts')), never)
  return parts.reduce((sum, part) => sum + part.sizeBytes, 0)
}

async function naiveBytes(dir: string, path: string): Promise<number> {
  const instance = await duckdb.DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  let sizeBytes = 0
  for (const [list, fields] of Object.entries(rowFields)) {
    const target = join(dir, `naive.${list}.parquet`)
    const row = fields.map((name) => `"${name}" VARCHAR`).join(', ')
    await connection.run(
      `COPY (SELECT n, recv_ns, conn, channel, "timestamp", sequence_num, type, product, ${fields.map((name) => `r."${name}" AS "${name}"`).join(', ')}
        FROM (SELECT * EXCLUDE (e), e."type" AS type, e.product_id AS product, unnest(e.${list}) AS r
          FROM (SELECT n, recv_ns, conn, msg.channel AS channel, msg."timestamp" AS "timestamp", msg.sequence_num AS sequence_num, unnest(msg.events) AS e
            FROM read_json('${path}', format = 'newline_delimited', ignore_errors = true, columns = {n: 'BIGINT', recv_ns: 'BIGINT', conn: 'VARCHAR',
              msg: 'STRUCT(channel VARCHAR, "timestamp" VARCHAR, sequence_num BIGINT, events STRUCT("type" VARCHAR, product_id VARCHAR, ${list} STRUCT(${row})[])[])'}))))
       TO '${target}' (FORMAT parquet)`,
    )
    sizeBytes += (await stat(target)).size
  }
  connection.closeSync()
  instance.closeSync()
  return sizeBytes
}

const dir = await mkdtemp(join(tmpdir(), 'mdv-bench-'))
try {
  const path = join(dir, `${label}.ndjson`)
  writeBenchSegment(path, { sizeBytes: 100_000_000, firstN: 1, products: 50 })
  const raw = (await stat(path)).size
  const archive = await archivedBytes(dir, path)
  const reference = await zstdBytes(dir, path)
  const [parquet, naive] = [await parquetBytes(dir, path), await naiveBytes(dir, path)]
  process.stdout.write(`${machine()}\n`)
  const row = (name: string, bytes: number): string[] => [
    name,
    (bytes / 1e6).toFixed(2),
    `${((bytes / raw) * 100).toFixed(1)} %`,
  ]
  printTable(
    ['what', 'MB', 'of the raw segment'],
    [
      row('raw segment', raw),
      row(`archive (.${archiveEnding})`, archive),
      ...(reference === undefined ? [] : [row('zstd -3 of it', reference)]),
      row('Parquet', parquet),
      row('Parquet of a straightforward pipeline', naive),
    ],
  )
  // Versions of Node without zstd archive as gzip.
  if (reference !== undefined && archiveEnding === 'zst')
    tell({
      name: 'bytes of the archive',
      unit: 'MB',
      value: archive / 1e6,
      reference: reference / 1e6,
      goal: { most: 1.05, of: 'ratio' },
    })
  tell({
    name: 'bytes of Parquet',
    unit: 'MB',
    value: parquet / 1e6,
    reference: naive / 1e6,
    goal: { most: 0.75, of: 'ratio' },
  })
} finally {
  await rm(dir, { recursive: true, force: true })
}
