/**
 * What a dead recorder left under raw/active becomes ordinary sealed segments. Runs under the recorder's lease, before a new log opens.
 *
 * Order for each file: copy what will be cut to raw/rejected, sync it; sync the file before trusting what is read from it; cut;
 * append what happened and the seal; sync; publish; remove the active name. A kill at any of these steps leaves a file on
 * which the same steps give the same segment. Bad bytes with good lines after them are corruption, not a torn tail: nothing is cut
 * for them, they stay in the segment and are rejected, with their reason, when it is converted.
 */

import { createHash } from 'node:crypto'
import type { Clock } from '../core/clock.ts'
import { activeSegmentKey, parseSegmentLabel, rawActive, rawRejected } from '../storage/keys.ts'
import { writeAll, type Disk } from '../storage/disk.ts'
import { listAll, type LocalObjectStore, type ObjectInfo } from '../storage/object-store.ts'
import { ConnectionHistory, type History } from './connection-history.ts'
import type { Gap, LogEvent, Seal, SegmentHeader } from './format.ts'
import { eventRest, LineEncoder } from './line.ts'
import { knownSegments, latestFirst, nextOf, replacedBy, type Known } from './known-segments.ts'
import { publishSegment } from './publish.ts'
import { SegmentScanner, type ScanResult } from './scan.ts'

export interface RecoveryDeps {
  readonly store: LocalObjectStore
  readonly disk: Disk
  readonly clock: Clock
  /** The sequence number of a frame by the venue's rule; -1: it has none. */
  readonly sequenceOf: (frame: Buffer) => number
}

export interface RecoveredSegment {
  readonly label: string
  /** null: nothing in the file was a segment, or all of it stands in another one. */
  readonly publishedAs: string | null
  readonly recorder: string | null
  readonly lines: number
  readonly lastN: number | null
  /** Bytes copied to raw/rejected and cut. */
  readonly cutBytes: number
  readonly badLines: number
  /** Of a format that only a newer version can read: it was left as it is. */
  readonly isNewer: boolean
}

/** @throws {VaultError} from the store; what it could not finish is finished by the next call */
export async function recoverActive(
  deps: RecoveryDeps,
  venue: string,
  signal: AbortSignal,
): Promise<RecoveredSegment[]> {
  const files = (await listAll(deps.store, `${rawActive(venue)}segment_`, signal)).filter((file) =>
    file.key.endsWith('.ndjson'),
  )
  if (files.length === 0) return []
  const known = await knownSegments(deps.store, venue, signal)
  const recovered: RecoveredSegment[] = []
  for (const file of latestFirst(files, known)) {
    const one = await recoverFile(deps, venue, file, known, signal)
    if (one.publishedAs === null) known.delete(file.key)
    recovered.push(one)
  }
  return recovered
}

async function recoverFile(
  deps: RecoveryDeps,
  venue: string,
  file: ObjectInfo,
  known: ReadonlyMap<string, Known>,
  signal: AbortSignal,
): Promise<RecoveredSegment> {
  const label = file.key.slice(rawActive(venue).length, -'.ndjson'.length)
  const survey = await surveyFile(deps, file, known, signal)
  const summary = {
    label,
    recorder: survey.header?.recorder ?? null,
    lines: survey.lines,
    lastN: survey.lastN,
    badLines: survey.badLines,
    isNewer: survey.isNewer,
  }
  // Nothing of it is lost to whoever wrote it, and recording does not wait for that.
  if (survey.isNewer) return { ...summary, publishedAs: null, cutBytes: 0 }
  if (survey.header === null)
    return { ...summary, publishedAs: null, cutBytes: await putAside(deps, venue, label, file, 0, signal) }
  const replaced = replacedBy(file.key, survey.header, known)
  if (replaced === 'later')
    return { ...summary, publishedAs: null, cutBytes: await putAside(deps, venue, label, file, 0, signal) }
  if (replaced === 'published') {
    await deps.store.delete(file.key)
    return { ...summary, publishedAs: null, cutBytes: 0 }
  }
  const path = deps.store.pathOf(file.key)
  const cutBytes = survey.isSealed ? 0 : await sealLeftover(deps, venue, label, file, survey, signal)
  if (survey.lines === 0 && !survey.isSealed) {
    await deps.store.delete(file.key)
    return { ...summary, publishedAs: null, cutBytes }
  }
  const valid = parseSegmentLabel(label) === undefined ? 'segment_19700101T00_00001' : label
  return { ...summary, publishedAs: await publishSegment(deps.store, venue, path, valid, signal), cutBytes }
}

