/** First and last line of a segment: who wrote it and how it ended, without reading what is between. */

import { parseHeader, parseSeal } from './ends.ts'
import type { Seal, SegmentHeader } from './format.ts'
import type { ObjectInfo, ObjectStore } from '../storage/object-store.ts'

export interface SegmentPeek {
  readonly header: SegmentHeader | null
  /** null while a segment is growing, and when there is none. */
  readonly seal: Seal | null
  readonly problem: string | null
}

const newline = 0x0a
/** Headers are a few hundred bytes; one that does not fit is not a header of ours. */
const headerBytesMax = 64 * 1024
/** A seal grows with the connections and gaps of its segment. */
const sealBytesMax = 16 * 1024 * 1024

/**
 * @param isSealed whether a seal is to be there: its absence is then a problem
 * @returns `gone` when the object moved on since it was listed
 */
export async function peekSegment(
  store: ObjectStore,
  object: ObjectInfo,
  isSealed: boolean,
  signal: AbortSignal,
): Promise<SegmentPeek | 'gone'> {
  try {
    return await peek(store, object, isSealed, signal)
  } catch (error) {
    if ((await store.head(object.key)) === undefined) return 'gone'
    throw error
  }
}

async function peek(
  store: ObjectStore,
  object: ObjectInfo,
  isSealed: boolean,
  signal: AbortSignal,
): Promise<SegmentPeek> {
  if (object.sizeBytes === 0) return { header: null, seal: null, problem: 'the file is empty' }
  const head = await readRange(store, object.key, 0, Math.min(object.sizeBytes, headerBytesMax), signal)
  const end = head.indexOf(newline)
  const header = end === -1 ? null : readHeader(head.subarray(0, end))
  if (header === null) return { header, seal: null, problem: 'its first line is not a segment header' }
  if (!isSealed) return { header, seal: null, problem: null }
  const seal = await readSeal(store, object, signal)
  return { header, seal, problem: seal === null ? 'its last line is not a seal' : null }
}

/** The last whole lines of a growing file, for its newest time; at most `bytesMax` are read. */
export async function readTail(
  store: ObjectStore,
  object: ObjectInfo,
  bytesMax: number,
  signal: AbortSignal,
): Promise<Buffer[]> {
  const from = Math.max(0, object.sizeBytes - bytesMax)
  const bytes = await readRange(store, object.key, from, object.sizeBytes, signal)
  const lines: Buffer[] = []
  let start = from === 0 ? 0 : bytes.indexOf(newline) + 1
  for (let at = bytes.indexOf(newline, start); at !== -1; at = bytes.indexOf(newline, start)) {
    lines.push(bytes.subarray(start, at))
    start = at + 1
  }
  return lines
}

async function readSeal(store: ObjectStore, object: ObjectInfo, signal: AbortSignal): Promise<Seal | null> {
  for (let bytesMax = 16 * 1024; ; bytesMax *= 16) {
    const from = Math.max(0, object.sizeBytes - bytesMax)
    const tail = await readRange(store, object.key, from, object.sizeBytes, signal)
    if (tail.at(-1) !== newline) return null
    const before = tail.lastIndexOf(newline, tail.length - 2)
    if (before !== -1) return parseSeal(tail.toString('utf8', before + 1, tail.length - 1))
    if (from === 0 || bytesMax >= sealBytesMax) return null
  }
}

function readHeader(line: Buffer): SegmentHeader | null {
  const header = parseHeader(line.toString('utf8'))
  if (typeof header !== 'string') return header
  // Of a newer format nothing more is known than whose it is, which is enough to leave it alone and to name it.
  const value = headerFields(line)
  const isNewer = value !== null && typeof value['format'] === 'number' && value['format'] > 1
  const isNamed = typeof value?.['recorder'] === 'string' && typeof value['n'] === 'number'
  return isNewer && isNamed ? (value as unknown as SegmentHeader) : null
}

/** The object under the one key of a header line. */
function headerFields(line: Buffer): Record<string, unknown> | null {
  let parsed: unknown
  try {
    parsed = JSON.parse(line.toString('utf8'))
  } catch (error) {
    if (error instanceof SyntaxError) return null
    throw error
  }
  const value = isRecord(parsed) ? parsed['segment'] : null
  return isRecord(value) ? value : null
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

async function readRange(
  store: ObjectStore,
  key: string,
  from: number,
  until: number,
  signal: AbortSignal,
): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of store.read(key, from, until, signal)) chunks.push(Buffer.from(chunk))
  return Buffer.concat(chunks)
}
