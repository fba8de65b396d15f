/**
 * A vault of real processes, with gaps, rejects, archived and waiting segments, and every way of doing harm to it in one place: bytes, files, rows
 * inside parts with a receipt that agrees, fields of receipts.
 */

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DuckDBInstance } from '@duckdb/node-api'
import type { Random } from '../src/core/clock.ts'
import { VaultError } from '../src/core/errors.ts'
import type { Finding } from '../src/query/verify/finding.ts'
import { rebuildCheck } from '../src/query/verify/rebuild.ts'
import { verifyVault } from '../src/query/verify/verify.ts'
import { openLocalStore } from '../src/storage/local.ts'
import type { Receipt, ReceiptPart } from '../src/table/receipt.ts'
import { proofOptions } from '../test/query/proof-options.ts'
import { Exchange } from './exchange.ts'
import { mdv, MdvProcess } from './processes.ts'

const never = new AbortController().signal

/** Records into `whole`: four segments converted and archived, more that wait. */
export async function makeVault(whole: string, seed: number): Promise<void> {
  const exchange = await Exchange.start(
    '--rate',
    '300',
    '--products',
    '3',
    '--book-depth',
    '20',
    '--seed',
    String(seed),
    '--fault',
    'drop=0.01,not_json=0.02',
  )
  try {
    const flags = ['--base-dir', whole, ...exchange.flags, '--segment-max-seconds', '2', '--watermark']
    const recorder = new MdvProcess(['ingest', ...flags])
    await segmentsReady(whole, 4, recorder)
    await spoilLine(whole)
    await mdv('etl', '--once', '--archive', '--base-dir', whole)
    await segmentsReady(whole, 4, recorder)
    await recorder.end('SIGINT')
  } finally {
    await exchange.stop()
  }
}

/** So that something is rejected. */
async function spoilLine(whole: string): Promise<void> {
  const ready = join(whole, 'raw', 'ready', 'coinbase')
  const path = join(ready, (await readdir(ready)).sort()[0]!)
  const bytes = await readFile(path)
  const middle = bytes.indexOf('"msg":', bytes.length >> 1)
  bytes[middle + 20]! ^= 1
  await writeFile(path, bytes)
}

async function segmentsReady(whole: string, count: number, recorder: MdvProcess): Promise<void> {
  const ready = join(whole, 'raw', 'ready', 'coinbase')
  while ((await readdir(ready).catch(() => [])).length < count) await recorder.next(/^durable_n=/)
}

/** Errors of a deep proof; a refusal to go on is one. */
export async function errorsOf(vault: string): Promise<Finding[]> {
  const found: Finding[] = []
  const onFinding = async (finding: Finding): Promise<void> =>
    void (finding.severity === 'error' && found.push(finding))
  try {
    const options = proofOptions(onFinding, { rebuild: rebuildCheck })
    await verifyVault(await openLocalStore(vault), 'coinbase', options, never)
  } catch (error) {
    if (!(error instanceof VaultError)) throw error
    const { message, remedy = '' } = error
    found.push({ severity: 'error', kind: 'receipt_damaged', where: vault, message, remedy })
  }
  return found
}

export interface Victim {
  readonly vault: string
  readonly random: Random
  /** Paths of one kind, in the order of their names. */
  files(kind: Kind): Promise<string[]>
}

type Kind = 'archive' | 'ready' | 'part' | 'receipt' | 'rejects'

const places: Readonly<Record<Kind, RegExp>> = {
  archive: /^raw\/archive\/.*\.(gz|zst)$/,
  ready: /^raw\/ready\/.*\.ndjson$/,
  part: /^processed\/.*\.parquet$/,
  receipt: /_receipts\/.*\.json$/,
  rejects: /^raw\/rejected\/.*\.ndjson$/,
}

export function victimOf(vault: string, random: Random): Victim {
  return {
    vault,
    random,
    async files(kind) {
      const names = await readdir(vault, { recursive: true })
      return names
        .filter((name) => places[kind].test(name.replaceAll('\\', '/')))
        .sort()
        .map((name) => join(vault, name))
    },
  }
}