/** What a file holds: read once, decided on afterwards. */
export interface Survey extends History {
  readonly header: SegmentHeader | null
  readonly isNewer: boolean
  readonly isSealed: boolean
  /** Where the file is to end before events and seal are added. */
  readonly keepUntil: number
  /** Of the bytes before `keepUntil`. */
  readonly keepHash: ReturnType<typeof createHash>
  readonly lines: number
  readonly badLines: number
  /** Bad ones that stay in the segment, because good lines follow them. */
  readonly corruptLines: number
  readonly firstN: number | null
  readonly lastN: number | null
  readonly firstRecvNs: string | null
  readonly lastRecvNs: string | null
  /** A newer segment of the same recorder goes on at this counter; null: this one is its last. */
  readonly cutBefore: number | null
}

async function surveyFile(
  deps: RecoveryDeps,
  file: ObjectInfo,
  known: ReadonlyMap<string, Known>,
  signal: AbortSignal,
): Promise<Survey> {
  await syncFile(deps, file)
  const history = new ConnectionHistory(deps.sequenceOf)
  let cutBefore: number | null | undefined
  const kept = {
    until: 0,
    lines: 0,
    badBefore: 0,
    lastN: null as number | null,
    lastRecvNs: null as string | null,
  }
  let badLines = 0
  const scanner: SegmentScanner = new SegmentScanner({
    bad: () => {
      badLines++
    },
    line: (line) => {
      cutBefore ??= nextOf(scanner.header!, known)
      if (cutBefore !== null && line.n >= cutBefore) return
      history.take(line)
      kept.until = line.offset + line.until - line.from + 1
      kept.lines++
      kept.badBefore = badLines
      kept.lastN = line.n
      kept.lastRecvNs = line.bytes.toString('latin1', line.recvFrom, line.recvUntil)
    },
  })
  for await (const chunk of deps.store.read(file.key, 0, file.sizeBytes, signal)) scanner.push(chunk)
  const result: ScanResult = scanner.end()
  const keepUntil = kept.lines === 0 ? result.goodUntil : kept.until
  return {
    header: result.header,
    isNewer: result.headerProblem?.includes('newer version') === true,
    isSealed: result.seal !== null && result.sealProblem === null,
    keepUntil,
    keepHash: await hashOf(deps, file.key, keepUntil, signal),
    lines: kept.lines,
    badLines: result.badLines,
    corruptLines: kept.badBefore,
    firstN: kept.lines === 0 ? null : result.firstN,
    lastN: kept.lastN,
    firstRecvNs: kept.lines === 0 ? null : result.firstRecvNs,
    lastRecvNs: kept.lastRecvNs,
    ...history.summary(),
    cutBefore: cutBefore ?? null,
  }
}

/** What is read back after a crash may stand in the page cache only: sync it before relying on it. */
async function syncFile(deps: RecoveryDeps, file: ObjectInfo): Promise<void> {
  const handle = await deps.disk.append(deps.store.pathOf(file.key))
  try {
    await handle.datasync()
  } finally {
    await handle.close()
  }
}

async function hashOf(
  deps: RecoveryDeps,
  key: string,
  until: number,
  signal: AbortSignal,
): Promise<ReturnType<typeof createHash>> {
  const hash = createHash('sha256')
  for await (const chunk of deps.store.read(key, 0, until, signal)) hash.update(chunk)
  return hash
}

