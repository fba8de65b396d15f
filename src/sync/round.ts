/** What every phase of one round works with: both ends, what was seen to be at the target, counts, and the one way to copy. */

import { messageOf, systemCode, VaultError } from '../core/errors.ts'
import type { ObjectInfo } from '../storage/object-store.ts'
import { readReceipts } from '../table/receipts.ts'
import { comparePairs, type Pair } from './compare.ts'
import type { SyncEnd } from './end.ts'
import type { KeyFilter } from './globs.ts'
import { classifyKey, venueOf } from './key-class.ts'
import { tallyOf, type Problem, type SyncReport, type Tally } from './report.ts'
import { SeenKeys } from './seen-keys.ts'
import { digestsDiffer, sha256Of, sizesDiffer, transfer, type TransferDeps } from './transfer.ts'

export interface SyncOptions {
  /** Of vaultPrefixes, those to be looked at. */
  readonly prefixes: readonly string[]
  readonly isSelected: KeyFilter
  /** Says what it would do, and does nothing. */
  readonly isDryRun: boolean
  /** Bytes of what both have are compared too. */
  readonly isChecking: boolean
  /** What the source has not is removed from the target. */
  readonly isDeleting: boolean
  /** Uploads that dead runs left at the target are aborted first. */
  readonly isSweeping: boolean
  readonly atOnce: number
}

/** In a bucket `a` and `a/b` may both be objects; on disk one of them is in the other's way. */
function isInTheWay(cause: unknown): boolean {
  return ['EEXIST', 'ENOTDIR', 'EISDIR'].includes(systemCode(cause) ?? '')
}

/** What `bring` found: a reason is for people. */
export type Brought = 'there' | 'nowhere' | (string & {})

/** Two million keys: 64 MiB when full. */
const seenMax = 2_000_000
/** Keys to be removed are held until receipts are in; more wait for the next round. */
const deletionsMax = 100_000

export class Round {
  readonly source: SyncEnd
  readonly target: SyncEnd
  readonly atOnce: number
  readonly signal: AbortSignal
  readonly tally: Tally
  /** Of every class, in the order of keys. */
  readonly deletions: ObjectInfo[] = []
  readonly #deps: TransferDeps
  readonly #options: SyncOptions
  readonly #report: SyncReport
  readonly #seen = new SeenKeys(seenMax)
  readonly #copying = new Map<string, Promise<boolean>>()
  readonly #digests = new Map<string, Promise<ReadonlyMap<string, string>>>()

  constructor(
    deps: TransferDeps,
    options: SyncOptions,
    report: SyncReport,
    tally: Tally,
    signal: AbortSignal,
  ) {
    this.source = deps.source
    this.target = deps.target
    this.atOnce = options.atOnce
    this.signal = signal
    this.tally = tally
    this.#deps = deps
    this.#options = options
    this.#report = report
  }

  pairs(prefix: string): AsyncGenerator<Pair> {
    return comparePairs(this.source.store, this.target.store, prefix, this.signal)
  }

  isSelected(key: string): boolean {
    return this.#options.prefixes.some((prefix) => key.startsWith(prefix)) && this.#options.isSelected(key)
  }

