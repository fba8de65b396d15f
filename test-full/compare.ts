/**
 * What the recorder wrote against what the simulator says it sent, connection by connection. TCP delivers in order, so what was
 * recorded of a connection must be, byte for byte, the beginning of what was sent on it; the rest must be named by a gap.
 */

import { crc32 } from 'node:zlib'
import type { RecordedEvent, RecordedSegment } from './segment-lines.ts'

/** One connection in the simulator's account: what it wrote, in order. `sequence` -1: a frame without a number. */
export interface SentConnection {
  readonly port: number
  readonly frames: readonly { readonly sequence: number; readonly crc: number }[]
  /** Numbers it left out on purpose. */
  readonly skipped: readonly number[]
}

export interface Comparison {
  readonly sent: number
  readonly recorded: number
  /** Sent after the last recorded frame of their connection, and named by an open-ended gap. */
  readonly lost: number
  /** Of those lost, the ones on connections of which nothing was recorded: their recorder died before its first flush. */
  readonly unheard: number
  /** Who recorded each connection on which something was sent, in the order they were made; null: nobody. */
  readonly recorders: readonly (string | null)[]
  readonly differences: readonly string[]
}

interface Heard {
  readonly conn: string
  readonly port: number
  readonly frames: { sequence: number; crc: number }[]
  readonly events: RecordedEvent[]
}

/** As each recorder counted: a clock that is set back over a full hour gives a later segment an earlier name. */
function inOrder(segments: readonly RecordedSegment[]): RecordedSegment[] {
  const firstN = ({ events, frames }: RecordedSegment): number =>
    Math.min(events[0]?.n ?? Infinity, frames[0]?.n ?? Infinity)
  const recorders = [...new Set(segments.map(({ recorder }) => recorder))]
  return recorders.flatMap((recorder) =>
    segments.filter((one) => one.recorder === recorder).toSorted((a, b) => firstN(a) - firstN(b)),
  )
}

/** The connections the recorder says it opened, with all it wrote of each. */
function heardConnections(named: readonly RecordedSegment[]): Heard[] {
  const segments = inOrder(named)
  const heard = new Map<string, Heard>()
  for (const event of segments.flatMap((segment) => segment.events)) {
    if (event.conn === null) continue
    if (event.kind === 'connection_opened')
      heard.set(event.conn, {
        conn: event.conn,
        port: Number(event.body['local_port']),
        frames: [],
        events: [],
      })
    heard.get(event.conn)?.events.push(event)
  }
  for (const frame of segments.flatMap((segment) => segment.frames)) {
    heard.get(frame.conn)?.frames.push({ sequence: sequenceOf(frame.bytes), crc: crc32(frame.bytes) })
  }
  return [...heard.values()]
}

/** By parsing, unlike the recorder, which scans bytes. */
function sequenceOf(bytes: Buffer): number {
  try {
    const value = (JSON.parse(bytes.toString()) as { sequence_num?: unknown }).sequence_num
    return typeof value === 'number' ? value : -1
  } catch {
    return -1 // garbage on purpose: a frame without a number
  }
}

export function compareWithAccount(
  segments: readonly RecordedSegment[],
  sent: readonly SentConnection[],
): Comparison {
  const heard = heardConnections(segments)
  const differences: string[] = []
  let recorded = 0
  let lost = 0
  let unheard = 0
  const matched = new Set<Heard>()
  const recorders: (string | null)[] = []
  for (const connection of sent) {
    const match = heardOf(connection, heard)
    if (connection.frames.length > 0) recorders.push(match?.conn.split('-')[0] ?? null)
    if (match === undefined) {
      lost += connection.frames.length
      unheard += connection.frames.length
      continue
    }
    matched.add(match)
    recorded += match.frames.length
    lost += connection.frames.length - match.frames.length
    differences.push(...compareConnection(match, connection))
  }
  for (const one of heard)
    if (one.frames.length > 0 && !matched.has(one))
      differences.push(`${one.conn}: ${one.frames.length} frames of a connection that was never made`)
  return {
    sent: sent.reduce((sum, one) => sum + one.frames.length, 0),
    recorded,
    lost,
    unheard,
    recorders,
    differences,
  }
}

/** A port may be used again by a later connection: the one whose frames begin alike is meant, else one without any. */
function heardOf(sent: SentConnection, heard: readonly Heard[]): Heard | undefined {
  const own = heard.filter(({ port }) => port === sent.port)
  const alike = own.find(({ frames }) => frames.length > 0 && frames[0]!.crc === sent.frames[0]?.crc)
  return alike ?? own.find(({ frames }) => frames.length === 0)
}

function compareConnection(heard: Heard, sent: SentConnection): string[] {
  const differences: string[] = []
  const unequal = heard.frames.findIndex((frame, i) => frame.crc !== sent.frames[i]?.crc)
  if (unequal >= 0)
    differences.push(`${heard.conn}: frame ${unequal} of ${heard.frames.length} is not what was sent`)
  const last = heard.frames.reduce((most, { sequence }) => Math.max(most, sequence), -1)
  // The frame behind its successor is not heard when the recorder has hung up between the two: its gap is right.
  const unheard = new Set(sent.frames.slice(heard.frames.length).map((frame) => frame.sequence))
  const unexplained = [...missingWithin(heard)].filter(
    (sequence) => !sent.skipped.includes(sequence) && !unheard.has(sequence),
  )
  const unnamed = sent.skipped.filter((sequence) => sequence < last && !missingWithin(heard).has(sequence))
  if (unexplained.length > 0)
    differences.push(`${heard.conn}: gaps name ${unexplained.join(', ')}, which the simulator sent`)
  if (unnamed.length > 0)
    differences.push(`${heard.conn}: no gap names ${unnamed.join(', ')}, which the simulator left out`)
  if (heard.frames.length < sent.frames.length && !heard.events.some((event) => isOpenEnded(event, last))) {
    differences.push(
      `${heard.conn}: ${sent.frames.length - heard.frames.length} frames after ${last} are missing and no open-ended gap says so`,
    )
  }
  return differences
}

/** Sequence numbers that closed gap rows name, less those that arrived late. */
function missingWithin(heard: Heard): Set<number> {
  const missing = new Set<number>()
  for (const { kind, body } of heard.events) {
    if (kind !== 'gap' || typeof body['before_seq'] !== 'number') continue
    for (let s = Number(body['after_seq'] ?? -1) + 1; s < body['before_seq']; s++) missing.add(s)
  }
  for (const { kind, body } of heard.events) {
    if (kind === 'disorder' && body['kind'] === 'late') missing.delete(Number(body['got']))
  }
  return missing
}

function isOpenEnded({ kind, body }: RecordedEvent, last: number): boolean {
  return kind === 'gap' && body['before_seq'] === null && Number(body['after_seq'] ?? -1) === last
}
