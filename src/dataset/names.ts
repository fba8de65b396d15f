/** The words for tables and for how their numbers are kept. */

export type TableName = 'ticker' | 'level2' | 'market_trades' | 'other'

/** `decimal`: exact DECIMAL(38,18). `double`: DOUBLE with the source's text beside it. */
export type NumberType = 'decimal' | 'double'
