/** Rows of many products to files: every row in its product's file, in order, whatever the sizes. */

import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { DuckDBInstance, type DuckDBConnection } from '@duckdb/node-api'
import type { DecodedRow } from '../../src/dataset/decode.ts'
import { RowColumns, Texts } from '../../src/dataset/row-columns.ts'
import { shapeOf } from '../../src/dataset/shape.ts'
import type { ConvertedPart } from '../../src/etl/conversion.ts'
import { Engine } from '../../src/etl/engine.ts'
import { writeRows } from '../../src/etl/write-rows.ts'

const settings = {
  venue: 'coinbase',
  recorder: 'abcdefghij',
  numberType: 'decimal',
  compression: 'zstd',
  metadata: { mdv_job: 'x' },
  slice: null,
} as const

/** Trades of products of these sizes, those of all products in turn as long as each has some. */
function rowsOf(sizes: readonly number[]): RowColumns {
  const rows = new RowColumns(shapeOf('market_trades'), new Texts())
  const facts = { channel: 'market_trades', exchangeNs: 5n, sequenceNum: 1n, clientId: '' }
  const recvNs = new Uint32Array(2)
  for (let n = 1; n <= Math.max(...sizes); n++) {
    const decoded = sizes.flatMap((size, i): DecodedRow[] => {
      if (n > size) return []
      const values = { trade_id: String(n), price: '1', size: '2', maker_side: 'BUY', time: null }
      return [
        { productId: `P${i}`, eventIndex: 0, rowIndex: i, isSnapshot: false, values, texts: {}, extra: null },
      ]
    })
    rows.addDecoded({ n, recvNs, conn: 'x' }, facts, decoded, false)
  }
  return rows
}

async function tradeIds(connection: DuckDBConnection, part: ConvertedPart): Promise<number[]> {
  const found = await connection.runAndReadAll(`SELECT trade_id, row_index FROM read_parquet('${part.path}')`)
  return found.getRows().map(([id, product]) => {
    assert.equal(`P${Number(product)}`, part.productId)
    return Number(id)
  })
}

test('each file has the rows of its product, all of them and in their order', async () => {
  const instance = await DuckDBInstance.create(':memory:', { threads: '1' })
  const connection = await instance.connect()
  const sizes = fc.array(
    fc.oneof(
      fc.integer({ min: 1, max: 70 }),
      fc.integer({ min: 1980, max: 2120 }),
      fc.integer({ min: 1, max: 6000 }),
    ),
    { minLength: 1, maxLength: 30 },
  )
  const many = Array.from({ length: 150 }, (_, i) => 1 + ((i * 37) % 600))
  await fc.assert(
    fc.asyncProperty(sizes, async (given) => {
      const dir = await mkdtemp(join(tmpdir(), 'mdv-rows-'))
      const engine = await Engine.open({ scratchDir: dir, memoryLimitMb: 600, threads: 2, threadsEach: 1 })
      try {
        const told: ConvertedPart[] = []
        const never = new AbortController().signal
        const parts = await writeRows(
          engine,
          [rowsOf(given)],
          { ...settings, dir },
          (some) => told.push(...some),
          never,
        )
        assert.deepEqual(new Set(told), new Set(parts))
        assert.equal(parts.length, given.length)
        for (const part of parts) {
          const size = given[Number(part.productId!.slice(1))]!
          assert.equal(part.rows, size)
          assert.deepEqual(
            await tradeIds(connection, part),
            Array.from({ length: size }, (_, i) => i + 1),
          )
        }
      } finally {
        await engine.close()
        await rm(dir, { recursive: true, force: true })
      }
    }),
    { numRuns: 12, examples: [[[40_000, 10, 33_000, 1]], [many]] },
  )
  connection.closeSync()
  instance.closeSync()
})
