/** The throw-away DuckDB of one conversion: in memory, spilling into the scratch folder, without extensions or network. */

import type {
  DuckDBConnection,
  DuckDBDataChunk,
  DuckDBInstance,
  DuckDBMapValue,
  DuckDBValue,
} from '@duckdb/node-api'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { assert } from '../core/assert.ts'
import { forEachAtOnce } from '../core/at-once.ts'
import { duckdb } from '../storage/duckdb.ts'

export interface EngineOptions {
  readonly scratchDir: string
  /** Of the whole process; the engine takes what the rest of it does not need. */
  readonly memoryLimitMb: number
  /** Statements that run at once. */
  readonly threads: number
  /** Of one statement. */
  readonly threadsEach: number
}

/** What became of some rows. */
export interface WrittenFile {
  readonly path: string
  readonly rows: number
  /** What its rows have in the column of PARTITION_BY, as text; null without one. */
  readonly partition: string | null
}

/** What Node, the columns of a slice and the buffers outside DuckDB's own accounting take (measured: 250 to 300 MB above its limit). */
const overheadMb = 300
const engineMbMin = 200
/** Sorts of merged slices and of the table `other` that do not fit into memory. */
const spillMax = '16GB'

export class Engine {
  readonly #instance: DuckDBInstance
  /** As many statements are run at once; one more connection is for rows that are appended. */
  readonly threads: number
  readonly #connections: readonly DuckDBConnection[]
  readonly #idle: DuckDBConnection[]
  readonly #underWay = new Set<Promise<unknown>>()
  #isClosing = false

  private constructor(instance: DuckDBInstance, threads: number, connections: readonly DuckDBConnection[]) {
    this.#instance = instance
    this.threads = threads
    this.#connections = connections
    this.#idle = [...connections]
  }

  static async open(options: EngineOptions): Promise<Engine> {
    const instance = await duckdb.DuckDBInstance.create(':memory:', {
      threads: String(options.threadsEach),
      memory_limit: `${Math.max(engineMbMin, options.memoryLimitMb - overheadMb)}MB`,
      temp_directory: join(options.scratchDir, 'spill'),
      max_temp_directory_size: spillMax,
      autoinstall_known_extensions: 'false',
      autoload_known_extensions: 'false',
      preserve_insertion_order: 'true',
    })
    const connections: DuckDBConnection[] = []
    // One more, to append rows while others are written.
    for (let i = 0; i <= options.threads; i++) {
      const connection = await instance.connect()
      await connection.run("SET TimeZone = 'UTC'")
      connections.push(connection)
    }
    return new Engine(instance, options.threads, connections)
  }

  async run(sql: string): Promise<void> {
    await this.#onIdle((connection) => connection.run(sql))
  }

  /** @param sql a COPY with RETURN_STATS */
  async copy(sql: string): Promise<WrittenFile[]> {
    const { names, chunks } = await this.#onIdle(async (connection) => {
      const result = await connection.run(sql)
      return { names: result.columnNames(), chunks: await result.fetchAllChunks() }
    })
    // Not all columns: what it says of each column of each file takes longer to fetch than to write.
    const [paths, rows, keys] = ['filename', 'count', 'partition_keys'].map((name) =>
      chunks.flatMap((chunk) => chunk.getColumnValues(names.indexOf(name))),
    )
    return paths!.map((path, i) => {
      const partition = (keys![i] as DuckDBMapValue | null)?.entries[0]?.value ?? null
      return {
        path: String(path),
        rows: Number(rows![i]),
        partition: partition === null ? null : String(partition),
      }
    })
  }

  async rows(sql: string): Promise<DuckDBValue[][]> {
    return (await this.#onIdle((connection) => connection.runAndReadAll(sql))).getRows()
  }

  /** @param fill hands over one chunk after another; they are the table's in that order when this returns */
  async append(
    table: string,
    fill: (append: (chunk: DuckDBDataChunk) => void) => Promise<void>,
  ): Promise<void> {
    await this.#onIdle(async (connection) => {
      const appender = await connection.createAppender(table)
      try {
        await fill((chunk) => appender.appendDataChunk(chunk))
      } catch (error) {
        appender.clear()
        throw error
      } finally {
        appender.closeSync()
      }
    })
  }

  async #onIdle<T>(work: (connection: DuckDBConnection) => Promise<T>): Promise<T> {
    assert(!this.#isClosing, 'nothing is begun on an engine that closes')
    const connection = this.#idle.pop()
    assert(connection !== undefined, 'no more statements at once than connections')
    const working = work(connection)
    this.#underWay.add(working)
    try {
      return await working
    } finally {
      this.#underWay.delete(working)
      this.#idle.push(connection)
    }
  }

  /** As many tasks at once as there are threads. After a failure none is begun, and those under way are waited for. */
  async inParallel<T>(items: readonly T[], task: (item: T, index: number) => Promise<void>): Promise<void> {
    await forEachAtOnce(items, this.threads, task)
  }

  /** What still runs, after a failure elsewhere, is broken off and waited for: the engine's memory may not go while it is used. */
  async close(): Promise<void> {
    this.#isClosing = true
    // DuckDB forgets an interrupt that comes before its statement has begun: said again until none runs.
    while (this.#underWay.size > 0) {
      for (const connection of this.#connections) connection.interrupt()
      await setImmediate()
    }
    for (const connection of this.#connections) connection.closeSync()
    this.#instance.closeSync()
  }
}
