/**
 * Parts as they are now against what was committed, and damaged ones kept before others take their place: beside the tables, under names
 * that no glob for Parquet finds.
 */

import { randomUUID } from 'node:crypto'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { forEachAtOnce } from '../core/at-once.ts'
import { download } from '../storage/download.ts'
import { processed } from '../storage/keys.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import type { Receipt, ReceiptPart } from '../table/receipt.ts'
import { partLocation } from '../table/staged.ts'
import type { Claim } from './job-claim.ts'
import type { JobDeps } from './job-commit.ts'
import { publishSame, sha256OfObject } from './publish.ts'

export interface PartNow {
  readonly part: ReceiptPart
  /** Where it lies, and the digest it has there; null: nowhere. */
  readonly key: string | null
  readonly sha256: string | null
}

const readsAtOnce = 4

/** Every part of a receipt, read whole. */
export async function partsNow(
  store: ObjectStore,
  receipt: Receipt,
  signal: AbortSignal,
): Promise<PartNow[]> {
  const now: PartNow[] = []
  await forEachAtOnce(receipt.parts, readsAtOnce, async (part, i) => {
    const key = (await partLocation(store, receipt, part)) ?? null
    const sha256 = key === null ? null : ((await sha256OfObject(store, key, signal)) ?? null)
    now[i] = { part, key, sha256 }
  })
  return now
}

export function isWhole({ part, sha256 }: PartNow): boolean {
  return sha256 === part.sha256
}

/** Copies of parts that a later generation is about to replace. What an earlier try kept is found again. */
export async function keepParts(
  deps: JobDeps,
  claim: Claim,
  receipt: Receipt,
  parts: readonly PartNow[],
  signal: AbortSignal,
): Promise<void> {
  for (const { part, key, sha256 } of parts)
    if (key !== null && sha256 !== null)
      await keepObject(deps, claim, keptPartKey(receipt, part), key, sha256, signal)
}

/**
 * A copy of an object, under the name wanted or the next one that does not hold other bytes. What an earlier try put is found again.
 *
 * @returns the name
 */
export async function keepObject(
  { store, scratchDir }: Pick<JobDeps, 'store' | 'scratchDir'>,
  claim: Claim,
  wanted: string,
  key: string,
  sha256: string,
  signal: AbortSignal,
): Promise<string> {
  await mkdir(scratchDir, { recursive: true })
  const path = join(scratchDir, randomUUID())
  try {
    await download(store, key, path, signal)
    for (let copy = 1; ; copy++) {
      claim.assertCurrent()
      const name = copy === 1 ? wanted : `${wanted}.${copy}`
      if ((await publishSame(store, path, name, sha256)) !== 'other') return name
    }
  } finally {
    await rm(path, { force: true })
  }
}

/** `processed/coinbase/_damaged/<job>.g1/level2/product_id=…/date=…/part_….parquet.kept`. */
function keptPartKey({ venue, job, generation }: Receipt, { key }: ReceiptPart): string {
  const place = key.slice(processed(venue).length)
  return `${processed(venue)}_damaged/${job}.g${generation}/${place}.kept`
}
