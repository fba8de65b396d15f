/** What was received in a range of time, as it was recorded: NDJSON, from raw segments where they are kept, from Parquet where they are gone. */

import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { messageOf, VaultError, type ErrorKind } from '../../core/errors.ts'
import type { Trust } from '../../storage/download.ts'
import type { ObjectStore } from '../../storage/object-store.ts'
import { readCatalog, type Catalog } from '../catalog.ts'
import { isDamagedPart, isVanishedPart } from '../engine.ts'
import { RowEngine } from '../row-engine.ts'
import { wanted, type FrameFilter, type ReplayLine } from './line.ts'
import { mergeLines, type TimedLines } from './merge.ts'
import { beginsNs, cutTo, isInside, planReplay, type Piece, type ReplayPlan, type TimeRange } from './plan.ts'
import { rawBytes, rawLines } from './raw.ts'
import { tableLines, type ConvertedPiece } from './tables.ts'

export interface ReplayRequest {
  readonly range: TimeRange
  readonly filter: FrameFilter
}

export interface ReplayOptions {
  /** For the rows of one job at a time. */
  readonly memoryLimitMb: number
  /** A folder of this replay's own, for what does not fit in memory. */
  readonly scratchDir: string
}

/** Of one piece, which moves twice in its life. */
const looksMax = 3
/** Bytes of lines that go out together, where they are made one by one. */
const blockBytes = 256 * 1024

export class Replay implements AsyncDisposable {
  readonly plan: ReplayPlan
  readonly #store: ObjectStore
  readonly #venue: string
  #staged: Catalog['staged']
  readonly #request: ReplayRequest
  readonly #options: ReplayOptions
  #engine: Promise<RowEngine> | null = null
  /** A local copy that does not read well is fetched anew. */
  #trust: Trust = 'size'

  private constructor(store: ObjectStore, catalog: Catalog, request: ReplayRequest, options: ReplayOptions) {
    this.plan = planReplay(catalog, request.range)
    this.#store = store
    this.#venue = catalog.venue
    this.#staged = catalog.staged
    this.#request = request
    this.#options = options
  }

  /** Looks at what there is; nothing is read yet. @throws {VaultError} `corrupt` for a damaged segment in the range; what the store throws */
  static async open(
    store: ObjectStore,
    venue: string,
    request: ReplayRequest,
    options: ReplayOptions,
    signal: AbortSignal,
  ): Promise<Replay> {
    return new Replay(store, await readCatalog(store, venue, signal), request, options)
  }

