/** Objects as local files, for programs that open paths. */

import { open, rm } from 'node:fs/promises'
import { forEachAtOnce } from '../core/at-once.ts'
import { VaultError } from '../core/errors.ts'
import type { ObjectStore } from './object-store.ts'

/** Ranges of one object that are fetched side by side: one stream from S3 gives some 50 to 90 MB/s, several fill the line. */
const rangesAtOnce = 4
export const rangeBytes = 8 * 1024 * 1024

/** @throws {VaultError} `preflight` for a store whose objects are no files of this machine */
export function fileOf(store: ObjectStore, key: string): string {
  const path = store.fileOf(key)
  if (path !== undefined) return path
  throw new VaultError('preflight', `${store.location}/${key}: is not on this machine`, {
    remedy: 'fetch it first: mdv sync',
  })
}

/** The path of an object as it is where its store has one; otherwise of a copy made at `copyPath`, which is the caller's to remove. */
export async function localFile(
  store: ObjectStore,
  key: string,
  copyPath: string,
  signal: AbortSignal,
): Promise<string> {
  const own = store.fileOf(key)
  if (own !== undefined) return own
  await download(store, key, copyPath, signal)
  return copyPath
}

/**
 * Copies an object into a new file, in parallel ranges. The file is not synced: it can be fetched again.
 *
 * @throws {VaultError} `invalid` when there is no such object, `unavailable` when it ended early
 */
export async function download(
  store: ObjectStore,
  key: string,
  path: string,
  signal: AbortSignal,
): Promise<void> {
  const info = await store.head(key)
  if (info === undefined) throw new VaultError('invalid', `${store.location}/${key}: there is no such object`)
  const file = await open(path, 'w')
  try {
    await forEachAtOnce(rangesOf(info.sizeBytes), rangesAtOnce, async ({ from, until }) => {
      let at = from
      for await (const chunk of store.read(key, from, until, signal)) {
        for (let done = 0; done < chunk.length;)
          done += (await file.write(chunk, done, chunk.length - done, at + done)).bytesWritten
        at += chunk.length
      }
      if (at !== until)
        throw new VaultError(
          'unavailable',
          `${store.location}/${key}: ended at byte ${at} of ${info.sizeBytes}`,
        )
    })
  } catch (error) {
    await rm(path, { force: true })
    throw error
  } finally {
    await file.close()
  }
}

function rangesOf(sizeBytes: number): { readonly from: number; readonly until: number }[] {
  const ranges = []
  for (let from = 0; from < sizeBytes; from += rangeBytes)
    ranges.push({ from, until: Math.min(sizeBytes, from + rangeBytes) })
  return ranges
}
