/** Names for segments, and the step that makes a sealed one visible under raw/ready. */

import type { ObjectStore } from '../storage/object-store.ts'
import { listAll } from '../storage/object-store.ts'
import {
  archivedSegmentKey,
  parseSegmentLabel,
  rawActive,
  rawReady,
  readySegmentKey,
  receiptsPrefix,
  segmentLabel,
} from '../storage/keys.ts'

/** The least counter of `hour` that no active, ready, archived or receipted segment bears. */
export async function freeCounter(
  store: ObjectStore,
  venue: string,
  hour: string,
  signal: AbortSignal,
): Promise<number> {
  const stem = `segment_${hour}_`
  const archive = archivedSegmentKey(venue, dateOf(hour), '', 'gz').replace(/\.ndjson\.gz$/, '')
  const prefixes = [rawActive(venue), rawReady(venue), archive, receiptsPrefix(venue)].map(
    (folder) => folder + stem,
  )
  let counter = 0
  for (const prefix of prefixes) {
    for (const { key } of await listAll(store, prefix, signal)) {
      counter = Math.max(counter, counterIn(key.slice(prefix.length - stem.length)))
    }
  }
  return counter + 1
}

function dateOf(hour: string): string {
  return `${hour.slice(0, 4)}-${hour.slice(4, 6)}-${hour.slice(6, 8)}`
}

/** A receipt's name goes on after the label: `segment_20251203T14_00002_abcdefghij_12345.json`. */
function counterIn(name: string): number {
  const label = /^segment_\d{8}T\d{2}_\d{5,}/.exec(name)?.[0]
  return label === undefined ? 0 : (parseSegmentLabel(label)?.counter ?? 0)
}

const unknownHour = '19700101T00'

/**
 * Gives a sealed, synced file its name under raw/ready: the label it has, or the next one that is free.
 *
 * @param path the file; gone when this returns
 * @returns the label it got
 */
export async function publishSegment(
  store: ObjectStore,
  venue: string,
  path: string,
  label: string,
  signal: AbortSignal,
): Promise<string> {
  const wanted = parseSegmentLabel(label)
  if ((await store.publishFile(path, readySegmentKey(venue, label))) === 'created') return label
  const hour = wanted?.hour ?? unknownHour
  for (let counter = await freeCounter(store, venue, hour, signal); ; counter++) {
    const next = segmentLabel(hour, counter)
    if ((await store.publishFile(path, readySegmentKey(venue, next))) === 'created') return next
  }
}

/**
 * The same where the label was chosen without a look at this store: by a spool, which begins at 1 again when it has shipped all of an hour,
 * or for a segment made here. One that a converted or archived segment bears is not taken again: under it the archive could keep one of them only.
 */
export async function publishFromElsewhere(
  store: ObjectStore,
  venue: string,
  path: string,
  label: string,
  signal: AbortSignal,
): Promise<string> {
  const hour = parseSegmentLabel(label)?.hour ?? unknownHour
  const isBorne = await wasBorne(store, venue, hour, label, signal)
  const free = isBorne ? segmentLabel(hour, await freeCounter(store, venue, hour, signal)) : label
  return publishSegment(store, venue, path, free, signal)
}

async function wasBorne(
  store: ObjectStore,
  venue: string,
  hour: string,
  label: string,
  signal: AbortSignal,
): Promise<boolean> {
  // Asked for by name, which costs a bucket's owner a twelfth of a listing.
  for (const ending of ['zst', 'gz'] as const)
    if ((await store.head(archivedSegmentKey(venue, dateOf(hour), label, ending))) !== undefined) return true
  return (await listAll(store, `${receiptsPrefix(venue)}${label}_`, signal)).length > 0
}
