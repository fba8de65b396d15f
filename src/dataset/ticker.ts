/** Table `ticker`: one row for each ticker of a frame of the channels `ticker` and `ticker_batch`. */

import { absentOrExtra, column, decimalType, never, type Column } from './column.ts'
import { commonColumns, venueColumn } from './common.ts'

/** Columns whose name and field are one word, and whose value is a decimal. */
export const tickerDecimals = [
  'price',
  'volume_24_h',
  'low_24_h',
  'high_24_h',
  'low_52_w',
  'high_52_w',
  'price_percent_chg_24_h',
  'best_bid',
  'best_ask',
  'best_bid_quantity',
  'best_ask_quantity',
] as const

const units: Readonly<Partial<Record<string, string>>> = {
  volume_24_h: 'base currency',
  best_bid_quantity: 'base currency',
  best_ask_quantity: 'base currency',
  price_percent_chg_24_h: 'percent',
}

export const tickerColumns: readonly Column[] = [
  venueColumn,
  column('channel', 'VARCHAR', '`ticker` or `ticker_batch`', never, '`channel` of the frame'),
  column('is_snapshot', 'BOOLEAN', 'true: first of a subscription', never, '`type` of the event'),
  ...tickerDecimals.map((name) =>
    column(name, decimalType, units[name] ?? 'quote currency', absentOrExtra, `\`${name}\``),
  ),
  ...commonColumns,
]
