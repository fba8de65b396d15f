/** Table `other`: every line that is not rows of another table, verbatim: heartbeats, acknowledgements, errors, our own events. */

import { column, never, type Column } from './column.ts'
import { commonColumns, venueColumn } from './common.ts'

const shared = (name: string): Column => commonColumns.find((one) => one.name === name)!

export const otherColumns: readonly Column[] = [
  venueColumn,
  column('kind', 'VARCHAR', '`frame`, `event` or `unknown`', never, 'kind of the line'),
  column('channel', 'VARCHAR', 'name', 'the frame names none', '`channel` of the frame'),
  column('body', 'VARCHAR', 'text', never, 'frame, event or unknown line, verbatim'),
  column(
    'verbatim',
    'VARCHAR',
    '`line_break`, `not_json`, `not_utf8` or `binary`',
    '`body` is JSON as received',
    'why the frame is no plain JSON; `not_utf8` and `binary` have base64 in `body`',
  ),
  shared('exchange_time'),
  shared('exchange_ns'),
  column('recv_ns', 'BIGINT', 'ns since 1970, UTC', 'an unknown line without it', 'clock of the recorder'),
  shared('recorder'),
  shared('n'),
  column('conn', 'VARCHAR', 'id', 'of no connection', 'connection of the recorder'),
  shared('sequence_num'),
]
