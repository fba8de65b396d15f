/**
 * A second, independent reader of segments, written from docs/segment-format.md alone: what the vault recorded is read here
 * without any of the vault's own code, so that a mistake in its reader cannot hide one in its writer.
 */

import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { basename, join } from 'node:path'
import * as zlib from 'node:zlib'
import { crc32, gunzipSync } from 'node:zlib'

export interface RecordedFrame {
  readonly n: number
  readonly conn: string
  readonly bytes: Buffer
}

export interface RecordedEvent {
  readonly n: number
  readonly conn: string | null
  readonly kind: string
  readonly body: Record<string, unknown>
}

export interface RecordedSegment {
  readonly name: string
  readonly recorder: string
  readonly frames: RecordedFrame[]
  readonly events: RecordedEvent[]
  readonly sealed: boolean
}

const head =
  /^\{"n":(\d+),"recv_ns":"(-?\d+)"(?:,"conn":"([^"]*)")?,(?:"len":(\d+),"(msg|text|base64)":|"event":)/

/** Every segment under raw/ready, by name. */
export function readReadySegments(baseDir: string): RecordedSegment[] {
  const folder = join(baseDir, 'raw', 'ready', 'coinbase')
  return readdirSync(folder)
    .filter((name) => name.endsWith('.ndjson'))
    .sort()
    .map((name) => readSegmentBytes(name, readFileSync(join(folder, name))))
}

/** Every segment under raw/archive, unpacked. */
export function readArchivedSegments(baseDir: string): RecordedSegment[] {
  const folder = join(baseDir, 'raw', 'archive', 'coinbase')
  if (!existsSync(folder)) return []
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.ndjson\.(gz|zst)$/.test(name))
    .sort()
    .map((name) => readSegmentBytes(basename(name), unpack(name, readFileSync(join(folder, name)))))
}

/** Newer versions of Node write zstd, which the types of older ones do not know. */
function unpack(name: string, bytes: Buffer): Buffer {
  if (name.endsWith('.gz')) return gunzipSync(bytes)
  return (zlib as unknown as { zstdDecompressSync(bytes: Buffer): Buffer }).zstdDecompressSync(bytes)
}

/** @param name for the words of errors */
export function readSegmentBytes(name: string, bytes: Buffer): RecordedSegment {
  const lines = splitLines(bytes)
  const header = JSON.parse(lines[0]!.toString()) as { segment: { recorder: string } }
  const sealed = lines.at(-1)!.toString().startsWith('{"seal":')
  const segment: RecordedSegment = { name, recorder: header.segment.recorder, frames: [], events: [], sealed }
  for (const line of lines.slice(1, sealed ? -1 : undefined)) readLine(name, line, segment)
  return segment
}

/** By newline bytes; a last piece without one would be a torn line and is an error in a ready segment. */
function splitLines(bytes: Buffer): Buffer[] {
  const lines: Buffer[] = []
  let from = 0
  for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, from)) {
    lines.push(bytes.subarray(from, at))
    from = at + 1
  }
  if (from !== bytes.length) throw new Error(`${bytes.length - from} bytes after the last newline`)
  return lines
}

/** @param into gets what stands in the line @throws when it is none */
export function readLine(name: string, line: Buffer, into: RecordedSegment): void {
  const covered = line.subarray(0, line.length - 18)
  const expected = `,"crc":"${crc32(covered).toString(16).padStart(8, '0')}"}`
  const match = head.exec(line.subarray(0, 300).toString('latin1'))
  if (match === null || line.subarray(-18).toString('latin1') !== expected) {
    throw new Error(`${name}: not a line: ${line.subarray(0, 120).toString('latin1')}`)
  }
  const n = Number(match[1])
  if (match[5] === undefined) {
    const event = (JSON.parse(line.toString()) as { event: Record<string, Record<string, unknown>> }).event
    const kind = Object.keys(event)[0]!
    into.events.push({ n, conn: match[3] ?? null, kind, body: event[kind]! })
    return
  }
  const value = line.subarray(match[0].length, match[0].length + Number(match[4]))
  into.frames.push({ n, conn: match[3]!, bytes: frameBytes(match[5], value) })
}

function frameBytes(form: string, value: Buffer): Buffer {
  if (form === 'msg') return Buffer.from(value)
  return Buffer.from(JSON.parse(value.toString()) as string, form === 'text' ? 'utf8' : 'base64')
}
