/** One round of a sync: data, records, receipts, then removals; and rounds until the source held still. */

import { VaultError } from '../core/errors.ts'
import { peekSegment } from '../segment/peek.ts'
import type { Pair } from './compare.ts'
import { forEachOf, lookAhead } from './flow.ts'
import { classifyKey, venueOf } from './key-class.ts'
import { copyReceipts } from './receipts-last.ts'
import { copyRecords } from './records.ts'
import { removeExtra } from './removal.ts'
import type { SyncEvent, SyncReport, Tally } from './report.ts'
import { Round, type SyncOptions } from './round.ts'
import { LazyScratch } from './scratch.ts'
import type { TransferDeps } from './transfer.ts'
import { removeUnfinished } from './unfinished.ts'

export type SyncDeps = Omit<TransferDeps, 'scratch'>

/** Found before they are copied: some 20 MB of keys. */
const aheadMax = 50_000
/** Said one by one; the rest is only counted. */
const problemsMax = 1000

/**
 * Copies what the target lacks. A kill at any step leaves a target whose receipts name only what is there; the next run does the rest.
 *
 * @param tally filled while it runs, for whoever shows progress
 * @param signal ends it after the objects under way
 * @throws {VaultError} when a listing failed, or what will fail for every object: no space, no right to write
 */
export async function syncOnce(
  deps: SyncDeps,
  options: SyncOptions,
  report: SyncReport,
  tally: Tally,
  signal: AbortSignal,
): Promise<void> {
  const scratch = new LazyScratch()
  try {
    const round = new Round({ ...deps, scratch }, options, report, tally, signal)
    const venues = new Set<string>()
    let sourceObjects = 0
    const found = lookAhead(
      dataToDo(round, options, (pair) => {
        if (pair.source !== undefined) sourceObjects++
        const venue = venueOf(pair.key)
        if (venue !== undefined) venues.add(venue)
      }),
      aheadMax,
    )
    await forEachOf(found, round.atOnce, signal, (pair) => round.workOff(pair))
    if (sourceObjects === 0 && options.isDeleting)
      throw new VaultError('preflight', `${deps.source.store.location}: holds nothing to copy`, {
        remedy: 'with --delete the target would be emptied: look whether that place is the one you mean',
      })
    for (const venue of venues) await copyRecords(round, venue)
    for (const venue of venues) await copyReceipts(round, venue)
    if (options.isDeleting) await removeExtra(round, options.isDryRun)
  } finally {
    await scratch.remove()
  }
}

async function* dataToDo(
  round: Round,
  options: SyncOptions,
  seen: (pair: Pair) => void,
): AsyncGenerator<Pair> {
  let growing = ''
  for (const prefix of options.prefixes)
    for await (const pair of round.pairs(prefix)) {
      seen(pair)
      const kind = classifyKey(pair.key)
      if (kind === 'active' && pair.source !== undefined) {
        if (await isSealedFile(round, pair)) {
          if (round.settle(pair)) yield pair
        } else if (pair.target === undefined && growing !== (growing = segmentOf(pair.key)))
          round.tally.active++
      } else if (kind === 'data' && round.settle(pair)) yield pair
    }
  round.tally.isListed = true
}

/** A sealed file that its recorder did not live to publish is whole; recovery at the target can do so. Elsewhere than in a folder nobody would. */
async function isSealedFile(round: Round, { key, source, target }: Pair): Promise<boolean> {
  const isFile = /^raw\/active\/[^/]+\/segment_[^/]+\.ndjson$/.test(key)
  if (!isFile || target !== undefined || round.target.layer(key).store.fileOf(key) === undefined) return false
  const peek = await peekSegment(round.source.store, source!, true, round.signal)
  return peek !== 'gone' && peek.seal !== null
}

/** In a bucket a growing segment is a folder of chunks. */
function segmentOf(key: string): string {
  return key.split('/').slice(0, 4).join('/')
}

/** A live source moves on while it is copied; what then was missing is there at the next look. */
const roundsMax = 3

/**
 * Rounds until nothing had vanished or was held back. Counts of what was done add up; problems are those of the last round.
 *
 * @param tally filled while it runs
 */
export async function syncUntilStill(
  deps: SyncDeps,
  options: SyncOptions,
  report: SyncReport,
  tally: Tally,
  signal: AbortSignal,
): Promise<void> {
  if (options.isSweeping)
    tally.uploadsRemoved = await removeUnfinished(deps.target, options.prefixes, deps.clock, signal)
  for (let round = 1; ; round++) {
    const problems = new HeldProblems(report)
    beginAgain(tally)
    try {
      await syncOnce(deps, options, problems, tally, signal)
    } catch (error) {
      problems.tell()
      throw error
    }
    const isStill =
      tally.vanished + tally.heldBack === 0 && (tally.deletionsLeft === 0 || tally.deleted === 0)
    if (isStill || options.isDryRun || round === roundsMax) return problems.tell()
  }
}

function beginAgain(tally: Tally): void {
  tally.skipped = tally.unselected = tally.vanished = tally.active = 0
  tally.conflicts = tally.failed = tally.heldBack = tally.kept = tally.deletionsLeft = 0
  tally.found = tally.copied
  tally.foundBytes = tally.copiedBytes
  tally.isListed = false
}

/** Problems are told when they are there to stay. */
class HeldProblems implements SyncReport {
  readonly #report: SyncReport
  readonly #held: SyncEvent[] = []

  constructor(report: SyncReport) {
    this.#report = report
  }

  event(event: SyncEvent): void {
    if (!('detail' in event)) this.#report.event(event)
    else if (this.#held.length < problemsMax) this.#held.push(event)
  }

  tell(): void {
    for (const event of this.#held) this.#report.event(event)
  }
}
