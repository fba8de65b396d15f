/** Result rows in the formats `mdv query` prints, one chunk at a time. Pure: text in, text out; who writes it is the command. */

import type { DuckDBValue } from '@duckdb/node-api'
import { unreachable } from '../core/assert.ts'
import { isNumeric, jsonText, plainText } from './value-text.ts'

export type OutputFormat = 'table' | 'json' | 'ndjson' | 'csv' | 'markdown'

export const outputFormats: readonly OutputFormat[] = ['table', 'json', 'ndjson', 'csv', 'markdown']

export type Row = readonly DuckDBValue[]

/** Turns rows into text as they come: `begin` once, `rows` for each chunk, `end` once. */
export interface RowPrinter {
  begin(): string
  rows(rows: readonly Row[]): string
  end(): string
  /** True when no further row can change what is printed. */
  isFull(): boolean
}

export interface TableLimits {
  /** Rows a table shows before it says that there are more; other formats have no limit. */
  readonly rowsMax: number
  /** Columns of the terminal: a wider table is printed as one block a row. null: never. */
  readonly terminalColumns: number | null
}

export function makePrinter(format: OutputFormat, names: readonly string[], limits: TableLimits): RowPrinter {
  switch (format) {
    case 'json':
      return jsonPrinter(names)
    case 'ndjson':
      return linePrinter('', (row) => jsonObject(names, row))
    case 'csv':
      return linePrinter(names.map(csvCell).join(',') + '\n', (row) =>
        row.map((value) => (value === null ? '' : csvCell(plainText(value)))).join(','),
      )
    case 'markdown':
      return linePrinter(markdownRow(names) + '\n' + markdownRow(names.map(() => '---')) + '\n', (row) =>
        markdownRow(row.map(plainText)),
      )
    case 'table':
      return names[0] === 'explain_key' ? planPrinter() : tablePrinter(names, limits)
    default:
      return unreachable(format)
  }
}

function linePrinter(head: string, line: (row: Row) => string): RowPrinter {
  return {
    begin: () => head,
    rows: (rows) => rows.map((row) => line(row) + '\n').join(''),
    end: () => '',
    isFull: () => false,
  }
}

function jsonPrinter(names: readonly string[]): RowPrinter {
  let separator = '\n'
  return {
    begin: () => '[',
    rows: (rows) =>
      rows
        .map((row) => {
          const text = separator + jsonObject(names, row)
          separator = ',\n'
          return text
        })
        .join(''),
    end: () => '\n]\n',
    isFull: () => false,
  }
}

function jsonObject(names: readonly string[], row: Row): string {
  return `{${names.map((name, i) => `${JSON.stringify(name)}:${jsonText(row[i] ?? null)}`).join(',')}}`
}

/** RFC 4180; an empty text is quoted, so that it differs from a null. */
function csvCell(text: string): string {
  return text === '' || /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}

function markdownRow(cells: readonly string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll('\\', '\\\\').replaceAll('|', '\\|').replace(/\r?\n/g, ' ')).join(' | ')} |`
}

/** EXPLAIN answers with a picture of many lines. */
function planPrinter(): RowPrinter {
  return linePrinter('', (row) => plainText(row[1] ?? null))
}

/** Holds at most `rowsMax` rows, because a table's widths are known only at its end. */
function tablePrinter(names: readonly string[], limits: TableLimits): RowPrinter {
  const kept: Row[] = []
  let hasMore = false
  return {
    begin: () => '',
    rows(rows) {
      const room = limits.rowsMax - kept.length
      kept.push(...rows.slice(0, room))
      hasMore ||= rows.length > room
      return ''
    },
    end: () => tableText(names, kept, limits.terminalColumns) + tableFoot(kept.length, hasMore),
    isFull: () => hasMore,
  }
}

function tableText(names: readonly string[], rows: readonly Row[], terminalColumns: number | null): string {
  const cells = rows.map((row) => row.map((value) => cellText(value)))
  const widths = names.map((name, i) => Math.max(width(name), ...cells.map((row) => width(row[i]!))))
  const total = widths.reduce((sum, each) => sum + each + 2, -2)
  if (terminalColumns !== null && total > terminalColumns && rows.length > 0) return blocks(names, cells)
  const isRight = names.map((_, i) => rows.some((row) => isNumeric(row[i] ?? null)))
  const line = (row: readonly string[]): string =>
    row
      .map((cell, i) => pad(cell, widths[i]!, isRight[i]!))
      .join('  ')
      .trimEnd() + '\n'
  return line(names) + line(widths.map((each) => '─'.repeat(each))) + cells.map(line).join('')
}

/** One block a row, for rows wider than the terminal. */
function blocks(names: readonly string[], cells: readonly (readonly string[])[]): string {
  const nameWidth = Math.max(...names.map(width))
  return cells
    .map(
      (row, index) =>
        `─ row ${index + 1} ─\n` +
        row.map((cell, i) => `${pad(names[i]!, nameWidth, false)}  ${cell}`.trimEnd() + '\n').join(''),
    )
    .join('')
}

function tableFoot(rows: number, hasMore: boolean): string {
  if (hasMore) return `(first ${rows} rows; more with --limit-rows N or --output ndjson)\n`
  return `(${rows} ${rows === 1 ? 'row' : 'rows'})\n`
}

function cellText(value: DuckDBValue): string {
  return value === null ? '∅' : printable(plainText(value))
}

/** Control characters would move the cursor of whoever looks at a hostile frame's text. */
function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, (char) => (char === '\n' ? '⏎' : '·'))
}

function width(text: string): number {
  let points = 0
  for (const _ of text) points++
  return points
}

function pad(text: string, columns: number, isRight: boolean): string {
  const fill = ' '.repeat(Math.max(0, columns - width(text)))
  return isRight ? fill + text : text + fill
}
