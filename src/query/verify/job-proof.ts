/** The proof of one job: its parts, its rejects, its rows, and its frames made again where that is asked for. */

import type { ObjectStore } from '../../storage/object-store.ts'
import type { Receipt, ReceiptPart } from '../../table/receipt.ts'
import { isVanishedPart } from '../engine.ts'
import type { SegmentEntry } from '../segments.ts'
import { jobRemedy, type Finding } from './finding.ts'
import type { PartPaths } from '../row-stream.ts'
import { checkParts } from './parts.ts'
import type { VerifyProgress } from './progress.ts'
import { readRejects, type RejectedLines } from './rejects.ts'
import type { RowEngine } from '../row-engine.ts'
import { checkRows } from './rows.ts'
import type { Scans } from './scan-task.ts'
import { noFacts, type SequenceFacts } from './sequences.ts'

export type RebuildCheck = (
  store: ObjectStore,
  receipt: Receipt,
  paths: PartPaths,
  rejects: RejectedLines,
  raw: SegmentEntry,
  engine: RowEngine,
  signal: AbortSignal,
) => Promise<{ readonly frames: number; readonly findings: readonly Finding[] }>

export interface JobDeps {
  readonly store: ObjectStore
  readonly engine: RowEngine
  readonly scans: Scans
  /** null: not asked for. */
  readonly rebuild: RebuildCheck | null
  readonly progress: VerifyProgress
}

export interface CheckedJob {
  readonly findings: readonly Finding[]
  /** Made again and compared. */
  readonly frames: number
  readonly sequences: SequenceFacts
}

const nothingFound: CheckedJob = { findings: [], frames: 0, sequences: noFacts }

/**
 * @param raws its segments that are kept
 * @returns nothing found for a receipt that a later generation replaced while it was looked at
 */
export async function verifyJob(
  deps: JobDeps,
  receipt: Receipt,
  raws: readonly SegmentEntry[],
  signal: AbortSignal,
): Promise<CheckedJob> {
  for (let isLast = false; ; isLast = true) {
    try {
      return await verifyOnce(deps, receipt, raws, signal)
    } catch (thrown) {
      // A part that took its place, or was replaced, between two looks: look again.
      if (isLast || !isVanishedPart(thrown)) throw thrown
    }
  }
}

async function verifyOnce(
  deps: JobDeps,
  receipt: Receipt,
  raws: readonly SegmentEntry[],
  signal: AbortSignal,
): Promise<CheckedJob> {
  const { store, engine, scans, progress } = deps
  const sha256Of = async (part: ReceiptPart, path: string): Promise<string> => {
    const sha256 = await scans.sha256(path)
    progress.doneBytes += part.size_bytes
    return sha256
  }
  const remedy = jobRemedy(receipt, raws.length >= receipt.sources.length)
  const parts = await checkParts(store, receipt, remedy, sha256Of, signal)
  if (parts === 'superseded') return nothingFound
  await using checked = parts
  const { rejects, findings } = await readRejects(store, receipt, remedy)
  // Rows of damaged parts are not counted: what is wrong with them is already said.
  if (checked.findings.length > 0) return { ...nothingFound, findings: [...checked.findings, ...findings] }
  const rows = await checkRows(engine, receipt, checked.paths, rejects, remedy)
  const accounted = { findings: [...findings, ...rows.findings], frames: 0, sequences: rows.sequences }
  if (deps.rebuild === null || accounted.findings.length > 0) return accounted
  return {
    ...accounted,
    ...(await rebuildAll(deps, deps.rebuild, receipt, checked.paths, rejects, raws, signal)),
  }
}

/** The files of the parts are there until it is done. */
async function rebuildAll(
  { store, engine }: JobDeps,
  rebuild: RebuildCheck,
  receipt: Receipt,
  paths: PartPaths,
  rejects: RejectedLines,
  raws: readonly SegmentEntry[],
  signal: AbortSignal,
): Promise<Pick<CheckedJob, 'frames' | 'findings'>> {
  let frames = 0
  const differing: Finding[] = []
  for (const raw of raws) {
    const rebuilt = await rebuild(store, receipt, paths, rejects, raw, engine, signal)
    frames += rebuilt.frames
    for (const finding of rebuilt.findings) differing.push(finding)
  }
  return { findings: differing, frames }
}
