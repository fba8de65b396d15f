/** One DuckDB for a whole proof: its memory and its spilling are bounded together, however many connections ask at once. */

import type { DuckDBConnection, DuckDBInstance } from '@duckdb/node-api'
import { assert } from '../../core/assert.ts'
import { duckdb } from '../../storage/duckdb.ts'

export class RowEngine {
  readonly #instance: DuckDBInstance
  readonly #connections: DuckDBConnection[] = []
  readonly #idle: DuckDBConnection[] = []
  #isClosed = false

  private constructor(instance: DuckDBInstance) {
    this.#instance = instance
  }

  /** @param scratchDir for what does not fit in memory */
  static async open(memoryLimitMb: number, scratchDir: string): Promise<RowEngine> {
    const instance = await duckdb.DuckDBInstance.create(':memory:', {
      memory_limit: `${memoryLimitMb}MB`,
      temp_directory: scratchDir,
    })
    return new RowEngine(instance)
  }

  [Symbol.dispose](): void {
    this.#isClosed = true
    for (const connection of this.#connections) connection.closeSync()
    this.#instance.closeSync()
  }

  /** Lends connections, which nobody else uses meanwhile. One has one open result at a time. */
  async lend<T>(count: number, work: (connections: readonly DuckDBConnection[]) => Promise<T>): Promise<T> {
    assert(!this.#isClosed, 'nothing is asked of an engine that is closed')
    const lent = this.#idle.splice(0, count)
    try {
      while (lent.length < count) {
        const connection = await this.#instance.connect()
        this.#connections.push(connection)
        lent.push(connection)
      }
      return await work(lent)
    } finally {
      this.#idle.push(...lent)
    }
  }
}
