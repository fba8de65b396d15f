/** What is said of a column: its type in Parquet, its unit, what null means, where its value stands in the venue's frame. */

export interface Column {
  readonly name: string
  /** As DuckDB names it. */
  readonly type: string
  readonly unit: string
  readonly nullMeaning: string
  /** Field of the frame, or how it is made. */
  readonly source: string
}

/** Exact: 20 digits before the point and 18 after it. */
export const decimalType = 'DECIMAL(38,18)'
export const decimalScale = 18

export function column(
  name: string,
  type: string,
  unit: string,
  nullMeaning: string,
  source: string,
): Column {
  return { name, type, unit, nullMeaning, source }
}

/** Null in a column of values: the frame had none, or one that the type cannot hold; then it stands in `extra`. */
export const absentOrExtra = 'absent, or as text in `extra`'
export const never = 'never null'
