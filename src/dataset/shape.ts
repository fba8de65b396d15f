/** How frames of a channel become rows of a table: one description that the fast reader, the exact decoder and the rebuilder all follow. */

import type { TableName } from './names.ts'
import { tickerDecimals } from './ticker.ts'

export type RowTable = Exclude<TableName, 'other'>

/**
 * `decimal`: text that is a number. `time`: RFC 3339. `id`: digits that fit 63 bits. `word`: one of `values`.
 * `fixed`: always the one value, so it has no column. `product`: the partition.
 */
export type FieldKind = 'decimal' | 'time' | 'id' | 'word' | 'fixed' | 'product'

export interface Field {
  /** In the frame. */
  readonly name: string
  readonly column: string
  readonly kind: FieldKind
  readonly values: readonly string[]
}

export interface TableShape {
  readonly table: RowTable
  readonly channels: readonly string[]
  /** Name of the list of rows in an event. */
  readonly list: string
  readonly productIn: 'event' | 'row'
  readonly fields: readonly Field[]
  /** Boolean column that says `type` of the event is `snapshot`. */
  readonly snapshotColumn: string
}

function field(name: string, kind: FieldKind, column = name, values: readonly string[] = []): Field {
  return { name, column, kind, values }
}

export const shapes: readonly TableShape[] = [
  {
    table: 'level2',
    channels: ['l2_data'],
    list: 'updates',
    productIn: 'event',
    fields: [
      field('side', 'word', 'side', ['bid', 'offer']),
      field('event_time', 'time'),
      field('price_level', 'decimal', 'price'),
      field('new_quantity', 'decimal', 'size'),
    ],
    snapshotColumn: 'is_snapshot',
  },
  {
    table: 'market_trades',
    channels: ['market_trades'],
    list: 'trades',
    productIn: 'row',
    fields: [
      field('product_id', 'product'),
      field('trade_id', 'id'),
      field('price', 'decimal'),
      field('size', 'decimal'),
      field('time', 'time'),
      field('side', 'word', 'maker_side', ['BUY', 'SELL']),
    ],
    snapshotColumn: 'from_snapshot',
  },
  {
    table: 'ticker',
    channels: ['ticker', 'ticker_batch'],
    list: 'tickers',
    productIn: 'row',
    fields: [
      field('type', 'fixed', 'type', ['ticker']),
      field('product_id', 'product'),
      ...tickerDecimals.map((name) => field(name, 'decimal')),
    ],
    snapshotColumn: 'is_snapshot',
  },
]

export function shapeOf(table: RowTable): TableShape {
  return shapes.find((shape) => shape.table === table)!
}

export function shapeOfChannel(channel: string): TableShape | undefined {
  return shapes.find((shape) => shape.channels.includes(channel))
}
