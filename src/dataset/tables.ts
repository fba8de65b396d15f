/** The tables and their columns, as docs/table-layout.md lists them and Parquet files have them. */

import type { NumberType, TableName } from './names.ts'
import { column, decimalType, type Column } from './column.ts'
import { level2Columns } from './level2.ts'
import { marketTradesColumns } from './market-trades.ts'
import { otherColumns } from './other.ts'
import { tickerColumns } from './ticker.ts'

const columns: Readonly<Record<TableName, readonly Column[]>> = {
  ticker: tickerColumns,
  level2: level2Columns,
  market_trades: marketTradesColumns,
  other: otherColumns,
}

/**
 * Columns of a table's files in their order, without the partition columns `product_id` and `date`. With `double`, each decimal
 * is a DOUBLE and the source's text stands beside it in a column of its own, `<name>_text`.
 */
export function tableColumns(table: TableName, numberType: NumberType): readonly Column[] {
  if (numberType === 'decimal') return columns[table]
  return columns[table].flatMap((one) =>
    one.type !== decimalType
      ? [one]
      : [
          { ...one, type: 'DOUBLE' },
          column(`${one.name}_text`, 'VARCHAR', 'as sent', one.nullMeaning, `${one.source}, as sent`),
        ],
  )
}
