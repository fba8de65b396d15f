/** What a batch of cycles does to the programs, drawn from a seed before it begins. Pure. */

import { seededRandom } from '../../src/core/random.ts'
import type { Fault as VenueFault } from '../../src/simulator/faults.ts'

export const storeNames = ['local', 'minio', 'fake'] as const
export type StoreName = (typeof storeNames)[number]

/** What is true of the machine and the store, and so which faults can be. */
export interface Means {
  readonly store: StoreName
  /** A small file system can be mounted. */
  readonly canMount: boolean
  readonly canTrace: boolean
  readonly canStepClock: boolean
}

/** What is done to the programs at a moment of a cycle, beside the venue's own faults. */
export const deedKinds = [
  'kill recorder as it starts',
  'kill worker',
  'stop recorder',
  'stop worker',
  'stop worker past its claim',
  'stop recorder until it is rescued',
  'tear a tail',
  'disk full',
  'disk full at the start',
  'fdatasync fails in recorder',
  'slow fdatasync in recorder',
  'sync or link fails in worker',
  'clock set while running',
  'clock set between runs',
  'venue frozen, sockets half-open',
  'bucket out of reach',
  'bucket fails every second request',
] as const
export type DeedKind = (typeof deedKinds)[number]

export interface Deed {
  readonly kind: DeedKind
  /** After the first durable line. */
  readonly atMs: number
  readonly forMs: number
  /** Which of several: a call, the seconds of a step, where a tail is torn. */
  readonly dice: number
}

export interface CyclePlan {
  /** From the first durable line to the kill; from the start where it is killed as it starts. */
  readonly lifeMs: number
  readonly deeds: readonly Deed[]
  readonly venue: readonly { readonly atMs: number; readonly fault: VenueFault }[]
}

export interface BatchPlan {
  readonly batch: number
  readonly seed: number
  readonly cycles: readonly CyclePlan[]
  /** The vault lies on a small file system. */
  readonly isSmall: boolean
  readonly queueMaxMb: number
}

/** One in so many cycles is long enough for watchdogs and for the clock to be looked at. */
const longEvery = 25
const longMs = 12_500
/** Longer than a claim lasts (30 s). */
export const pastClaimMs = 34_000
/** A recorder in a bucket is taken for dead after a minute without a change; workers look once a minute. */
const untilRescuedMs = 125_000

const shortVenue: readonly VenueFault[] = [
  { kind: 'drop' },
  { kind: 'duplicate' },
  { kind: 'reorder' },
  { kind: 'fragment' },
  { kind: 'half_frame' },
  { kind: 'reset' },
  { kind: 'close', code: 1000 },
  { kind: 'close', code: 1006 },
  { kind: 'close', code: 1012 },
  { kind: 'error_close' },
  { kind: 'slow_consumer' },
  { kind: 'refuse_connects', ms: 700, code: 503 },
  { kind: 'client_id' },
  { kind: 'unknown_fields' },
  { kind: 'several_events' },
  { kind: 'mixed_trades' },
  { kind: 'crossed' },
  { kind: 'odd_decimals' },
  { kind: 'missing_product' },
  { kind: 'unknown_channel' },
  { kind: 'path_product' },
  { kind: 'huge_numbers' },
  { kind: 'huge_trade' },
  { kind: 'line_break' },
  { kind: 'not_json' },
  { kind: 'bad_utf8' },
  { kind: 'binary' },
  // More often: the one kind that ends among the rejects, if it is not lost with the recorder it reached.
  ...Array.from({ length: 3 }, (): VenueFault => ({ kind: 'forged' })),
]

type Random = () => number

/** Deals all of a list, in an order of chance, before it begins anew. */
function deck<T>(items: readonly T[], random: Random): () => T {
  let left: T[] = []
  return () => {
    if (left.length === 0) left = [...items]
    return left.splice(Math.floor(random() * left.length), 1)[0]!
  }
}

