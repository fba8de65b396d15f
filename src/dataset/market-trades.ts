/** Table `market_trades`: one row for each trade as sent; those of snapshots are marked, most of them stored twice. */

import { absentOrExtra, column, decimalType, never, type Column } from './column.ts'
import { commonColumns, venueColumn } from './common.ts'

export const marketTradesColumns: readonly Column[] = [
  venueColumn,
  column('trade_id', 'BIGINT', 'count per product', absentOrExtra, '`trade_id`'),
  column('price', decimalType, 'quote currency', absentOrExtra, '`price`'),
  column('size', decimalType, 'base currency', absentOrExtra, '`size`'),
  column('time', 'TIMESTAMP WITH TIME ZONE', 'µs, UTC', absentOrExtra, '`time`'),
  column('maker_side', 'VARCHAR', '`BUY` or `SELL`', absentOrExtra, '`side`: of the resting order'),
  column('aggressor_side', 'VARCHAR', '`BUY` or `SELL`', 'as maker_side', 'the opposite of `side`'),
  column('from_snapshot', 'BOOLEAN', 'true: history sent on subscribing', never, '`type` of the event'),
  ...commonColumns,
]
