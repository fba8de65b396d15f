/** Parts against their receipts: there, of the size and digest that were committed; and as files, for what looks into them. */

import { forEachAtOnce } from '../../core/at-once.ts'
import { localFiles, type KnownObject } from '../../storage/download.ts'
import { receiptKey } from '../../storage/keys.ts'
import type { ObjectInfo, ObjectStore } from '../../storage/object-store.ts'
import type { Receipt, ReceiptPart } from '../../table/receipt.ts'
import { partLocation } from '../../table/staged.ts'
import type { PartPaths } from '../row-stream.ts'
import { jobError, type Finding, type JobRemedy } from './finding.ts'

export interface CheckedParts extends AsyncDisposable {
  readonly findings: readonly Finding[]
  /** Of all parts, where there are no findings. */
  readonly paths: PartPaths
}

/** Answers are waited for side by side; digests too, on as many threads as there are. */
const looksAtOnce = 8

/**
 * Every part of one receipt, read whole.
 *
 * @param sha256Of of the file where a part lies now
 * @returns `superseded` when a later generation took the receipt's place meanwhile
 */
export async function checkParts(
  store: ObjectStore,
  receipt: Receipt,
  remedy: JobRemedy,
  sha256Of: (part: ReceiptPart, path: string) => Promise<string>,
  signal: AbortSignal,
): Promise<CheckedParts | 'superseded'> {
  const faults = new Map<ReceiptPart, PartFault>()
  const found = new Map<ReceiptPart, KnownObject>()
  await forEachAtOnce(receipt.parts, looksAtOnce, async (part) => {
    const object = await findPart(store, receipt, part)
    if ('kind' in object) faults.set(part, object)
    else found.set(part, object)
  })
  const options = { trust: 'nothing', onProgress: () => undefined } as const
  const files = await localFiles(store, [...found.values()], options, signal)
  const close = files[Symbol.asyncDispose]
  const paths = new Map<string, string>()
  try {
    await forEachAtOnce([...found], looksAtOnce, async ([part, object]) => {
      signal.throwIfAborted()
      const path = files.pathOf(object.key)!
      const fault = checkBytes(part, await sha256Of(part, path))
      if (fault === null) paths.set(part.key, path)
      else faults.set(part, fault)
    })
    if (faults.size === 0) return { findings: [], paths, [Symbol.asyncDispose]: close }
    if (await isSuperseded(store, receipt)) {
      await close()
      return 'superseded'
    }
  } catch (thrown) {
    await close()
    throw thrown
  }
  const findings = receipt.parts.flatMap((part) => {
    const fault = faults.get(part)
    return fault === undefined ? [] : [jobError(fault.kind, part.key, fault.message, remedy)]
  })
  return { findings, paths, [Symbol.asyncDispose]: close }
}

async function isSuperseded(store: ObjectStore, { venue, job, generation }: Receipt): Promise<boolean> {
  return (await store.head(receiptKey(venue, job, generation + 1))) !== undefined
}

interface PartFault {
  readonly kind: 'part_missing' | 'part_damaged'
  readonly message: string
}

async function findPart(
  store: ObjectStore,
  receipt: Receipt,
  part: ReceiptPart,
): Promise<PartFault | KnownObject> {
  const object = (await store.head(part.key)) ?? (await headElsewhere(store, receipt, part))
  if (object === undefined)
    return { kind: 'part_missing', message: `is not there: ${part.rows} rows of ${part.table} are missing` }
  if (object.sizeBytes !== part.size_bytes)
    return {
      kind: 'part_damaged',
      message: `has ${object.sizeBytes} bytes, its receipt says ${part.size_bytes}`,
    }
  return { key: object.key, sizeBytes: object.sizeBytes, sha256: part.sha256 }
}

/** Where a part of a later generation waits. */
async function headElsewhere(
  store: ObjectStore,
  receipt: Receipt,
  part: ReceiptPart,
): Promise<ObjectInfo | undefined> {
  const key = await partLocation(store, receipt, part)
  return key === undefined ? undefined : store.head(key)
}

function checkBytes(part: ReceiptPart, sha256: string): PartFault | null {
  if (sha256 === part.sha256) return null
  return {
    kind: 'part_damaged',
    message: `sha256 ${sha256.slice(0, 12)}… ≠ ${part.sha256.slice(0, 12)}… in its receipt`,
  }
}
