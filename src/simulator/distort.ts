/** What a fault does to a frame's text, and the frames that no market makes. Pure. */

import { unreachable } from '../core/assert.ts'
import type { ContentKind, ExtraKind, Fault } from './faults.ts'

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

/** More digits than 64 bits, a double, or decimal(38,18) hold. */
const tradeOf = (productId: string): string =>
  `{"type":"update","trades":[{"product_id":"${productId}","trade_id":"99999999999999999999","price":"123456789012345678901234567890.5","size":"0.1234567890123456789012","time":"2262-04-12T00:00:00Z","side":"BUY"}]}`

const hugeBytes = 100_000_000

/** One JSON text of so many bytes, at least of those around the filling. */
function hugeText(sizeBytes: number): Buffer {
  const [head, end] = ['{"channel":"huge","filling":"', '"}']
  return Buffer.from(head + 'x'.repeat(Math.max(0, sizeBytes - head.length - end.length)) + end, 'latin1')
}

export function extraMessage(
  kind: ExtraKind,
  { product, bytes = hugeBytes }: Pick<Fault, 'product' | 'bytes'>,
): ExtraMessage {
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
      return numbered('ticker', tickerOf(product ?? 'BTC-USD', '1e400'))
    case 'huge_trade':
      return numbered('market_trades', tradeOf(product ?? 'BTC-USD'))
    case 'not_json':
      return garbage(Buffer.from('upstream connect error or disconnect/reset before headers'))
    case 'bad_utf8':
      return garbage(Buffer.from('{"channel":"l2_data","note":"\xff\xfe"}', 'latin1'))
    case 'binary':
      return garbage(Buffer.from([0x1f, 0x8b, 0x08, 0x00, 0x0a, 0x0d, 0x00, 0xff]), true)
    case 'forged':
      return garbage(Buffer.from('{"a":1},"n":99,"crc":"00000000","x":{"b":2}'))
    case 'huge_frame':
      return garbage(hugeText(bytes))
    default:
      return unreachable(kind)
  }
}
