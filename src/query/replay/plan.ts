/** What has to be read, in which order, to give back what was received in a range of time. Pure. */

import { VaultError } from '../../core/errors.ts'
import type { Receipt } from '../../table/receipt.ts'
import { segmentFacts, type SegmentEntry } from '../segments.ts'

/** Receive times, epoch ns, [fromNs, untilNs). */
export interface TimeRange {
  readonly fromNs: bigint
  readonly untilNs: bigint
}

/** Lines of one recorder that follow one another. */
export interface Piece {
  readonly recorder: string
  readonly firstN: number
  readonly lastN: number
  readonly firstRecvNs: bigint
  readonly lastRecvNs: bigint
  readonly from: RawPiece | TablesPiece
}

/** A segment whose raw bytes are kept. */
export interface RawPiece {
  readonly kind: 'raw'
  readonly key: string
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
 * @param segments as a catalog has them, of any state
 * @throws {VaultError} `corrupt` for a segment in the range that is damaged: what it hides cannot be told
 */
export function planReplay(segments: readonly SegmentEntry[], range: TimeRange): ReplayPlan {
  const damaged = segments.find((entry) => entry.state !== 'foreign' && isDamaged(entry))
  if (damaged !== undefined)
    throw new VaultError('corrupt', `${damaged.rawKey ?? damaged.label}: ${damaged.problem}`, {
      remedy: `mdv segments repair ${damaged.label}`,
    })
  const pieces = segments.flatMap((entry) => pieceOf(entry) ?? []).filter((piece) => overlaps(piece, range))
  return {
    stretches: stretchesOf(joined(byRecorder(pieces))),
    growing: segments.filter((entry) => entry.state === 'active').length,
  }
}

/** What a later plan has of the lines of one piece, wherever they lie now. */
export function cutTo(plan: ReplayPlan, { recorder, firstN, lastN }: Piece): Piece[] {
  return plan.stretches
    .flat()
    .filter((piece) => piece.recorder === recorder && piece.firstN <= lastN && piece.lastN >= firstN)
    .map((piece) => ({
      ...piece,
      firstN: Math.max(piece.firstN, firstN),
      lastN: Math.min(piece.lastN, lastN),
    }))
}

/** Whether all of its lines are in the range, as its seal says. */
export function isInside({ firstRecvNs, lastRecvNs }: Piece, { fromNs, untilNs }: TimeRange): boolean {
  return firstRecvNs >= fromNs && lastRecvNs < untilNs
}

function overlaps({ firstRecvNs, lastRecvNs }: Piece, { fromNs, untilNs }: TimeRange): boolean {
  return firstRecvNs < untilNs && lastRecvNs >= fromNs
}

/** A sealed one that has no receipt and does not say of itself what it holds. */
function isDamaged({ state, problem, receipt }: SegmentEntry): boolean {
  return state !== 'active' && receipt === null && problem !== null
}

/** undefined for what is not sealed, is none of ours, or has no lines. */
function pieceOf(entry: SegmentEntry): Piece | undefined {
  const { recorder, firstN, lastN, firstRecvNs, lastRecvNs } = segmentFacts(entry)
  if (entry.state === 'active' || entry.state === 'foreign') return undefined
  if (recorder === null || firstN === null || lastN === null) return undefined
  if (firstRecvNs === null || lastRecvNs === null) return undefined
  return { recorder, firstN, lastN, firstRecvNs, lastRecvNs, from: sourceOf(entry) }
}

function sourceOf({ rawKey, sizeBytes, seal, receipt }: SegmentEntry): RawPiece | TablesPiece {
  if (rawKey !== null) return { kind: 'raw', key: rawKey, sizeBytes, contentBytes: seal?.bytes ?? null }
  return { kind: 'tables', receipt: receipt! }
}

function byRecorder(pieces: readonly Piece[]): Piece[] {
  return [...pieces].sort((a, b) => compare(a.recorder, b.recorder) || a.firstN - b.firstN)
}

/** Segments of one job become one piece: its rows are read once. */
function joined(pieces: readonly Piece[]): Piece[] {
  const result: Piece[] = []
  for (const piece of pieces) {
    const last = result.at(-1)
    if (last === undefined || !isOneJob(last, piece)) result.push(piece)
    else result[result.length - 1] = { ...piece, firstN: last.firstN, firstRecvNs: last.firstRecvNs }
  }
  return result
}

function isOneJob(a: Piece, b: Piece): boolean {
  return (
    a.recorder === b.recorder &&
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
      fromNs: later(piece.firstRecvNs, before?.fromNs),
      untilNs: later(piece.lastRecvNs, before?.untilNs),
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

function later(a: bigint, b: bigint | undefined): bigint {
  return b !== undefined && b > a ? b : a
}

function compare<T extends bigint | string>(a: T, b: T): number {
  return a < b ? -1 : a > b ? 1 : 0
}
