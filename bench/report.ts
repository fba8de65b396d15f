/** What every benchmark prints the same way: medians, the machine, a table. */

import { execFileSync } from 'node:child_process'
import { cpus, totalmem } from 'node:os'

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** One line: processor, cores, memory, Node and commit. */
export function machine(): string {
  const cores = cpus()
  const memoryGb = Math.round(totalmem() / 1024 ** 3)
  return `${cores[0]?.model.trim() ?? 'unknown processor'} x ${cores.length}, ${memoryGb} GiB, Node ${process.version}, commit ${commit()}`
}

function commit(): string {
  try {
    return execFileSync('git', ['describe', '--always', '--dirty'], { encoding: 'utf8' }).trim()
  } catch {
    return 'unknown' // an unpacked archive has no git folder; the figures still stand
  }
}

export function printTable(header: readonly string[], rows: readonly (readonly string[])[]): void {
  const widths = header.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]!.length)))
  const line = (cells: readonly string[]): string =>
    cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join('  ') + '\n'
  process.stdout.write(
    line(header) + line(widths.map((width) => '-'.repeat(width))) + rows.map(line).join(''),
  )
}

/** One measured thing beside its reference in the same run, and what it is to reach. */
export interface Figure {
  readonly name: string
  readonly unit: string
  readonly value: number
  readonly reference: number
  /** Of pairs that were measured together, their median; left out: value / reference. */
  readonly ratio?: number
  readonly goal: Goal
}

/** A bound of the value itself, or of value / reference. */
export type Goal =
  | { readonly least: number; readonly of: 'ratio' | 'value' }
  | { readonly most: number; readonly of: 'ratio' | 'value' }

/** Hands a figure to `npm run bench`, where it is what runs this. */
export function tell(figure: Figure): void {
  process.send?.(figure)
}

/** How much of its goal a figure reaches: 1 is the goal, more is better. */
export function reached(figure: Figure): number {
  const { value, goal } = figure
  const measured = goal.of === 'ratio' ? ratioOf(figure) : value
  return 'least' in goal ? measured / goal.least : goal.most / measured
}

export function ratioOf({ value, reference, ratio = value / reference }: Figure): number {
  return ratio
}
