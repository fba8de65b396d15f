/** What can go wrong on demand: the kinds, when each strikes, and how a user asks for them. Pure. */

import { VaultError } from '../core/errors.ts'

/** Strike at once. */
const immediateKinds = [
  'silence',
  'reset',
  'close',
  'error_close',
  'slow_consumer',
  'refuse_connects',
] as const
/** One more frame, or bytes that are none. */
const extraKinds = [
  'unknown_channel',
  'path_product',
  'huge_numbers',
  'huge_trade',
  'not_json',
  'bad_utf8',
  'binary',
  'forged',
  'huge_frame',
] as const
/** Change how the next frame is sent. */
const deliveryKinds = ['drop', 'duplicate', 'reorder', 'fragment', 'half_frame'] as const
/** Change the text of the next frame that fits. */
const contentKinds = [
  'client_id',
  'heartbeat_string',
  'epoch_event_time',
  'several_events',
  'unknown_fields',
  'crossed',
  'odd_decimals',
  'line_break',
] as const
/** Change what goes into a frame or an acknowledgement before there is a text. */
const subjectKinds = ['mixed_trades', 'missing_product'] as const

export const faultKinds = [
  ...deliveryKinds,
  ...immediateKinds,
  ...contentKinds,
  ...subjectKinds,
  ...extraKinds,
] as const

export type FaultKind = (typeof faultKinds)[number]

/** What `all` means: a frame of 100 MB every few seconds is a test of its own. */
export const usualKinds: readonly FaultKind[] = faultKinds.filter((kind) => kind !== 'huge_frame')
export type ExtraKind = (typeof extraKinds)[number]
export type ContentKind = (typeof contentKinds)[number]

export interface Fault {
  readonly kind: FaultKind
  /** Of `silence` and `refuse_connects`; 10,000 and 3,000 unless told. */
  readonly ms?: number
  /** Of `close` and `error_close`: a WebSocket close code (1006: hang up without one). Of `refuse_connects`: an HTTP status. */
  readonly code?: number
  /** Of `huge_frame`: 100,000,000 unless told. */
  readonly bytes?: number
  /** Strikes only frames that name it; for `missing_product` the product, for extra frames the one they speak of. */
  readonly product?: string
}

/** A kind that strikes each frame with this chance. */
export interface FaultChance {
  readonly kind: FaultKind
  /** 0 to 1. */
  readonly chance: number
}

export const closeCodes = [1000, 1001, 1006, 1008, 1011, 1012, 1013] as const

export function isFaultKind(text: string): text is FaultKind {
  return faultKinds.some((kind) => kind === text)
}

/** Reads `all` or `drop,reset`. @throws VaultError `usage` naming the unknown kind */
export function parseFaultKinds(text: string): 'all' | FaultKind[] {
  if (text === 'all') return 'all'
  return text.split(',').map((kind) => {
    if (isFaultKind(kind)) return kind
    throw new VaultError('usage', `faults: ${JSON.stringify(kind)} is no kind of fault`, {
      remedy: `all, or a list of ${faultKinds.join(', ')}`,
    })
  })
}

/** Reads `drop=0.001,reset=0.00001`. @throws VaultError `usage` naming the part that is wrong */
export function parseFaultChances(text: string): FaultChance[] {
  return text.split(',').map((part) => {
    const [kind = '', chance = ''] = part.split('=')
    const value = chance.trim() === '' ? Number.NaN : Number(chance)
    if (isFaultKind(kind) && value >= 0 && value <= 1) return { kind, chance: value }
    throw new VaultError('usage', `fault: ${JSON.stringify(part)} is no KIND=CHANCE`, {
      remedy: `for example drop=0.001: each frame with this chance; kinds: ${faultKinds.join(', ')}`,
    })
  })
}

function isOf<T extends FaultKind>(kinds: readonly T[], kind: FaultKind): kind is T {
  return kinds.some((each) => each === kind)
}

export const isExtra = (kind: FaultKind): kind is ExtraKind => isOf(extraKinds, kind)
export const isContent = (kind: FaultKind): kind is ContentKind => isOf(contentKinds, kind)
export const isDelivery = (kind: FaultKind): boolean => isOf(deliveryKinds, kind)
