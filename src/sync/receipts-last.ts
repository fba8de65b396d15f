/**
 * Receipts go over last, each after all that it names, so that whoever reads the target by its receipts finds every part, whenever the
 * copying stopped. They are listed last too: what was removed at the source before its raw listing has its receipt in this one.
 */

import { forEachAtOnce } from '../core/at-once.ts'
import { bindingKey, parseReceiptKey, receiptsPrefix } from '../storage/keys.ts'
import type { ObjectInfo } from '../storage/object-store.ts'
import type { Receipt } from '../table/receipt.ts'
import { isMerge, parseReceipt } from '../table/receipts.ts'
import { isStagedFirst, stagedPartKey } from '../table/staged.ts'
import { forEachOf, streamOf } from './flow.ts'
import type { Round } from './round.ts'

const looksAtOnce = 16

interface Missing {
  readonly info: ObjectInfo
  readonly job: string
  readonly generation: number
}

/** What is known of the receipts of one venue at the target. */
interface Ledger {
  readonly missing: Missing[]
  /** Highest generation at the target of jobs that lack a receipt there. */
  readonly highest: Map<string, number>
  /** Merges at the target that were not read yet, by key. */
  readonly merges: Set<string>
  /** Jobs that a merge at the target holds. */
  readonly merged: Set<string>
}

export async function copyReceipts(round: Round, venue: string): Promise<void> {
  const ledger = await compareReceipts(round, venue)
  // Merges first: jobs that they hold may have lost their parts.
  const merges = ledger.missing.filter(({ job }) => isMerge(job))
  const others = ledger.missing.filter(({ job }) => !isMerge(job))
  const deferred: Missing[] = []
  for (const wave of [merges, others])
    await forEachOf(streamOf(wave), round.atOnce, round.signal, async (one) => {
      if (!(await copyOne(round, ledger, one))) deferred.push(one)
    })
  await copySuperseded(round, ledger, deferred)
}

async function compareReceipts(round: Round, venue: string): Promise<Ledger> {
  const ledger: Ledger = { missing: [], highest: new Map(), merges: new Set(), merged: new Set() }
  let before: { job: string; generation: number } | undefined
  for await (const pair of round.pairs(receiptsPrefix(venue))) {
    const name = parseReceiptKey(pair.key)
    if (name === undefined || pair.source === undefined || pair.target !== undefined) {
      if (round.settle(pair)) await round.workOff(pair)
      if (name === undefined || pair.target === undefined) continue
      if (isMerge(name.job)) ledger.merges.add(pair.key)
      // Generations of a job stand beside each other in the order of keys.
      const generation =
        before?.job === name.job ? Math.max(before.generation, name.generation) : name.generation
      before = { job: name.job, generation }
    } else if (round.isSelected(pair.key)) {
      round.found(pair.source)
      ledger.missing.push({ info: pair.source, ...name })
      if (before?.job === name.job) ledger.highest.set(name.job, before.generation)
    }
  }
  return ledger
}

/** @returns false: not yet, some of its parts are nowhere */
async function copyOne(round: Round, ledger: Ledger, one: Missing): Promise<boolean> {
  const { key } = one.info
  try {
    const body = await round.source.store.get(key)
    if (body === undefined) return true
    const receipt = parseReceipt(key, body)
    const lacking = await bringData(round, receipt)
    if (lacking === 'nowhere') return false
    if (lacking !== undefined) round.problem('held_back', key, lacking)
    else if (await round.copy(one.info)) arrived(ledger, one, receipt)
  } catch (error) {
    round.failed(key, error)
  }
  return true
}

function arrived(ledger: Ledger, { job, generation }: Missing, receipt: Receipt): void {
  ledger.highest.set(job, Math.max(generation, ledger.highest.get(job) ?? 0))
  for (const each of receipt.supersedes ?? []) ledger.merged.add(each.job)
}

/** @returns undefined: all is there; `nowhere`: a part that neither has; otherwise why not */
async function bringData(round: Round, receipt: Receipt): Promise<string | undefined> {
  for (const key of keptBeside(receipt)) if (round.isSelected(key)) await round.bring(key)
  let lacking: string | undefined
  await forEachAtOnce(receipt.parts, looksAtOnce, async ({ key, size_bytes: sizeBytes }) => {
    if (lacking !== undefined) return
    let brought = await round.bring(key, sizeBytes)
    if (brought === 'nowhere' && isStagedFirst(receipt)) {
      brought = await round.bring(stagedPartKey(receipt, key), sizeBytes)
      // It may have moved between the two looks; it moves in one direction only.
      if (brought === 'nowhere') brought = await round.bring(key, sizeBytes)
    }
    if (brought === 'nowhere') lacking = 'nowhere'
    else if (brought !== 'there') lacking ??= `${key}: ${brought}`
  })
  return lacking
}

/** Rejects and bindings: made before the receipt, perhaps after they were listed here. */
function keptBeside(receipt: Receipt): string[] {
  const rejects = [receipt.rejects_key, ...(receipt.rejects ?? []).map(({ key }) => key)]
  return [
    ...rejects.filter((key) => key !== null),
    ...receipt.sources.map(({ recorder, first_n: n }) => bindingKey(receipt.venue, recorder, n, 1)),
  ]
}

/** History: a later generation or a merge has their rows. They go over once that one is there. */
async function copySuperseded(round: Round, ledger: Ledger, deferred: readonly Missing[]): Promise<void> {
  if (deferred.length === 0) return
  for (const key of ledger.merges) {
    const body = await round.target.store.get(key)
    if (body === undefined) continue
    for (const { job } of parseReceipt(key, body).supersedes ?? []) ledger.merged.add(job)
  }
  const isHistory = ({ job, generation }: Missing): boolean =>
    ledger.merged.has(job) || (ledger.highest.get(job) ?? 0) > generation
  let waiting = [...deferred].sort((a, b) => b.generation - a.generation)
  for (let isMoving = true; isMoving && waiting.length > 0;) {
    const due = waiting.filter(isHistory)
    waiting = waiting.filter((one) => !isHistory(one))
    isMoving = due.length > 0
    await forEachOf(streamOf(due), round.atOnce, round.signal, async (one) => {
      const body = await round.source.store.get(one.info.key)
      if (body === undefined || !(await round.copy(one.info))) return
      arrived(ledger, one, parseReceipt(one.info.key, body))
    })
  }
  for (const { info } of waiting)
    round.problem('held_back', info.key, 'names parts that the source has not: run "mdv verify" there')
}
