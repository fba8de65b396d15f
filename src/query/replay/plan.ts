/** What has to be read, in which order, to give back what was received in a range of time. Pure. */

import { VaultError } from '../../core/errors.ts'
import { isOfThisFormat } from '../../segment/peek.ts'
import { isReadySegment } from '../../storage/keys.ts'
import type { Receipt } from '../../table/receipt.ts'
import type { Catalog } from '../catalog.ts'
import { segmentFacts, type SegmentEntry } from '../segments.ts'

/** Receive times, epoch ns, [fromNs, untilNs). */
export interface TimeRange {
  readonly fromNs: bigint
  readonly untilNs: bigint
}

/** All there is. */
export const always: TimeRange = { fromNs: -(2n ** 63n), untilNs: 2n ** 63n - 1n }

/**
 * A seal says when its first and last line were received. Between them a clock may have been set, so that lines lie outside of the two: so far
 * outside of a range a segment is still looked into, and so far inside of it its bytes are handed on unseen.
 */
const clockStepNsMax = 600_000_000_000n

/** Lines of one recorder that follow one another. */
export interface Piece {
  readonly recorder: string
  readonly firstN: number
  readonly lastN: number
  readonly firstRecvNs: bigint
  readonly lastRecvNs: bigint
  /** It holds lines before `firstN` that are another piece's. */
  readonly isCut: boolean
  readonly from: RawPiece | TablesPiece
}

/** A segment whose raw bytes are kept. */
export interface RawPiece {
  readonly kind: 'raw'
  readonly key: string
  readonly label: string
  /** As it lies there: packed, where it is archived. */
  readonly sizeBytes: number
  /** Where the seal's line begins; null: it has to be found. */
  readonly contentBytes: number | null
}

/** Segments of one job whose raw bytes are gone: frames are made of its rows again. */
export interface TablesPiece {
  readonly kind: 'tables'
  readonly receipt: Receipt
}

export interface ReplayPlan {
  /** In time, none overlapping another; within one the pieces of each recorder in its order. */
  readonly stretches: readonly (readonly Piece[])[]
  /** Segments that still grow: not in it, because what is not sealed may change. */
  readonly growing: number
}

/**
 * @param catalog with segments of any state
 * @throws {VaultError} `corrupt` for a sealed segment that is damaged, whose time nobody can tell, `invalid` for one of a newer version
 */
export function planReplay(
  { venue, segments }: Pick<Catalog, 'venue' | 'segments'>,
  range: TimeRange,
): ReplayPlan {
  for (const entry of segments) refuseUnreadable(venue, entry)
  const pieces = segments
    .flatMap((entry) => pieceOf(venue, entry) ?? [])
    .filter((piece) => overlaps(piece, range))
  return {
    stretches: stretchesOf(joined(onceEach(byRecorder(pieces)))),
    growing: segments.filter((entry) => entry.state === 'active').length,
  }
}

/** What a later plan has of the lines of one piece, wherever they lie now. @throws {VaultError} `unavailable` unless it has all of them */
export function cutTo(plan: ReplayPlan, { recorder, firstN, lastN }: Piece): Piece[] {
  const pieces = byRecorder(plan.stretches.flat())
    .filter((piece) => piece.recorder === recorder && piece.firstN <= lastN && piece.lastN >= firstN)
    .map((piece) => ({
      ...piece,
      firstN: Math.max(piece.firstN, firstN),
      lastN: Math.min(piece.lastN, lastN),
    }))
  let nextN = firstN
  for (const piece of pieces) if (piece.firstN === nextN) nextN = piece.lastN + 1
  if (nextN === lastN + 1) return pieces
  throw new VaultError(
    'unavailable',
    `lines ${nextN} to ${lastN} of recorder ${recorder} went away meanwhile`,
    {
      remedy: 'run it again; if lines are missing then, "mdv verify" says which',
    },
  )
}

/** Before it no line of it was received, but where a clock was set back; those count as received at the latest time before them. */
export function beginsNs({ firstRecvNs, lastRecvNs }: Piece): bigint {
  return earlier(firstRecvNs, lastRecvNs)
}

/** Whether all of its lines are in the range, and none need be looked at. */
export function isInside({ firstRecvNs, lastRecvNs, isCut }: Piece, { fromNs, untilNs }: TimeRange): boolean {
  const isAfter = fromNs === always.fromNs || earlier(firstRecvNs, lastRecvNs) - clockStepNsMax >= fromNs
  const isBefore = untilNs === always.untilNs || later(firstRecvNs, lastRecvNs) + clockStepNsMax < untilNs
  return isAfter && isBefore && !isCut
}

function overlaps({ firstRecvNs, lastRecvNs }: Piece, { fromNs, untilNs }: TimeRange): boolean {
  return (
    earlier(firstRecvNs, lastRecvNs) - clockStepNsMax < untilNs &&
    later(firstRecvNs, lastRecvNs) + clockStepNsMax >= fromNs
  )
}

