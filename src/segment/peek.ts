/** First and last line of a segment: who wrote it and how it ended, without reading what is between. */

import { parseHeader, parseSeal } from './ends.ts'
import type { Seal, SegmentHeader } from './format.ts'
import type { ObjectInfo, ObjectStore } from '../storage/object-store.ts'

/** Of a newer format nothing more is known than whose it is, which is enough to leave it alone and to name it. */
export interface NewerHeader {
  /** From 2. */
  readonly format: number
  readonly recorder: string
  readonly n: number
}

export type PeekedHeader = SegmentHeader | NewerHeader

export function isOfThisFormat(header: PeekedHeader): header is SegmentHeader {
  return header.format === 1
}

export interface SegmentPeek {
  readonly header: PeekedHeader | null
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

function readHeader(line: Buffer): PeekedHeader | null {
  const text = line.toString('utf8')
  const header = parseHeader(text)
  return typeof header === 'string' ? newerHeader(text) : header
}

function newerHeader(text: string): NewerHeader | null {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    if (error instanceof SyntaxError) return null
    throw error
  }
  const { format, recorder, n } = fieldsOf(fieldsOf(value)['segment'])
  const isNewer = typeof format === 'number' && format > 1
  return isNewer && typeof recorder === 'string' && typeof n === 'number' ? { format, recorder, n } : null
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? { ...value } : {}
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
