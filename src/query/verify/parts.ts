/** Parts against their receipts: there, of the size and digest that were committed. */

import { createHash } from 'node:crypto'
import type { ObjectStore } from '../../storage/object-store.ts'
import { receiptKey } from '../../storage/keys.ts'
import type { Receipt, ReceiptPart } from '../../table/receipt.ts'
import { partLocation } from '../../table/staged.ts'
import { error, reconvertRemedy, type Finding } from './finding.ts'

/**
 * Every part of one receipt, read whole.
 *
 * @returns findings; `superseded` when a later generation took the receipt's place meanwhile
 */
export async function checkParts(
  store: ObjectStore,
  receipt: Receipt,
  hasRaw: boolean,
  signal: AbortSignal,
): Promise<Finding[] | 'superseded'> {
  const findings: Finding[] = []
  for (const part of receipt.parts) {
    const wrong = await checkPart(store, receipt, part, signal)
    if (wrong === null) continue
    const isSuperseded =
      (await store.head(receiptKey(receipt.venue, receipt.job, receipt.generation + 1))) !== undefined
    if (isSuperseded) return 'superseded'
    findings.push(error(wrong.kind, part.key, wrong.message, reconvertRemedy(hasRaw)))
  }
  return findings
}

interface PartFault {
  readonly kind: 'part_missing' | 'part_damaged'
  readonly message: string
}

async function checkPart(
  store: ObjectStore,
  receipt: Receipt,
  part: ReceiptPart,
  signal: AbortSignal,
): Promise<PartFault | null> {
  const key = await partLocation(store, receipt, part)
  const object = key === undefined ? undefined : await store.head(key)
  if (object === undefined)
    return { kind: 'part_missing', message: `is not there: ${part.rows} rows of ${part.table} are missing` }
  if (object.sizeBytes !== part.size_bytes)
    return {
      kind: 'part_damaged',
      message: `has ${object.sizeBytes} bytes, its receipt says ${part.size_bytes}`,
    }
  const hash = createHash('sha256')
  for await (const chunk of store.read(object.key, 0, part.size_bytes, signal)) hash.update(chunk)
  const sha256 = hash.digest('hex')
  if (sha256 === part.sha256) return null
  return {
    kind: 'part_damaged',
    message: `sha256 ${sha256.slice(0, 12)}… ≠ ${part.sha256.slice(0, 12)}… in its receipt`,
  }
}
