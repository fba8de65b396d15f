/** How far a sync is, in words. Pure. */

import { formatBytes } from '../core/bytes.ts'
import { durationWords } from '../core/duration.ts'
import type { Tally } from './report.ts'

/** `1,204 of 5,310 · 1.2 GB of 8.0 GB · 84.1 MB/s · 1m 21s left`; before the listings have come to their end, without what they tell. */
export function progressWords(tally: Tally, seconds: number): string {
  const { copied, copiedBytes, found, foundBytes, isListed, skipped } = tally
  const bytesPerSecond = seconds > 0 ? copiedBytes / seconds : 0
  const words = isListed
    ? [`${count(copied)} of ${count(found)}`, `${formatBytes(copiedBytes)} of ${formatBytes(foundBytes)}`]
    : [`${count(copied)} copied`, formatBytes(copiedBytes), `${count(skipped)} there already, still listing`]
  words.push(`${formatBytes(Math.round(bytesPerSecond))}/s`)
  if (isListed && bytesPerSecond > 0 && foundBytes > copiedBytes)
    words.push(`${durationWords((foundBytes - copiedBytes) / bytesPerSecond)} left`)
  return words.join(' · ')
}

/** One line of what was done; problems only where there are some. */
export function summaryWords(tally: Tally, seconds: number, isDryRun: boolean): string {
  const would = isDryRun ? 'would be ' : ''
  const words = [
    `${would}copied: ${count(tally.copied)}, ${formatBytes(tally.copiedBytes)}`,
    `there already: ${count(tally.skipped)}`,
  ]
  if (tally.deleted > 0)
    words.push(`${would}deleted: ${count(tally.deleted)}, ${formatBytes(tally.deletedBytes)}`)
  const others: readonly (readonly [words: string, n: number])[] = [
    ['CONFLICTS', tally.conflicts],
    ['FAILED', tally.failed],
    ['receipts held back', tally.heldBack],
    ['kept', tally.kept],
    ['not deleted yet', tally.deletionsLeft],
    ['growing segments left', tally.active],
    ['unfinished uploads removed', tally.uploadsRemoved],
  ]
  for (const [name, n] of others) if (n > 0) words.push(`${name}: ${count(n)}`)
  const rate = seconds > 0 ? Math.round(tally.copiedBytes / seconds) : 0
  if (!isDryRun) words.push(`${durationWords(seconds)}, ${formatBytes(rate)}/s`)
  return words.join(' · ')
}

/** What is seldom meant: a mistyped prefix has nothing, and a mistyped pattern matches nothing. @returns undefined: something was there */
export function nothingWords(tally: Tally, source: string): string | undefined {
  const { found, skipped, unselected, conflicts, failed, heldBack, vanished, active } = tally
  if (found + skipped + conflicts + failed + heldBack + vanished > 0) return undefined
  if (unselected > 0) return `nothing in ${source} matches the patterns`
  return active > 0 ? undefined : `${source} holds nothing of a vault`
}

/** For machines. */
export function summaryJson(tally: Tally, seconds: number, isDryRun: boolean) {
  return {
    dry_run: isDryRun,
    copied: tally.copied,
    bytes: tally.copiedBytes,
    skipped: tally.skipped,
    unselected: tally.unselected,
    conflicts: tally.conflicts,
    failed: tally.failed,
    held_back: tally.heldBack,
    vanished: tally.vanished,
    active: tally.active,
    deleted: tally.deleted,
    deleted_bytes: tally.deletedBytes,
    kept: tally.kept,
    deletions_left: tally.deletionsLeft,
    uploads_removed: tally.uploadsRemoved,
    seconds: Math.round(seconds * 1000) / 1000,
    bytes_per_second: seconds > 0 ? Math.round(tally.copiedBytes / seconds) : 0,
  }
}

function count(n: number): string {
  return n.toLocaleString('en-US')
}
