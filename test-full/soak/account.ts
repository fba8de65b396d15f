/**
 * What is in Parquet in the end against what the simulator says it sent: each connection's numbers from counts and sums over millions of rows,
 * and the bytes of the segments that were looked at in passing, since the raw files do not stay.
 */

import { linkSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { systemCode } from '../../src/core/errors.ts'
import type { AccountedConnection, Exchange } from '../exchange.ts'
import { mdv } from '../processes.ts'
import { readSegmentBytes } from '../segment-lines.ts'

export interface Accounting {
  readonly sent: number
  readonly recorded: number
  /** Frames whose bytes were compared. */
  readonly compared: number
  readonly differences: readonly string[]
}

/** Sealed segments caught on their way from the recorder to the converter, by a second name of the file. */
export class PassingSegments {
  readonly #folder: string
  readonly #readyDir: string
  readonly #frames = new Map<string, { sequence: number; crc: number }[]>()
  caught = 0

  constructor(folder: string, baseDir: string) {
    this.#folder = folder
    this.#readyDir = join(baseDir, 'raw', 'ready', 'coinbase')
  }

  /** @param today names of segments of this UTC date count, those of older hours do not */
  look(today: string): boolean {
    const name = this.#newest(`segment_${today}`)
    if (name === undefined) return false
    const path = join(this.#folder, name)
    try {
      linkSync(join(this.#readyDir, name), path)
    } catch (error) {
      if (systemCode(error) === 'ENOENT' || systemCode(error) === 'EEXIST') return false
      throw error
    }
    for (const { conn, bytes } of readSegmentBytes(name, readFileSync(path)).frames) {
      const { sequence_num: sequence } = JSON.parse(bytes.toString()) as { sequence_num: number }
      const frames = this.#frames.get(conn) ?? []
      frames.push({ sequence, crc: crc32(bytes) })
      this.#frames.set(conn, frames)
    }
    rmSync(path)
    this.caught++
    return true
  }

  /** Of one connection. */
  frames(conn: string): readonly { readonly sequence: number; readonly crc: number }[] {
    return this.#frames.get(conn) ?? []
  }

  #newest(prefix: string): string | undefined {
    try {
      return readdirSync(this.#readyDir)
        .filter((name) => name.startsWith(prefix))
        .sort()
        .at(-1)
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return undefined
      throw error
    }
  }
}

interface Recorded {
  readonly conn: string
  readonly frames: bigint
  readonly first: bigint
  readonly last: bigint
  readonly sum: bigint
  readonly squares: bigint
}

/** Everything is converted when this is called. */
export async function compareParquet(
  baseDir: string,
  exchange: Exchange,
  passing: PassingSegments,
): Promise<Accounting> {
  const names = await connectionNames(baseDir)
  const recorded = new Map((await recordedConnections(baseDir)).map((one) => [one.conn, one]))
  const openEnded = await openEndedGaps(baseDir)
  const sums = { sent: 0, recorded: 0, compared: 0 }
  const differences: string[] = []
  for (const connection of await exchange.account()) {
    const conn = names.get(connection.clientPort)?.shift()
    const found = conn === undefined ? undefined : recorded.get(conn)
    sums.sent += connection.frames
    if (conn === undefined || found === undefined) {
      if (connection.frames > 0) differences.push(`connection ${connection.id}: nothing of it is recorded`)
      continue
    }
    sums.recorded += Number(found.frames)
    differences.push(...compareNumbers(connection, found, openEnded))
    const frames = passing.frames(conn)
    sums.compared += frames.length
    const sums32 = frames.length === 0 ? new Uint32Array() : await exchange.checksums(connection.id)
    const wrong = frames.find(({ sequence, crc }) => sums32[sequence] !== crc)
    if (wrong !== undefined)
      differences.push(`${conn}: frame ${wrong.sequence} has other bytes than were sent`)
  }
  return { ...sums, differences }
}

/** Count, ends, sum and sum of squares: two sets of whole numbers that agree in all of these and differ are not met by chance. */
function compareNumbers(
  { id, frames, unnumbered, skipped }: AccountedConnection,
  found: Recorded,
  openEnded: ReadonlySet<string>,
): string[] {
  if (unnumbered > 0 || skipped.length > 0)
    return [
      `connection ${id}: ${unnumbered} frames without a number, ${skipped.length} left out: not asked for`,
    ]
  const n = found.frames
  const isWhole =
    found.first === 0n &&
    found.last === n - 1n &&
    found.sum === ((n - 1n) * n) / 2n &&
    found.squares === ((n - 1n) * n * (2n * n - 1n)) / 6n
  if (!isWhole)
    return [`${found.conn}: numbers ${found.first} to ${found.last} in ${n} frames are not all of them`]
  if (n > BigInt(frames)) return [`${found.conn}: ${n} frames recorded, ${frames} sent`]
  if (n < BigInt(frames) && !openEnded.has(`${found.conn} ${found.last}`))
    return [`${found.conn}: ${n} of ${frames} frames recorded, and no open-ended gap after ${found.last}`]
  return []
}

/** Names of connections by the recorder's port, in the order they were opened: a port may come again. */
async function connectionNames(baseDir: string): Promise<Map<number, string[]>> {
  const rows = await ask(
    baseDir,
    `SELECT conn, body->>'$.connection_opened.local_port' AS port FROM other
     WHERE kind = 'event' AND body LIKE '{"connection_opened"%' ORDER BY n`,
  )
  const names = new Map<number, string[]>()
  for (const { conn, port } of rows) names.set(Number(port), [...(names.get(Number(port)) ?? []), conn!])
  return names
}

/** A frame's first row stands for it. */
async function recordedConnections(baseDir: string): Promise<Recorded[]> {
  const first = ['level2', 'market_trades', 'ticker']
    .map((table) => `SELECT conn, sequence_num AS s FROM ${table} WHERE event_index = 0 AND row_index = 0`)
    .join(' UNION ALL ')
  const rows = await ask(
    baseDir,
    `SELECT conn, count(*) AS frames, min(s) AS first, max(s) AS last, sum(s::HUGEINT) AS sum, sum(s::HUGEINT * s) AS squares
     FROM (${first} UNION ALL SELECT conn, sequence_num AS s FROM other WHERE kind = 'frame') GROUP BY conn`,
  )
  return rows.map((row) => ({
    conn: row['conn']!,
    frames: BigInt(row['frames']!),
    first: BigInt(row['first']!),
    last: BigInt(row['last']!),
    sum: BigInt(row['sum']!),
    squares: BigInt(row['squares']!),
  }))
}

async function openEndedGaps(baseDir: string): Promise<Set<string>> {
  const rows = await ask(
    baseDir,
    'SELECT conn, after_seq FROM gaps WHERE before_seq IS NULL AND conn IS NOT NULL',
  )
  return new Set(rows.map(({ conn, after_seq: after }) => `${conn} ${after}`))
}

/** How often a connection was given up because nothing came on it. */
export async function silences(baseDir: string): Promise<number> {
  const [row] = await ask(baseDir, "SELECT count(*) AS count FROM gaps WHERE cause = 'silence'")
  return Number(row!['count'])
}

async function ask(baseDir: string, sql: string): Promise<Record<string, string>[]> {
  const { lines } = await mdv('query', '--base-dir', baseDir, '--output', 'ndjson', sql)
  return lines.map((line) => JSON.parse(line) as Record<string, string>)
}
