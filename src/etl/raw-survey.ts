/** A raw segment read whole: what is wrong with it, and what of it could be sealed anew. */

import { isRecorderId } from '../core/ids.ts'
import type { SealedConnection, SegmentHeader } from '../segment/format.ts'
import { toLine } from '../segment/read.ts'
import { ConnectionHistory } from '../segment/connection-history.ts'
import { SegmentScanner, type ScanResult } from '../segment/scan.ts'
import type { ScannedLine } from '../segment/scanned-line.ts'
import { checkSeal } from '../segment/seal-check.ts'
import type { ObjectStore } from '../storage/object-store.ts'

export interface RawSurvey {
  readonly fileSha256: string
  /** Under `header`, where that had to be made: positions are those behind it. */
  readonly scan: ScanResult
  /** What is wrong, in words; empty: it is whole. */
  readonly problems: readonly string[]
  /** Its own, or one that its lines tell; null: nobody can say whose lines these are. */
  readonly header: SegmentHeader | null
  /** How much longer the made header is than what stands in its place; null: the header is its own. */
  readonly shiftBytes: number | null
  /** Where header and lines end that a seal can be put behind. What comes after is a seal, or the damaged end. */
  readonly keepUntil: number
}

export interface SurveyDeps {
  readonly store: ObjectStore
  readonly venue: string
  readonly sequenceOf: (frame: Buffer) => number
  /** Stands in a header that had to be made. */
  readonly software: string
}

/** @param sizeBytes of the object, which never changes */
export async function surveyRaw(
  deps: SurveyDeps,
  key: string,
  sizeBytes: number,
  signal: AbortSignal,
): Promise<RawSurvey> {
  const read = (): AsyncIterable<Buffer> => deps.store.read(key, 0, sizeBytes, signal)
  const own = await scanAll(deps, read())
  const survey = { fileSha256: own.scan.fileSha256, problems: own.problems }
  const { header } = own.scan
  if (header !== null || isNewer(own.scan))
    return { ...survey, scan: own.scan, header, shiftBytes: null, keepUntil: own.keepUntil }
  const made = await headerOfLines(deps, read())
  if (made === null) return { ...survey, scan: own.scan, header: null, shiftBytes: null, keepUntil: 0 }
  const { scan, keepUntil } = await scanAll(deps, underHeader(made, read()))
  return { ...survey, scan, header: made, shiftBytes: scan.sizeBytes - sizeBytes, keepUntil }
}

async function scanAll({ sequenceOf }: SurveyDeps, bytes: AsyncIterable<Buffer>) {
  const history = new ConnectionHistory(sequenceOf)
  let lastBad = -1
  const scanner = new SegmentScanner({
    line: (line) => history.take(line),
    bad: (_reason, offset) => void (lastBad = offset),
  })
  for await (const chunk of bytes) scanner.push(chunk)
  const scan = scanner.end()
  const problems = problemsOf(scan, history.summary().connections.toJSON())
  return { scan, problems, keepUntil: keepUntil(scan, lastBad) }
}

/** The lines of a segment under another header. */
export async function* underHeader(
  header: SegmentHeader,
  bytes: AsyncIterable<Buffer>,
): AsyncGenerator<Buffer> {
  yield Buffer.from(`${JSON.stringify({ segment: header })}\n`)
  let isBehind = false
  for await (const chunk of bytes) {
    const newlineAt: number = isBehind ? -1 : chunk.indexOf(0x0a)
    if (isBehind) yield chunk
    else if (newlineAt >= 0) yield chunk.subarray(newlineAt + 1)
    isBehind ||= newlineAt >= 0
  }
}

export function isNewer({ headerProblem }: ScanResult): boolean {
  return headerProblem?.includes('newer version') === true
}

function problemsOf(scan: ScanResult, connections: readonly SealedConnection[]): string[] {
  if (scan.headerProblem !== null) return [scan.headerProblem]
  const bad = scan.badLines === 0 ? [] : [`${scan.badLines} bad lines`]
  if (scan.seal === null) return [...bad, 'it has no seal']
  if (scan.sealProblem !== null) return [...bad, scan.sealProblem]
  return bad.length > 0 ? bad : [...checkSeal(scan.seal, scan, connections)]
}

/** Bad bytes with good lines behind them stay where they are. Those at the very end are a line that was torn, or what is left of the seal. */
function keepUntil({ seal, contentBytes, goodUntil }: ScanResult, lastBad: number): number {
  return seal === null && lastBad >= goodUntil ? lastBad : contentBytes
}

/** What damage left of the header is not believed. Lines name their recorder with each connection, and count themselves. */
async function headerOfLines(
  { venue, software }: SurveyDeps,
  bytes: AsyncIterable<Buffer>,
): Promise<SegmentHeader | null> {
  const witness = new Witness()
  const scanner = new SegmentScanner(witness)
  const header = {
    format: 1,
    venue,
    url: '',
    software,
    recorder: '',
    n: 0,
    prev: null,
    opened_ns: '0',
  } as const
  for await (const chunk of underHeader(header, bytes)) scanner.push(chunk)
  scanner.end()
  const [recorder, ...others] = witness.recorders
  if (recorder === undefined || others.length > 0 || witness.first === null) return null
  const { n, recvNs } = witness.first
  return { ...header, recorder, n, opened_ns: recvNs }
}

/** Hears lines whose beginning is not known. */
class Witness {
  readonly recorders = new Set<string>()
  first: { readonly n: number; readonly recvNs: string } | null = null
  #badBefore = 0

  line(line: ScannedLine): void {
    const { n, recvNs, ...rest } = toLine(line)
    // Each bad line before it was one line, at least.
    this.first ??= { n: Math.max(1, n - this.#badBefore), recvNs: String(recvNs ?? 0n) }
    if (!('conn' in rest) || rest.conn === null) return
    const recorder = rest.conn.replace(/-\d+$/, '')
    if (isRecorderId(recorder)) this.recorders.add(recorder)
  }

  /** The first whole line seems to skip all lines before it. */
  bad(reason: string, _offset: number, _sizeBytes: number, bytes: Buffer | null): void {
    if (this.first !== null) return
    const whole =
      reason === 'counter' && bytes !== null
        ? /^\{"n":(\d+),"recv_ns":"(\d+)"/.exec(bytes.toString('latin1', 0, 80))
        : null
    if (whole === null) this.#badBefore++
    else this.first = { n: Number(whole[1]) - this.#badBefore, recvNs: whole[2]! }
  }
}