function pick<T>(list: readonly T[], random: Random): T {
  const item = list[Math.floor(random() * list.length)]
  assert.ok(item !== undefined, 'the vault has one of these')
  return item
}

type Mutation = (victim: Victim, kind: Kind) => Promise<string>

/** Of whole files. */
const fileMutations: Readonly<Record<string, Mutation>> = {
  async delete(victim, kind) {
    const path = pick(await victim.files(kind), victim.random)
    await rm(path)
    return path
  },
  async truncate(victim, kind) {
    const path = pick(await victim.files(kind), victim.random)
    const bytes = await readFile(path)
    await writeFile(path, bytes.subarray(0, Math.floor(victim.random() * bytes.length)))
    return path
  },
  async zero(victim, kind) {
    const path = pick(await victim.files(kind), victim.random)
    const bytes = await readFile(path)
    const from = Math.floor(victim.random() * (bytes.length - 16))
    await writeFile(path, bytes.fill(0, from, from + 16))
    return path
  },
  async swap(victim, kind) {
    const [one, other] = twoOf(await victim.files(kind), victim.random)
    await rename(one, `${one}.swap`)
    await rename(other, one)
    await rename(`${one}.swap`, other)
    return `${one} and ${other}`
  },
}

function twoOf(list: readonly string[], random: Random): readonly [string, string] {
  const first = Math.floor(random() * list.length)
  const second = (first + 1 + Math.floor(random() * (list.length - 1))) % list.length
  assert.notEqual(first, second)
  return [list[first]!, list[second]!]
}

/** In the header of a packed file stand a time and a system, which nothing reads: harm there is none. */
const packedHeaderBytes = 10

async function flip({ random }: Victim, path: string): Promise<string> {
  const bytes = await readFile(path)
  const from = /\.(gz|zst)$/.test(path) ? packedHeaderBytes : 0
  const at = from + Math.floor(random() * (bytes.length - from))
  bytes[at]! ^= 1 << Math.floor(random() * 8)
  await writeFile(path, bytes)
  return `${path} at ${at}`
}

/** Rewrites a part and makes its receipt say so: only the rows themselves can tell. */
async function rewritePart(victim: Victim, change: string): Promise<string> {
  const path = pick(await victim.files('receipt'), victim.random)
  const receipt = JSON.parse(await readFile(path, 'utf8')) as Receipt
  const part = pick(
    receipt.parts.filter(({ table, rows }) => table !== 'other' && rows > 2),
    victim.random,
  )
  const key = join(victim.vault, part.key)
  const rewritten = await withRows(key, change, Math.floor(victim.random() * part.rows))
  const bytes = await readFile(key)
  const said: ReceiptPart = {
    ...part,
    rows: rewritten,
    size_bytes: bytes.length,
    sha256: createHash('sha256').update(bytes).digest('hex'),
  }
  const parts = receipt.parts.map((one) => (one.key === part.key ? said : one))
  await writeFile(path, JSON.stringify({ ...receipt, parts }))
  return `${part.key}: ${change}`
}

/** @returns rows after it */
async function withRows(path: string, change: string, row: number): Promise<number> {
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  const pairs = await connection.runAndReadAll(
    `SELECT decode(key), decode(value) FROM parquet_kv_metadata('${path}')`,
  )
  const metadata = pairs
    .getRows()
    .filter(([name]) => !String(name).startsWith('ARROW'))
    .map(([name, value]) => `"${String(name)}": '${String(value).replaceAll("'", "''")}'`)
  await connection.run(
    `CREATE TABLE part AS SELECT row_number() OVER () - 1 AS _row, * FROM read_parquet('${path}', hive_partitioning = false)`,
  )
  await connection.run(change.replaceAll('$row', String(row)))
  await connection.run(
    `COPY (SELECT * EXCLUDE (_row) FROM part ORDER BY _row) TO '${path}' (FORMAT parquet, COMPRESSION zstd, KV_METADATA {${metadata.join(', ')}})`,
  )
  const count = Number((await connection.runAndReadAll('SELECT count(*) FROM part')).getRows()[0]![0])
  connection.closeSync()
  instance.closeSync()
  return count
}