  /**
   * Whole lines in the order of their receive time, those of one recorder in the order of their counter; where several recorded at once, merged.
   *
   * @throws {VaultError} `corrupt` for bytes that cannot be unpacked, `unavailable` for a part that went away meanwhile: then ask again
   */
  async *bytes(signal: AbortSignal): AsyncGenerator<Buffer> {
    for (const stretch of this.plan.stretches) {
      const recorders = new Set(stretch.map((piece) => piece.recorder))
      const linesOf = (recorder: string): TimedLines => {
        const pieces = stretch.filter((piece) => piece.recorder === recorder)
        return { fromNs: beginsNs(pieces[0]!), lines: this.#linesOfAll(pieces, signal) }
      }
      if (recorders.size > 1) yield* blocks(mergeLines([...recorders].map(linesOf)))
      else for (const piece of stretch) yield* this.#alone(piece, signal)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const engine = await this.#engine?.catch(() => null)
    engine?.[Symbol.dispose]()
    await rm(this.#options.scratchDir, { recursive: true, force: true })
  }

  /** Bytes that need not be looked into are handed on as they lie. */
  #alone(piece: Piece, signal: AbortSignal): AsyncIterable<Buffer> {
    const { range, filter } = this.#request
    return this.#whereverItLies(piece, signal, (now) =>
      now.from.kind === 'raw' && isInside(now, range) && wanted(filter) === null
        ? rawBytes(this.#store, now.from, signal)
        : blocks(this.#lines(now, signal)),
    )
  }

  async *#linesOfAll(pieces: readonly Piece[], signal: AbortSignal): AsyncGenerator<readonly ReplayLine[]> {
    for (const piece of pieces) yield* this.#whereverItLies(piece, signal, (now) => this.#lines(now, signal))
  }

  async *#lines(piece: Piece, signal: AbortSignal): AsyncGenerator<readonly ReplayLine[]> {
    const { range, filter } = this.#request
    const isWanted = wanted(filter) ?? (() => true)
    const isIn = ({ n, recvNs }: ReplayLine): boolean =>
      n >= piece.firstN && (recvNs === null || (recvNs >= range.fromNs && recvNs < range.untilNs))
    for await (const batch of this.#read(piece, signal))
      yield batch.filter((line) => isIn(line) && isWanted(line))
  }

  async *#read(piece: Piece, signal: AbortSignal): AsyncGenerator<readonly ReplayLine[]> {
    if (piece.from.kind === 'raw') return yield* rawLines(this.#store, piece.from, signal)
    const { memoryLimitMb, scratchDir } = this.#options
    this.#engine ??= RowEngine.open(memoryLimitMb, join(scratchDir, 'spill'))
    const deps = { store: this.#store, engine: await this.#engine, staged: this.#staged, trust: this.#trust }
    yield* tableLines(deps, piece as ConvertedPiece, this.#request.range, signal)
  }

  /** Conversion and merging go on meanwhile: what has gone since it was looked at is looked for again. */
  async *#whereverItLies<T>(
    piece: Piece,
    signal: AbortSignal,
    read: (piece: Piece) => AsyncIterable<T>,
    looks = 1,
  ): AsyncGenerator<T> {
    let isBegun = false
    try {
      for await (const one of read(piece)) {
        isBegun = true
        yield one
      }
    } catch (error) {
      signal.throwIfAborted()
      const known = rowsError(error, piece)
      if (known.kind === 'corrupt') this.#trust = 'digest'
      if (isBegun || looks === looksMax || !mayLieElsewhere(known)) throw known
      for (const now of await this.#lookAgain(piece, signal))
        yield* this.#whereverItLies(now, signal, read, looks + 1)
    }
  }

  async #lookAgain(piece: Piece, signal: AbortSignal): Promise<readonly Piece[]> {
    const catalog = await readCatalog(this.#store, this.#venue, signal)
    this.#staged = catalog.staged
    return cutTo(planReplay(catalog, this.#request.range), piece)
  }
}

/** Its segment went to Parquet, its parts into a merge; or a copy of them was spoilt. */
function mayLieElsewhere({ kind }: VaultError): boolean {
  return kind === 'invalid' || kind === 'unavailable' || kind === 'corrupt'
}

/** @returns what DuckDB says of a part as an error of the vault @throws `error` when it is nobody's but ours */
function rowsError(error: unknown, { recorder, firstN, lastN }: Piece): VaultError {
  if (error instanceof VaultError) return error
  const words = messageOf(error).split('\n')[0]!
  const where = `lines ${firstN} to ${lastN} of recorder ${recorder}`
  const says = (kind: ErrorKind, remedy: string): VaultError =>
    new VaultError(kind, `${where}: ${words}`, { cause: error, remedy })
  if (isVanishedPart(error)) return says('unavailable', 'run it again; if it stays, run "mdv verify"')
  if (isDamagedPart(words)) return says('corrupt', '"mdv verify" names every damaged part and what to do')
  if (words.startsWith('Out of Memory')) return says('preflight', 'ask for less at once, or free memory')
  throw error
}

async function* blocks(batches: AsyncIterable<readonly ReplayLine[]>): AsyncGenerator<Buffer> {
  let held: Buffer[] = []
  let heldBytes = 0
  for await (const batch of batches) {
    for (const { text } of batch) {
      held.push(text)
      heldBytes += text.length
    }
    if (heldBytes < blockBytes) continue
    yield Buffer.concat(held)
    held = []
    heldBytes = 0
  }
  if (heldBytes > 0) yield Buffer.concat(held)
}
