/** Rows of a slice to sorted Parquet files: some of them are appended to the engine while those before are written. */

import { utcDate } from '../core/time.ts'
import type { RowColumns } from '../dataset/row-columns.ts'
import { sortRows, timesOf, type RowGroup } from '../dataset/row-order.ts'
import { RowStage } from './append-rows.ts'
import type { ConvertedPart } from './conversion.ts'
import { writeGroups, type PartRows, type PartSettings } from './convert-parts.ts'
import type { Engine } from './engine.ts'

/** Small enough that writing begins early, memory does not grow with the segment, and DuckDB holds all back until the end (524,288). */
const blockRows = 32_768
/** DuckDB holds some pages for each file. */
const blockGroups = 64
const dayNs = 86_400_000_000_000n

/** Rows of a table that are staged together. */
interface Block {
  readonly stage: RowStage
  readonly name: string
  readonly from: number
  /** Where each group ends. */
  readonly ends: readonly number[]
  readonly groups: readonly PartRows[]
}

/**
 * @param tables whose rows are sorted where they are
 * @param onParts told of parts as they are finished
 */
export async function writeRows(
  engine: Engine,
  tables: readonly RowColumns[],
  settings: PartSettings,
  onParts: (parts: readonly ConvertedPart[]) => void,
  signal: AbortSignal,
): Promise<ConvertedPart[]> {
  const writing: Promise<ConvertedPart[]>[] = []
  const write = async ({ stage, name, groups }: Block): Promise<ConvertedPart[]> => {
    const { table, constants } = stage
    try {
      const parts = await writeGroups(engine, { table, name, groups, constants }, settings)
      onParts(parts)
      return parts
    } finally {
      await engine.run(`DROP TABLE ${name}`)
    }
  }
  try {
    for (const block of tables.flatMap((rows) => blocksOf(rows, settings))) {
      signal.throwIfAborted()
      // As many are written as there are threads, beside the one that is appended.
      await writing[writing.length - engine.threads - 1]
      await block.stage.append(engine, block.name, block, signal)
      const written = write(block)
      // A failure is met when it is awaited; it must not be reported as unhandled before.
      written.catch(() => undefined)
      writing.push(written)
    }
    return (await Promise.all(writing)).flat()
  } finally {
    // After a failure nothing may run on when the engine closes.
    await Promise.allSettled(writing)
  }
}

function blocksOf(rows: RowColumns, { numberType }: PartSettings): Block[] {
  const blocks = inBlocks(sortRows(rows))
  const stage = new RowStage(rows, numberType)
  return blocks.map((groups, i) => {
    return {
      stage,
      name: `${rows.shape.table}_${i + 1}`,
      from: groups[0]!.from,
      ends: groups.map((group) => group.until),
      groups: groups.map((group) => partRowsOf(rows, group)),
    }
  })
}

/** Neighbours together as long as they are small. */
function inBlocks(groups: readonly RowGroup[]): RowGroup[][] {
  const blocks: RowGroup[][] = []
  for (const group of groups) {
    const last = blocks.at(-1)
    const fits = last !== undefined && last.length < blockGroups && group.until - last[0]!.from <= blockRows
    if (fits) last.push(group)
    else blocks.push([group])
  }
  return blocks
}

function partRowsOf(rows: RowColumns, group: RowGroup): PartRows {
  const { product, day, from, until } = group
  return {
    productId: product,
    date: utcDate(BigInt(day) * dayNs),
    rows: until - from,
    ...timesOf(rows, group),
  }
}
