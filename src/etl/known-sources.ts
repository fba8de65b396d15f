/**
 * What receipts say of the raw segments that are still there: remembered from round to round, and forgotten together with them. So what a
 * watcher keeps in memory is as large as what waits and what is archived, however long the vault's history grows.
 */

import { forEachAtOnce } from '../core/at-once.ts'
import { readBindings } from '../table/bindings.ts'
import { ByIdentity } from '../segment/by-identity.ts'
import type { Receipt, ReceiptSource } from '../table/receipt.ts'
import { currentReceipt } from '../table/receipts.ts'
import type { ReadyFile } from './plan.ts'
import type { ReadySegment } from './job.ts'
import type { ClaimDeps } from './job-claim.ts'

const looksAtOnce = 16

export class KnownSources {
  /** Of segments in raw/ready. */
  readonly ready = new ByIdentity<ReceiptSource>()
  /** Labels under raw/archive. */
  readonly archived = new Set<string>()

  /** @param files what raw/ready holds now: the rest is forgotten */
  keepReady(files: readonly ReadyFile[]): void {
    const here = new ByIdentity<true>()
    for (const { header } of files.map(({ peek }) => peek))
      if (header !== null) here.set(header.recorder, header.n, true)
    this.ready.retain((recorder, firstN) => here.get(recorder, firstN) === true)
  }

  /** @param labels what raw/archive holds now: the rest is forgotten */
  keepArchived(labels: readonly string[]): void {
    const here = new Set(labels)
    for (const label of this.archived) if (!here.has(label)) this.archived.delete(label)
  }

  /** Until the next `keepReady` also of segments that are gone. */
  learnReady(receipts: readonly Receipt[]): void {
    for (const source of receipts.flatMap(({ sources }) => sources))
      this.ready.set(source.recorder, source.first_n, source)
  }

  /** Until the next `keepArchived` also of segments that are not there. */
  learnArchived(receipts: readonly Receipt[]): void {
    for (const { label } of receipts.flatMap(({ sources }) => sources)) this.archived.add(label)
  }

  /** Asks for the receipts of those it knows nothing of. */
  async lookUp(
    deps: Pick<ClaimDeps, 'store' | 'venue'>,
    segments: readonly ReadySegment[],
    signal: AbortSignal,
  ): Promise<void> {
    const unknown = segments.filter(({ header }) => this.ready.get(header.recorder, header.n) === undefined)
    await forEachAtOnce(unknown, looksAtOnce, async ({ header }) => {
      signal.throwIfAborted()
      const segment = { recorder: header.recorder, firstN: header.n }
      const bound = (await readBindings(deps.store, deps.venue, segment)).at(-1)
      const receipt = bound && (await currentReceipt(deps.store, deps.venue, bound.job))
      if (receipt !== undefined) this.learnReady([receipt])
    })
  }
}
