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
import {
  activeSegmentKey,
  parseSegmentLabel,
  rawActive,
  rawReady,
  rawRejected,
  receiptsPrefix,
} from '../storage/keys.ts'
import { writeAll, type Disk } from '../storage/disk.ts'
import { listAll, type LocalObjectStore, type ObjectInfo } from '../storage/object-store.ts'
import { ConnectionCounter, SealedConnections } from './connection-stats.ts'
import type { Gap, LogEvent, Seal, SegmentHeader } from './format.ts'
import { eventRest, LineEncoder } from './line.ts'
import { isOfThisFormat, peekSegment, type PeekedHeader } from './peek.ts'
import { publishSegment } from './publish.ts'
import { toLine } from './read.ts'
import { SegmentScanner, type ScannedLine, type ScanResult } from './scan.ts'

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

/** A segment that exists somewhere, by identity. */
interface Known {
  readonly recorder: string
  readonly n: number
  /** Published: under raw/ready or named by a receipt. */
  readonly isPublished: boolean
  /** Where it lies; null when only a receipt knows it. */
  readonly key: string | null
  readonly openedNs: bigint
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

/**
 * A file that turns out to hold no line is forgotten before the one it was to follow is looked at: that one is then the recorder's
 * last, and says where its connections stood. Killed in between: the file is gone, and the next recovery finds the same.
 */
function latestFirst(files: readonly ObjectInfo[], known: ReadonlyMap<string, Known>): ObjectInfo[] {
  const orderOf = (file: ObjectInfo): Known | undefined => known.get(file.key)
  return [...files].sort((a, b) => {
    const [x, y] = [orderOf(a), orderOf(b)]
    if (x === undefined || y === undefined) return Number(x === undefined) - Number(y === undefined)
    return y.n - x.n || compareBigInt(y.openedNs, x.openedNs) || (a.key < b.key ? 1 : -1)
  })
}

function compareBigInt(a: bigint, b: bigint): number {
  return a < b ? -1 : Number(a > b)
}

/** By the key they lie under, or the receipt's. */
async function knownSegments(
  store: LocalObjectStore,
  venue: string,
  signal: AbortSignal,
): Promise<Map<string, Known>> {
  const known = new Map<string, Known>()
  for (const folder of [rawActive(venue), rawReady(venue)]) {
    for (const object of await listAll(store, `${folder}segment_`, signal)) {
      const peek = await peekSegment(store, object, false, signal)
      if (peek === 'gone' || peek.header === null) continue
      known.set(object.key, {
        recorder: peek.header.recorder,
        n: peek.header.n,
        isPublished: folder === rawReady(venue),
        key: object.key,
        openedNs: openedNs(peek.header),
      })
    }
  }
  for (const { key } of await listAll(store, receiptsPrefix(venue), signal)) {
    const job = /_([a-z2-7]{10})_(\d+)(?:\.g\d+)?\.json$/.exec(key)
    if (job !== null)
      known.set(key, { recorder: job[1]!, n: Number(job[2]), isPublished: true, key: null, openedNs: 0n })
  }
  return known
}

function openedNs(header: PeekedHeader): bigint {
  return isOfThisFormat(header) ? BigInt(header.opened_ns) : 0n
}

/**
 * Whether another file holds the same segment. `published`: the crash between the link to ready and the removal of the active name.
 * `later`: it was opened in place of this one, which failed before any of its lines was durable; kept aside all the same, since the
 * wall clock alone says which was later.
 */
function replacedBy(
  key: string,
  header: SegmentHeader,
  known: ReadonlyMap<string, Known>,
): 'published' | 'later' | null {
  const opened = openedNs(header)
  const same = [...known.values()].filter(
    (one) => one.recorder === header.recorder && one.n === header.n && one.key !== key,
  )
  if (same.some((one) => one.isPublished)) return 'published'
  const isLater = (one: Known): boolean =>
    one.openedNs > opened || (one.openedNs === opened && one.key !== null && one.key > key)
  return same.some(isLater) ? 'later' : null
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
export interface Survey {
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
  readonly connections: SealedConnections
  readonly open: readonly OpenConnection[]
  readonly products: readonly string[]
  /** The recorder as a whole was already said to have died, and the recovery to have happened: by a recovery that was killed. */
  readonly isSaid: { readonly died: boolean; readonly recovered: boolean }
  /** A newer segment of the same recorder goes on at this counter; null: this one is its last. */
  readonly cutBefore: number | null
}

export interface OpenConnection {
  readonly conn: string
  readonly products: readonly string[]
  readonly lastSequence: number | null
  readonly lastRecvNs: string
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

function nextOf(header: SegmentHeader, known: ReadonlyMap<string, Known>): number | null {
  const later = [...known.values()]
    .filter((one) => one.recorder === header.recorder && one.n > header.n)
    .map((one) => one.n)
  return later.length === 0 ? null : Math.min(...later)
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

/** Which connections were open at the end, and where each one stood. */
export class ConnectionHistory {
  readonly #sequenceOf: (frame: Buffer) => number
  readonly #counters = new Map<string, ConnectionCounter>()
  readonly #open = new Map<
    string,
    { products: readonly string[]; lastSequence: number | null; lastRecvNs: string }
  >()
  #products: readonly string[] = []
  #isSaid = { died: false, recovered: false }

  constructor(sequenceOf: (frame: Buffer) => number) {
    this.#sequenceOf = sequenceOf
  }

  take(scanned: ScannedLine): void {
    const line = toLine(scanned)
    if (line.kind === 'event') this.#takeEvent(line.conn, asEvent(line.event), line.recvNs)
    if (line.kind !== 'frame') return
    this.#isSaid = { died: false, recovered: false }
    const sequence = this.#sequenceOf(line.frame)
    let counter = this.#counters.get(line.conn)
    if (counter === undefined) this.#counters.set(line.conn, (counter = new ConnectionCounter(line.conn)))
    counter.add(sequence)
    const open = this.#open.get(line.conn) ?? { products: [], lastSequence: null, lastRecvNs: '' }
    open.lastRecvNs = String(line.recvNs)
    if (sequence > (open.lastSequence ?? -1)) open.lastSequence = sequence
    this.#open.set(line.conn, open)
  }

  #takeEvent(conn: string | null, event: EventBodies, recvNs: bigint): void {
    const opened = event['connection_opened']
    const started = event['recorder_started']
    if (started !== undefined) this.#products = asNames(started['products'])
    if (event['continued'] !== undefined) this.#takeContinued(event['continued']['connections'])
    if (event['products_changed'] !== undefined) this.#takeChange(event['products_changed'])
    if (conn === null) {
      if (event['gap']?.['cause'] === 'recorder_died') this.#isSaid.died = true
      if (event['recovered'] !== undefined) this.#isSaid.recovered = true
      return
    }
    if (opened !== undefined)
      this.#open.set(conn, {
        products: asNames(opened['products']),
        lastSequence: null,
        lastRecvNs: String(recvNs),
      })
    const asked = event['subscribe_sent']
    const open = this.#open.get(conn)
    if (asked !== undefined && open !== undefined)
      open.products = [...new Set([...open.products, ...asNames(asked['products'])])]
    // An open-ended gap already says that nothing more came: written at the close, or by a recovery that was itself killed.
    const gap = event['gap']
    if (event['connection_closed'] !== undefined || (gap !== undefined && gap['before_seq'] === null))
      this.#open.delete(conn)
  }

  /** What is new is asked for by a subscribe; what is gone is on no connection any more. */
  #takeChange(change: Readonly<Record<string, unknown>>): void {
    const removed = new Set(asNames(change['removed']))
    const without = (names: readonly string[]): string[] => names.filter((one) => !removed.has(one))
    this.#products = [...without(this.#products), ...asNames(change['added'])]
    for (const open of this.#open.values()) open.products = without(open.products)
  }

  /** What the segment before left open. */
  #takeContinued(connections: unknown): void {
    if (!Array.isArray(connections)) return
    for (const one of connections.filter(isRecord)) {
      const products = asNames(one['products'])
      this.#products = [...new Set([...this.#products, ...products])]
      this.#open.set(String(one['conn']), {
        products,
        lastSequence: typeof one['last_seq'] === 'number' ? one['last_seq'] : null,
        lastRecvNs: typeof one['last_recv_ns'] === 'string' ? one['last_recv_ns'] : '',
      })
    }
  }

  summary(): Pick<Survey, 'connections' | 'open' | 'products' | 'isSaid'> {
    const connections = new SealedConnections()
    for (const counter of this.#counters.values()) connections.add([counter.take()!])
    return {
      connections,
      open: [...this.#open].map(([conn, one]) => ({ conn, ...one })),
      products: this.#products,
      isSaid: this.#isSaid,
    }
  }
}

type EventBodies = Readonly<Partial<Record<string, Readonly<Record<string, unknown>>>>>

/** An event is an object with one key whose value is an object; anything else says nothing. */
function asEvent(value: unknown): EventBodies {
  if (!isRecord(value)) return {}
  return Object.fromEntries(
    Object.entries(value).filter((one): one is [string, Record<string, unknown>] => isRecord(one[1])),
  )
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function asNames(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((one) => typeof one === 'string') : []
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