/** Cuts the torn tail, says what happened, seals. @returns bytes cut */
async function sealLeftover(
  deps: RecoveryDeps,
  venue: string,
  label: string,
  file: ObjectInfo,
  survey: Survey,
  signal: AbortSignal,
): Promise<number> {
  const cutBytes = file.sizeBytes - survey.keepUntil
  if (cutBytes > 0) await putAside(deps, venue, label, file, survey.keepUntil, signal)
  if (survey.lines === 0) return cutBytes
  // As it lies there, not as cut just now: a recovery that was killed may have put it aside and cut it already.
  const torn = await deps.store.head(tornKey(venue, label))
  const nowNs = deps.clock.nowNs()
  const tail = survey.cutBefore === null ? lastWords(nowNs, survey, torn) : []
  const lines = Buffer.concat(tail)
  const bytes = survey.keepUntil + lines.length
  const lastN = survey.lastN! + tail.length
  const seal: Seal = {
    lines: survey.lines + tail.length,
    bytes,
    sha256: survey.keepHash.update(lines).digest('hex'),
    first_n: survey.firstN,
    last_n: lastN,
    first_recv_ns: survey.firstRecvNs,
    last_recv_ns: tail.length === 0 ? survey.lastRecvNs : String(nowNs),
    connections: survey.connections.toJSON(),
    recovered: true,
  }
  const handle = await deps.disk.append(deps.store.pathOf(file.key))
  try {
    await handle.truncate(survey.keepUntil)
    await writeAll(handle, Buffer.concat([lines, Buffer.from(`${JSON.stringify({ seal })}\n`)]))
    await handle.datasync()
  } finally {
    await handle.close()
  }
  return cutBytes
}

/** The lines a dead recorder could not write: where each open connection stopped, and that it was recovered. */
function lastWords(nowNs: bigint, survey: Survey, torn: ObjectInfo | undefined): Buffer[] {
  const encoder = new LineEncoder(survey.lastN! + 1)
  const died = (products: readonly string[], afterSeq: number | null, fromNs: string | null): Gap => ({
    cause: 'recorder_died',
    after_seq: afterSeq,
    before_seq: null,
    missing: null,
    from_ns: fromNs,
    until_ns: String(nowNs),
    products,
  })
  const events: [string | null, LogEvent][] = survey.open.map((one) => [
    one.conn,
    { gap: died(one.products, one.lastSequence, one.lastRecvNs === '' ? null : one.lastRecvNs) },
  ])
  // Also for the recorder as a whole: a connection may have been opened in the lines that were lost.
  if (!survey.isSaid.died) events.push([null, { gap: died(survey.products, null, survey.lastRecvNs) }])
  const recovered = {
    lines: survey.lines,
    torn_bytes: torn?.sizeBytes ?? 0,
    torn_key: torn?.key ?? null,
    corrupt_lines: survey.corruptLines,
  }
  if (!survey.isSaid.recovered) events.push([null, { recovered }])
  return events.map(([conn, event]) => encoder.other(nowNs, eventRest(conn, event)))
}

function tornKey(venue: string, label: string, copy = 1): string {
  return `${rawRejected(venue)}${label}${copy === 1 ? '' : `.${copy}`}.torn`
}

/** Copies bytes from `from` on to raw/rejected; when `from` is 0 the file holds no segment and goes. @returns how many */
async function putAside(
  deps: RecoveryDeps,
  venue: string,
  label: string,
  file: ObjectInfo,
  from: number,
  signal: AbortSignal,
): Promise<number> {
  const parts: Buffer[] = []
  for await (const chunk of deps.store.read(file.key, from, file.sizeBytes, signal)) parts.push(chunk)
  const bytes = Buffer.concat(parts)
  if (bytes.length > 0) await keepTorn(deps.store, venue, label, bytes)
  if (from === 0) await deps.store.delete(activeSegmentKey(venue, label))
  return bytes.length
}

/** Puts the bytes under the first free name, or finds them there already: put by a recovery that was killed before it cut. */
async function keepTorn(store: LocalObjectStore, venue: string, label: string, bytes: Buffer): Promise<void> {
  for (let copy = 1; ; copy++) {
    const key = tornKey(venue, label, copy)
    if ((await store.putIfAbsent(key, bytes)) === 'created') return
    const there = await store.head(key)
    if (there?.sizeBytes === bytes.length && (await store.get(key, bytes.length))?.equals(bytes) === true)
      return
  }
}
