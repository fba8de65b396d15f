/** What can go wrong on demand: the kinds, when each strikes, and what it does to a frame's text. Pure. */

import { unreachable } from '../core/assert.ts'
import { VaultError } from '../core/errors.ts'

/** Strike at once. */
const immediateKinds = ['silence', 'reset', 'close', 'refuse_connects'] as const
/** One more frame, or bytes that are none. */
const extraKinds = [
  'unknown_channel',
  'path_product',
  'huge_numbers',
  'not_json',
  'bad_utf8',
  'binary',
  'forged',
] as const
/** Change how the next frame is sent. */
const deliveryKinds = ['drop', 'duplicate', 'reorder', 'fragment'] as const
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
export type ExtraKind = (typeof extraKinds)[number]
type ContentKind = (typeof contentKinds)[number]

export interface Fault {
  readonly kind: FaultKind
  /** Of `silence` and `refuse_connects`; 10,000 and 3,000 unless told. */
  readonly ms?: number
  /** Of `close`: a WebSocket close code (1006: hang up without one). Of `refuse_connects`: an HTTP status. */
  readonly code?: number
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

export function isOf<T extends FaultKind>(kinds: readonly T[], kind: FaultKind): kind is T {
  return kinds.some((each) => each === kind)
}

export const isExtra = (kind: FaultKind): kind is ExtraKind => isOf(extraKinds, kind)
export const isContent = (kind: FaultKind): kind is ContentKind => isOf(contentKinds, kind)
export const isDelivery = (kind: FaultKind): boolean => isOf(deliveryKinds, kind)

interface Row {
  [key: string]: unknown
}
interface FrameEvent extends Row {
  product_id?: string
  updates?: Row[]
  trades?: Row[]
  tickers?: Row[]
}
interface Frame extends Row {
  channel: string
  events: FrameEvent[]
}

/** Does this kind have something to bite on in a frame of the channel? */
export function fits(kind: ContentKind, channel: string): boolean {
  if (kind === 'heartbeat_string') return channel === 'heartbeats'
  if (kind === 'unknown_fields') return ['l2_data', 'market_trades', 'ticker'].includes(channel)
  if (['epoch_event_time', 'several_events', 'crossed', 'odd_decimals'].includes(kind))
    return channel === 'l2_data'
  return true
}

/** The frame's text with the fault in it. @param bestOffer the lowest price a product is offered at now, as text */
export function distort(kind: ContentKind, text: string, bestOffer: (productId: string) => string): string {
  const frame = JSON.parse(text) as Frame
  if (kind === 'line_break') return JSON.stringify(frame, null, 2)
  distortions[kind](frame, bestOffer)
  return JSON.stringify(frame)
}

type Distortion = (frame: Frame, bestOffer: (productId: string) => string) => void

const distortions: Record<Exclude<ContentKind, 'line_break'>, Distortion> = {
  client_id: (frame) => {
    frame['client_id'] = ''
  },
  heartbeat_string: (frame) => {
    for (const event of frame.events) event['heartbeat_counter'] = String(event['heartbeat_counter'])
  },
  epoch_event_time: (frame) => {
    for (const row of updatesOf(frame)) row['event_time'] = '1970-01-01T00:00:00Z'
  },
  several_events: (frame) => {
    frame.events = frame.events.flatMap((event) => {
      const updates = event.updates ?? []
      const half = Math.ceil(updates.length / 2)
      const rest = { ...event, type: 'update', updates: updates.slice(half) }
      return [{ ...event, updates: updates.slice(0, half) }, rest]
    })
  },
  unknown_fields: (frame) => {
    frame['shard'] = { id: 7, tags: ['a', null] }
    for (const event of frame.events) {
      event['epoch'] = 3
      for (const row of [...(event.updates ?? []), ...(event.trades ?? []), ...(event.tickers ?? [])])
        row['order_count'] = '12'
    }
  },
  // A bid at the best offer's price, taken back at the end of the same event: crossed only for one who applies row by row.
  crossed: (frame, bestOffer) => {
    for (const event of frame.events) {
      const [first] = event.updates ?? []
      if (event.updates === undefined || first === undefined) continue
      const row = { ...first, side: 'bid', price_level: bestOffer(event.product_id ?? '') }
      event.updates = [{ ...row, new_quantity: '1' }, ...event.updates, { ...row, new_quantity: '0' }]
    }
  },
  odd_decimals: (frame) => {
    for (const [i, row] of updatesOf(frame).entries()) {
      const price = String(row['price_level'])
      row['price_level'] = price.includes('.') ? `${price}0` : `${price}.0`
      if (i === 0 && row['new_quantity'] !== '0') row['new_quantity'] = '9.7e-7'
    }
  },
}

function updatesOf(frame: Frame): Row[] {
  return frame.events.flatMap((event) => event.updates ?? [])
}

/** A message the venue would not send now; `numbered` ones are ordinary frames and take a sequence number. */
export type ExtraMessage =
  | { readonly numbered: true; readonly channel: string; readonly events: string }
  | { readonly numbered: false; readonly isBinary: boolean; readonly payload: Buffer }

const tickerOf = (productId: string, price: string): string =>
  `{"type":"update","tickers":[{"type":"ticker","product_id":"${productId}","price":${price},"volume_24_h":12345678901234567890}]}`

export function extraMessage(kind: ExtraKind): ExtraMessage {
  const numbered = (channel: string, events: string): ExtraMessage => ({ numbered: true, channel, events })
  const garbage = (payload: Buffer, isBinary = false): ExtraMessage => ({
    numbered: false,
    isBinary,
    payload,
  })
  switch (kind) {
    case 'unknown_channel':
      return numbered('auction_book', '{"type":"update","auctions":[{"id":"a-1","state":"open"}]}')
    case 'path_product':
      return numbered('ticker', tickerOf('../x', '"1.5"'))
    case 'huge_numbers':
      return numbered('ticker', tickerOf('BTC-USD', '1e400'))
    case 'not_json':
      return garbage(Buffer.from('upstream connect error or disconnect/reset before headers'))
    case 'bad_utf8':
      return garbage(Buffer.from('{"channel":"l2_data","note":"\xff\xfe"}', 'latin1'))
    case 'binary':
      return garbage(Buffer.from([0x1f, 0x8b, 0x08, 0x00, 0x0a, 0x0d, 0x00, 0xff]), true)
    case 'forged':
      return garbage(Buffer.from('{"a":1},"n":99,"crc":"00000000","x":{"b":2}'))
    default:
      return unreachable(kind)
  }
}