function refuseUnreadable(venue: string, entry: SegmentEntry): void {
  const { label, rawKey, header, problem, receipt } = entry
  if (entry.state === 'active' || receipt !== null || !isWaiting(venue, entry)) return
  if (header !== null && !isOfThisFormat(header))
    throw new VaultError('invalid', `${rawKey}: format ${header.format}, written by a newer version`, {
      remedy: 'use the newest mdv on this vault',
    })
  if (problem !== null)
    throw new VaultError('corrupt', `${rawKey}: ${problem}`, { remedy: `mdv segments repair ${label}` })
}

/** It lies where segments wait, under a name that they have; whether or not more of it can be read. */
function isWaiting(venue: string, { rawKey, label, header }: SegmentEntry): boolean {
  const isOfVenue = header === null || !isOfThisFormat(header) || header.venue === venue
  return isOfVenue && rawKey !== null && isReadySegment(venue, label, rawKey)
}

/** undefined for what is not sealed, is none of ours, or has no lines. */
function pieceOf(venue: string, entry: SegmentEntry): Piece | undefined {
  const { recorder, firstN, lastN, firstRecvNs, lastRecvNs } = segmentFacts(entry)
  if (entry.state === 'active' || entry.state === 'foreign') return undefined
  if (entry.receipt === null && !isWaiting(venue, entry)) return undefined
  if (recorder === null || firstN === null || lastN === null) return undefined
  if (firstRecvNs === null || lastRecvNs === null) return undefined
  return { recorder, firstN, lastN, firstRecvNs, lastRecvNs, isCut: false, from: sourceOf(entry) }
}

function sourceOf(entry: SegmentEntry): RawPiece | TablesPiece {
  const { rawKey, label, sizeBytes, seal, receipt } = entry
  if (rawKey !== null && isWhole(entry))
    return { kind: 'raw', key: rawKey, label, sizeBytes, contentBytes: seal?.bytes ?? null }
  return { kind: 'tables', receipt: receipt! }
}

/** A copy that somebody put beside the rows, and cut short, is not what was converted. */
function isWhole({ state, problem, source, sizeBytes }: SegmentEntry): boolean {
  return problem === null && (state === 'archived' || source === null || sizeBytes === source.size_bytes)
}

function byRecorder(pieces: readonly Piece[]): Piece[] {
  return [...pieces].sort((a, b) => compare(a.recorder, b.recorder) || a.firstN - b.firstN)
}

/**
 * A segment may lie there twice, under two labels; and the counter that a repaired one is said to begin with may be too low. What an earlier piece
 * has comes from that.
 */
function onceEach(pieces: readonly Piece[]): Piece[] {
  const kept: Piece[] = []
  for (const piece of pieces) {
    const before = kept.at(-1)
    if (before?.recorder !== piece.recorder || before.lastN < piece.firstN) kept.push(piece)
    else if (before.lastN < piece.lastN) kept.push({ ...piece, firstN: before.lastN + 1, isCut: true })
  }
  return kept
}

/** Segments of one job become one piece: its rows are read once. */
function joined(pieces: readonly Piece[]): Piece[] {
  const result: Piece[] = []
  for (const piece of pieces) {
    const last = result.at(-1)
    if (last === undefined || !isOneJob(last, piece)) result.push(piece)
    else
      result[result.length - 1] = {
        ...piece,
        firstN: last.firstN,
        firstRecvNs: beginsNs(last),
        lastRecvNs: later(
          later(last.firstRecvNs, last.lastRecvNs),
          later(piece.firstRecvNs, piece.lastRecvNs),
        ),
      }
  }
  return result
}

function isOneJob(a: Piece, b: Piece): boolean {
  return (
    a.recorder === b.recorder &&
    a.lastN + 1 === b.firstN &&
    a.from.kind === 'tables' &&
    b.from.kind === 'tables' &&
    a.from.receipt === b.from.receipt
  )
}

/** A recorder's order is its counter's, whatever its clock did: each piece begins no sooner and ends no sooner than those before it. */
function stretchesOf(pieces: readonly Piece[]): Piece[][] {
  const timed: { piece: Piece; fromNs: bigint; untilNs: bigint }[] = []
  for (const piece of pieces) {
    const last = timed.at(-1)
    const before = last?.piece.recorder === piece.recorder ? last : null
    timed.push({
      piece,
      fromNs: later(beginsNs(piece), before?.fromNs),
      untilNs: later(later(piece.firstRecvNs, piece.lastRecvNs), before?.untilNs),
    })
  }
  // Stable: of one recorder the order stays.
  timed.sort((a, b) => compare(a.fromNs, b.fromNs))
  const stretches: Piece[][] = []
  let endNs: bigint | null = null
  for (const { piece, fromNs, untilNs } of timed) {
    if (endNs === null || fromNs > endNs) stretches.push([piece])
    else stretches.at(-1)!.push(piece)
    endNs = later(untilNs, endNs ?? undefined)
  }
  return stretches
}

function earlier(a: bigint, b: bigint): bigint {
  return b < a ? b : a
}

function later(a: bigint, b: bigint | undefined): bigint {
  return b !== undefined && b > a ? b : a
}

function compare<T extends bigint | string>(a: T, b: T): number {
  return a < b ? -1 : a > b ? 1 : 0
}
