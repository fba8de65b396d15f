/** One DuckDB for a whole proof: its memory and its spilling are bounded together, however many connections ask at once. */

import type { DuckDBConnection, DuckDBInstance } from '@duckdb/node-api'
import { assert } from '../core/assert.ts'
import { duckdb } from '../storage/duckdb.ts'

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

  /** Lends connections, which nobody else uses until they are disposed of. One has one open result at a time. */
  async lend(count: number): Promise<Disposable & { readonly connections: readonly DuckDBConnection[] }> {
    assert(!this.#isClosed, 'nothing is asked of an engine that is closed')
    const connections = this.#idle.splice(0, count)
    const giveBack = (): void => void this.#idle.push(...connections)
    try {
      while (connections.length < count) {
        const connection = await this.#instance.connect()
        this.#connections.push(connection)
        connections.push(connection)
      }
    } catch (thrown) {
      giveBack()
      throw thrown
    }
    return { connections, [Symbol.dispose]: giveBack }
  }
}