/** @returns the deeds that can be done here, those that need a long or a special cycle left out */
export function shortDeeds({ store, canTrace, canStepClock }: Means, isSmall: boolean): DeedKind[] {
  const always: DeedKind[] = [
    'kill recorder as it starts',
    'kill recorder as it starts',
    'kill worker',
    'kill worker',
    'stop recorder',
    'stop worker',
    'tear a tail',
  ]
  if (isSmall) always.push('disk full', 'disk full at the start')
  if (canTrace)
    always.push('fdatasync fails in recorder', 'slow fdatasync in recorder', 'sync or link fails in worker')
  if (canStepClock) always.push('clock set between runs')
  if (store !== 'local') always.push('bucket out of reach', 'bucket fails every second request')
  return always
}

export interface BatchOptions {
  readonly means: Means
  readonly seed: number
  readonly batch: number
  /** Of this batch. */
  readonly cycles: number
  /** Of the whole run. */
  readonly cyclesInAll: number
}

export function planBatch({ means, seed, batch, cycles, cyclesInAll }: BatchOptions): BatchPlan {
  const own = seed * 1000 + batch
  const random = seededRandom(own)
  const isSmall = means.canMount && batch % 2 === 0
  const venue = deck(shortVenue, random)
  const deeds = deck(shortDeeds(means, isSmall), random)
  const plans = Array.from({ length: cycles }, (_, i) => {
    if (i % longEvery === Math.min(12, cycles - 1))
      return longCycle(means, batch + Math.floor(i / longEvery), random)
    return shortCycle(deeds(), venue, random)
  })
  return {
    batch,
    seed: own,
    cycles: withSpecials(plans, means, batch, cyclesInAll),
    isSmall,
    queueMaxMb: isSmall ? 2 : 256,
  }
}

function shortCycle(kind: DeedKind, venue: () => VenueFault, random: Random): CyclePlan {
  const deed: Deed = {
    kind,
    atMs: random() * 400,
    forMs: kind === 'disk full' ? 500 + random() * 1500 : 150 + random() * 600,
    dice: random(),
  }
  const isStarting = kind === 'kill recorder as it starts'
  const lifeMs = isStarting ? 50 + random() * 900 : 100 + random() * 1000
  const faults = isStarting
    ? []
    : Array.from({ length: 2 }, () => ({ atMs: random() * lifeMs, fault: venue() }))
  return { lifeMs, deeds: [deed], venue: faults }
}

/** What watchdogs and the look at the clock need time for. */
function longCycle({ canStepClock }: Means, turn: number, random: Random): CyclePlan {
  const isFrozen = turn % 2 === 1
  const deeds: Deed[] = []
  if (canStepClock) deeds.push({ kind: 'clock set while running', atMs: 100, forMs: 0, dice: random() })
  if (isFrozen)
    deeds.push({ kind: 'venue frozen, sockets half-open', atMs: 300, forMs: 6_500, dice: random() })
  return {
    lifeMs: longMs,
    deeds,
    venue: [
      ...(isFrozen ? [] : [{ atMs: 300, fault: { kind: 'silence', ms: 60_000 } as const }]),
      { atMs: 9_000, fault: { kind: 'huge_frame', bytes: turn % 4 < 2 ? 100_000_000 : 3_000_000 } },
    ],
  }
}

/** Those that last longer than any cycle. */
function withSpecials(
  plans: readonly CyclePlan[],
  { store }: Means,
  batch: number,
  cyclesInAll: number,
): CyclePlan[] {
  const all = [...plans]
  const add = (at: number, deed: Deed, lifeMs: number): void => {
    const before = all[at]
    if (before !== undefined) all[at] = { ...before, lifeMs: Math.max(before.lifeMs, lifeMs), deeds: [deed] }
  }
  if (cyclesInAll >= 60 && batch % 2 === 0)
    add(1, { kind: 'stop worker past its claim', atMs: 100, forMs: pastClaimMs, dice: 0 }, 0)
  if (cyclesInAll >= 60 && store !== 'local' && batch % 3 === 1)
    add(
      3,
      { kind: 'stop recorder until it is rescued', atMs: 100, forMs: untilRescuedMs, dice: 0 },
      untilRescuedMs + 8_000,
    )
  return all
}
