/** Columns at the end of ticker, level2 and market_trades alike: when, from whom, and which place in which frame. */

import { absentOrExtra, column, never, type Column } from './column.ts'

export const venueColumn: Column = column('venue', 'VARCHAR', 'name', never, 'the segment')

export const commonColumns: readonly Column[] = [
  column(
    'exchange_time',
    'TIMESTAMP WITH TIME ZONE',
    'µs, UTC',
    'as exchange_ns',
    '`timestamp` of the frame, cut to µs',
  ),
  column('exchange_ns', 'BIGINT', 'ns since 1970, UTC', absentOrExtra, '`timestamp` of the frame'),
  column('recv_ns', 'BIGINT', 'ns since 1970, UTC', never, 'clock of the recorder'),
  column('recorder', 'VARCHAR', 'id', never, 'the segment'),
  column('n', 'BIGINT', 'count', never, 'line of the recorder'),
  column('conn', 'VARCHAR', 'id', never, 'connection of the recorder'),
  column(
    'sequence_num',
    'BIGINT',
    'count',
    absentOrExtra,
    '`sequence_num` of the frame, counts per connection',
  ),
  column('client_id', 'VARCHAR', 'text', absentOrExtra, '`client_id` of the frame'),
  column('event_index', 'INTEGER', 'index from 0', never, 'place in `events`'),
  column('row_index', 'INTEGER', 'index from 0', never, "place in the event's list"),
  column('extra', 'VARCHAR', 'JSON', 'all of the row is in its columns', 'what has no column, verbatim'),
]