  /** Settles what a pair of listings settles by itself. @returns true: it needs work, see `workOff` */
  settle(pair: Pair): boolean {
    const { key, source, target } = pair
    if (!this.isSelected(key)) {
      if (source !== undefined) this.tally.unselected++
      if (target !== undefined) this.#seen.add(key)
      return false
    }
    if (source === undefined) {
      if (this.#options.isDeleting && target !== undefined) this.#noteDeletion(target)
      return false
    }
    if (target === undefined) {
      this.found(source)
      return true
    }
    if (source.sizeBytes !== target.sizeBytes) {
      this.problem('conflict', key, sizesDiffer(source.sizeBytes, target.sizeBytes))
      return false
    }
    this.#seen.add(key)
    if (!this.#options.isChecking) this.tally.skipped++
    return this.#options.isChecking
  }

  found(info: ObjectInfo): void {
    this.tally.found++
    this.tally.foundBytes += info.sizeBytes
  }

  /** Copies what is missing, or compares what is there. */
  async workOff({ key, source, target }: Pair): Promise<void> {
    if (source !== undefined && target === undefined) await this.copy(source)
    else if (target !== undefined) await this.#compareBytes(key)
  }

  /** Once, however many ask for it at the same time. @returns whether it is at the target now (in a dry run: would be) */
  async copy(info: ObjectInfo): Promise<boolean> {
    const { key } = info
    if (this.#seen.has(key)) return true
    let copying = this.#copying.get(key)
    if (copying !== undefined) return copying
    copying = this.#copyNow(info)
    this.#copying.set(key, copying)
    try {
      return await copying
    } finally {
      this.#copying.delete(key)
    }
  }

  async #copyNow(info: ObjectInfo): Promise<boolean> {
    const { key, sizeBytes } = info
    if (this.#options.isDryRun) {
      this.#copied('would_copy', key, sizeBytes)
      return true
    }
    try {
      const outcome = await transfer(this.#deps, info, this.signal)
      if (outcome.kind === 'copied') this.#copied('copied', key, outcome.sizeBytes)
      else if (outcome.kind === 'exists') this.#there(key)
      else if (outcome.kind === 'vanished') this.tally.vanished++
      else this.problem('conflict', key, outcome.detail)
      return outcome.kind === 'copied' || outcome.kind === 'exists'
    } catch (error) {
      this.failed(key, error)
      return false
    }
  }

  /** Sees to it that an object which a record names is at the target. @param sizeBytes what it has to have, where that is known */
  async bring(key: string, sizeBytes?: number): Promise<Brought> {
    const copying = this.#copying.get(key)
    if (this.#seen.has(key) || (await copying) === true) return 'there'
    // Names in a receipt are somebody's text.
    if (!['data', 'record'].includes(classifyKey(key))) return 'is not a name of data'
    const there = await this.target.store.head(key)
    if (there !== undefined) {
      if (sizeBytes !== undefined && there.sizeBytes !== sizeBytes)
        return `${there.sizeBytes} bytes at the target, ${sizeBytes} in the receipt`
      this.#seen.add(key)
      return 'there'
    }
    const ours = await this.source.store.head(key)
    if (ours === undefined) return 'nowhere'
    if (!this.isSelected(key)) return 'is not selected'
    if (sizeBytes !== undefined && ours.sizeBytes !== sizeBytes)
      return `${ours.sizeBytes} bytes at the source, ${sizeBytes} in the receipt`
    this.found(ours)
    const { vanished } = this.tally
    if (await this.copy(ours)) return 'there'
    return this.tally.vanished > vanished ? 'nowhere' : 'could not be copied'
  }

  problem(kind: Problem, key: string, detail: string): void {
    this.tally[tallyOf[kind]]++
    this.#report.event({ kind, key, detail })
  }

  /** One object's failure is counted and the others go on. @throws what would fail for each of them */
  failed(key: string, error: unknown): void {
    if (!(error instanceof VaultError)) throw error
    if (!['unavailable', 'invalid', 'corrupt'].includes(error.kind) && !isInTheWay(error.cause)) throw error
    this.problem('failed', key, messageOf(error))
  }

  async remove({ key, sizeBytes }: ObjectInfo): Promise<void> {
    if (this.#options.isDryRun) {
      this.#deleted('would_delete', key, sizeBytes)
      return
    }
    // It may have come since it was listed.
    if ((await this.source.store.head(key)) !== undefined) return
    if (await this.target.store.delete(key)) this.#deleted('deleted', key, sizeBytes)
  }

  #noteDeletion(info: ObjectInfo): void {
    // A recorder or worker may be at home there too.
    if (['active', 'own'].includes(classifyKey(info.key))) return
    if (this.deletions.length < deletionsMax) this.deletions.push(info)
    else this.tally.deletionsLeft++
  }

  #copied(kind: 'copied' | 'would_copy', key: string, sizeBytes: number): void {
    this.tally.copied++
    this.tally.copiedBytes += sizeBytes
    this.#seen.add(key)
    this.#report.event({ kind, key, sizeBytes })
  }

  #deleted(kind: 'deleted' | 'would_delete', key: string, sizeBytes: number): void {
    this.tally.deleted++
    this.tally.deletedBytes += sizeBytes
    this.#report.event({ kind, key, sizeBytes })
  }

  #there(key: string): void {
    this.tally.skipped++
    this.#seen.add(key)
  }

  async #compareBytes(key: string): Promise<void> {
    try {
      const theirs = await sha256Of(this.target.store, key)
      const receipted = await this.#receiptedDigest(key)
      const ours = receipted ?? (await sha256Of(this.source.store, key))
      if (ours === theirs) this.tally.skipped++
      else {
        const where = receipted === undefined ? 'at the source' : "in the source's receipt"
        this.problem('conflict', key, digestsDiffer(where, ours, theirs))
      }
    } catch (error) {
      // Gone from one of the two since it was listed: nothing to compare any more.
      if (error instanceof VaultError && error.kind === 'invalid') this.tally.vanished++
      else this.failed(key, error)
    }
  }

  /** Of a part, as its receipt says: half of the reading is spared. */
  async #receiptedDigest(key: string): Promise<string | undefined> {
    const venue = venueOf(key)
    if (venue === undefined || !key.endsWith('.parquet')) return undefined
    let reading = this.#digests.get(venue)
    if (reading === undefined) this.#digests.set(venue, (reading = this.#readDigests(venue)))
    return (await reading).get(key)
  }

  async #readDigests(venue: string): Promise<ReadonlyMap<string, string>> {
    const receipts = await readReceipts(this.source.store, venue, this.signal)
    return new Map(receipts.flatMap(({ parts }) => parts.map(({ key, sha256 }) => [key, sha256])))
  }
}
