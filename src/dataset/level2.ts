/** Table `level2`: one row for each changed level of an order book, in snapshots for each level there is. */

import { absentOrExtra, column, decimalType, never, type Column } from './column.ts'
import { commonColumns, venueColumn } from './common.ts'

export const level2Columns: readonly Column[] = [
  venueColumn,
  column('side', 'VARCHAR', '`bid` or `offer`', absentOrExtra, '`side`'),
  column('price', decimalType, 'quote currency', absentOrExtra, '`price_level`'),
  column('size', decimalType, 'base currency; 0 removes the level', absentOrExtra, '`new_quantity`'),
  column('event_time', 'TIMESTAMP WITH TIME ZONE', 'µs, UTC', absentOrExtra, '`event_time`'),
  column('is_snapshot', 'BOOLEAN', 'true: the whole book, replaces it', never, '`type` of the event'),
  ...commonColumns,
]
