/** What segments and jobs look like from outside: by this an interrupted proof knows again what it had read. Pure. */

import { sha256Hex } from '../../core/ids.ts'
import type { ObjectInfo } from '../../storage/object-store.ts'
import type { Receipt } from '../../table/receipt.ts'
import type { SegmentEntry } from '../segments.ts'

export class Marks {
  readonly #objects: ReadonlyMap<string, ObjectInfo>

  /** @param parts and rejects as they were listed */
  constructor(parts: readonly ObjectInfo[], rejects: readonly ObjectInfo[]) {
    this.#objects = new Map([...parts, ...rejects].map((object) => [object.key, object]))
  }

  ofRaw({ rawKey, sizeBytes, modifiedMs, source }: SegmentEntry): string {
    const said = source === null ? null : [source.file_sha256, source.lines, source.last_n]
    return sha256Hex(JSON.stringify([rawKey, sizeBytes, modifiedMs, said]))
  }

  /** @returns null where something of it was not listed: a part that waits for its place, or is not there */
  ofJob(receipt: Receipt, raws: readonly SegmentEntry[]): string | null {
    const merged = (receipt.rejects ?? []).map(({ key }) => key)
    const rejects = receipt.rejects_key === null ? merged : [...merged, receipt.rejects_key]
    const objects = [...receipt.parts.map(({ key }) => key), ...rejects].map((key) => this.#objects.get(key))
    if (objects.includes(undefined)) return null
    const looks = objects.map((object) => [object!.key, object!.sizeBytes, object!.modifiedMs])
    return sha256Hex(JSON.stringify([receipt, looks, raws.map((raw) => this.ofRaw(raw))]))
  }
}
