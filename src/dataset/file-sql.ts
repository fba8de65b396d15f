/** SQL from sorted rows to the columns of a file. Pure. */

import type { Column } from './column.ts'

/**
 * The list of columns of a file. Casts and functions only where they change something: each costs 40 µs to plan, in every file.
 *
 * @param constants columns that are the same in all rows, as SQL
 */
export function fileColumnsSql(
  columns: readonly Column[],
  constants: Readonly<Record<string, string>>,
): string {
  const late: Readonly<Record<string, string>> = {
    ...constants,
    aggressor_side: `CASE maker_side WHEN 'BUY' THEN 'SELL' WHEN 'SELL' THEN 'BUY' END`,
  }
  const doubles = new Set(columns.filter((one) => one.type === 'DOUBLE').map((one) => one.name))
  return columns
    .map(({ name, type }) => {
      const number = name.replace(/_text$/, '')
      if (doubles.has(name)) return `TRY_CAST(${printOf(name)} AS DOUBLE) AS "${name}"`
      if (doubles.has(number))
        return `coalesce(${late[name] ?? `"${name}"`}, ${printOf(number)}) AS "${name}"`
      if (late[name] !== undefined) return `${late[name]} AS "${name}"`
      return type === 'VARCHAR' ? `"${name}"::VARCHAR AS "${name}"` : `"${name}"`
    })
    .join(', ')
}

/** A decimal as it prints without needless zeros. */
const printOf = (decimal: string): string => `rtrim(rtrim("${decimal}"::VARCHAR, '0'), '.')`