const rowChanges: Readonly<Record<string, string>> = {
  'drop a row': 'DELETE FROM part WHERE _row = $row',
  'double a row': 'INSERT INTO part SELECT * FROM part WHERE _row = $row',
  'another price': 'UPDATE part SET price = price + 1 WHERE _row = $row',
  'another counter': 'UPDATE part SET n = n + 100000 WHERE _row = $row',
  'another time': 'UPDATE part SET recv_ns = recv_ns + 1 WHERE _row = $row',
}

/** Of all rows of a frame, as if it had been another one. */
const renumber =
  'UPDATE part SET sequence_num = sequence_num + 1000000 WHERE n = (SELECT n FROM part WHERE _row = $row)'

/** A field of a receipt says something else. */
async function lie(victim: Victim): Promise<string> {
  const path = pick(await victim.files('receipt'), victim.random)
  const receipt = JSON.parse(await readFile(path, 'utf8')) as { [name: string]: unknown } & Receipt
  const part = pick(receipt.parts, victim.random) as unknown as Record<string, unknown>
  const source = receipt.sources[0]! as unknown as Record<string, unknown>
  const lines = receipt.lines as unknown as Record<string, unknown>
  const lies: readonly (readonly [string, Record<string, unknown>, string, unknown])[] = [
    ['rows', part, 'rows', Number(part['rows']) + 1],
    ['size', part, 'size_bytes', Number(part['size_bytes']) - 1],
    ['digest', part, 'sha256', '0'.repeat(64)],
    ['least time', part, 'min_time_ns', '1'],
    ['most time', part, 'max_time_ns', '9000000000000000000'],
    ['lines', lines, 'total', Number(lines['total']) + 1],
    ['rejected', lines, 'rejected', Number(lines['rejected']) + 1],
    ['last n', source, 'last_n', Number(source['last_n']) + 1],
    ['source digest', source, 'file_sha256', 'f'.repeat(64)],
    ['a part less', receipt, 'parts', receipt.parts.slice(1)],
    ['a part twice', receipt, 'parts', [...receipt.parts, receipt.parts[0]]],
  ]
  const [name, object, field, value] = pick(lies, victim.random)
  object[field] = value
  await writeFile(path, JSON.stringify(receipt))
  return `${path}: ${name}`
}

/** One that waits for its conversion, and is not the last of its recorder, behind which nothing can be known. */
async function deleteWaiting(victim: Victim): Promise<string> {
  const waiting = await victim.files('ready')
  const path = pick(waiting.slice(-3, -1), victim.random)
  await rm(path)
  return path
}

/**
 * Every way of doing harm, by name. No harm: an archived segment that is gone (retention removes them too), and waiting segments that took
 * each other's name, which says nothing.
 */
export const ways: readonly (readonly [string, (victim: Victim) => Promise<string>])[] = [
  ...(['archive', 'ready', 'part'] as const).flatMap((kind) =>
    Object.entries(fileMutations)
      .filter(([name]) => kind === 'part' || !(name === 'delete' || (name === 'swap' && kind === 'ready')))
      .map(([name, mutation]) => [`${name} ${kind}`, (victim: Victim) => mutation(victim, kind)] as const),
  ),
  ['delete ready', deleteWaiting],
  ...(['archive', 'ready', 'part'] as const).map(
    (kind) =>
      [
        `flip ${kind}`,
        async (victim: Victim) => flip(victim, pick(await victim.files(kind), victim.random)),
      ] as const,
  ),
  ['delete receipt', (victim) => fileMutations['delete']!(victim, 'receipt')],
  ['truncate receipt', (victim) => fileMutations['truncate']!(victim, 'receipt')],
  ['swap receipt', (victim) => fileMutations['swap']!(victim, 'receipt')],
  ['delete rejects', (victim) => fileMutations['delete']!(victim, 'rejects')],
  ['truncate rejects', (victim) => fileMutations['truncate']!(victim, 'rejects')],
  ...Object.entries(rowChanges).map(
    ([name, change]) => [name, (victim: Victim) => rewritePart(victim, change)] as const,
  ),
  ['another sequence number', (victim) => rewritePart(victim, renumber)],
  ['a receipt lies', lie],
]
