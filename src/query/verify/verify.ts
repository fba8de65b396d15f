/** `mdv verify`: proves from receipts and data that every line is accounted for once. Reads everything it proves. */

import { join } from 'node:path'
import { takeInOrder } from '../../core/at-once.ts'
import type { VaultError } from '../../core/errors.ts'
import { rawRejected } from '../../storage/keys.ts'
import { listAll, type ObjectStore } from '../../storage/object-store.ts'
import { readAdoptedFiles } from '../../table/adopted.ts'
import type { Receipt } from '../../table/receipt.ts'
import { readReceipts } from '../../table/receipts.ts'
import { joinSegments } from '../join-segments.ts'
import { listRaw, type SegmentEntry } from '../segments.ts'
import { error, type Finding } from './finding.ts'
import { verifyJob, type RebuildCheck } from './job-proof.ts'
import { Marks } from './marks.ts'
import type { ProofMemory, Proved } from './memory.ts'
import { VerifyProgress } from './progress.ts'
import { checkRawChain, checkRawSegment, type RawFacts } from './raw.ts'
import { checkAdopted, checkReceipts, hasRaw } from './receipts.ts'
import { RowEngine } from '../row-engine.ts'
import type { Scans } from './scan-task.ts'
import { checkSequences, noFacts, type SequenceFacts } from './sequences.ts'
import { checkStrays, listStrays } from './strays.ts'

export interface VerifyOptions {
  /** Only segments with a line received on or after this UTC date; null: all. */
  readonly since: string | null
  /** Rebuilds every frame of a job whose raw segment is kept, and compares; null: not asked for. */
  readonly rebuild: RebuildCheck | null
  readonly memoryLimitMb: number
  /** Segments and jobs that are looked at side by side, at least 1. */
  readonly atOnce: number
  readonly scans: Scans
  /** Goes on with what an earlier proof had proved; null: proves everything, and remembers nothing. */
  readonly memory: ProofMemory | null
  /** In the order of segments and jobs, however many are looked at side by side. */
  readonly onFinding: (finding: Finding) => Promise<void>
  /** Filled as it goes. */
  readonly progress: VerifyProgress
}

export interface VerifySummary {
  readonly receipts: number
  readonly parts: number
  readonly rows: number
  readonly lines: number
  readonly rejected: number
  readonly rawSegments: number
  readonly framesRebuilt: number
  /** Segments and receipts that were not read: an earlier proof that was stopped had found them whole, and they look the same. */
  readonly remembered: number
  readonly errors: number
  readonly warnings: number
}

/** @returns counts of what was proved; findings go to `onFinding` as they are made */
export async function verifyVault(
  store: ObjectStore,
  venue: string,
  options: VerifyOptions,
  signal: AbortSignal,
): Promise<VerifySummary> {
  const strays = await listStrays(store, venue, signal)
  const adopted = await readAdoptedFiles(store, venue, signal)
  const raw = await listRaw(store, venue, signal)
  const damaged: VaultError[] = []
  const everyReceipt = await readReceipts(store, venue, signal, {
    onDamaged: (each) => damaged.push(each),
  })
  const everySegment = joinSegments(raw, everyReceipt)
  const tally = new Tally(options.onFinding)

  await tally.add(damaged.map(damagedReceipt))
  await tally.add(checkReceipts(everyReceipt, everySegment))
  await tally.add(checkAdopted(adopted, everySegment))
  await tally.add(checkStrays(strays, everyReceipt, everySegment))
  const segments = everySegment.filter((entry) => isSince(entry, options.since))
  const receipts = [...new Set(segments.flatMap((entry) => (entry.receipt === null ? [] : [entry.receipt])))]
  const marks = new Marks(
    strays.files,
    options.memory === null ? [] : await listAll(store, rawRejected(venue), signal),
  )
  const proof = new Proof(store, venue, options, tally, marks, damaged.length > 0, signal)
  const rawSegments = await proof.segments(segments)
  await proof.jobs(receipts, segments)
  await tally.add(checkSequences(proof.sequences, new Set(adopted.map(({ recorder }) => recorder))))
  await options.memory?.forget()
  return {
    receipts: receipts.length,
    parts: sum(receipts, (receipt) => receipt.parts.length),
    rows: sum(receipts, (receipt) => sum(receipt.parts, (part) => part.rows)),
    lines: sum(receipts, (receipt) => receipt.lines.total),
    rejected: sum(receipts, (receipt) => receipt.lines.rejected),
    rawSegments,
    framesRebuilt: proof.frames,
    remembered: proof.remembered,
    errors: tally.errors,
    warnings: tally.warnings,
  }
}

/** What is learnt from one segment or job. */
interface Learnt extends Proved {
  readonly findings: readonly Finding[]
}

/** Segments and jobs one by one, several side by side. */
class Proof {
  readonly #store: ObjectStore
  readonly #venue: string
  readonly #options: VerifyOptions
  readonly #tally: Tally
  readonly #marks: Marks
  readonly #isReceiptDamaged: boolean
  readonly #signal: AbortSignal
  readonly sequences: SequenceFacts[] = []
  frames = 0
  remembered = 0

  constructor(
    store: ObjectStore,
    venue: string,
    options: VerifyOptions,
    tally: Tally,
    marks: Marks,
    isReceiptDamaged: boolean,
    signal: AbortSignal,
  ) {
    this.#store = store
    this.#venue = venue
    this.#options = options
    this.#tally = tally
    this.#marks = marks
    this.#isReceiptDamaged = isReceiptDamaged
    this.#signal = signal
  }

  /** @returns how many lie under raw/ */
  async segments(segments: readonly SegmentEntry[]): Promise<number> {
    const { progress, scans, atOnce } = this.#options
    const present = segments.filter((entry) => entry.rawKey !== null && entry.state !== 'active')
    progress.expect(
      present.length,
      sum(present, (entry) => entry.sizeBytes),
    )
    const facts: RawFacts[] = []
    const one = (entry: SegmentEntry): Promise<Learnt> =>
      this.#unlessKnown(`segment ${entry.rawKey}`, this.#marks.ofRaw(entry), entry.sizeBytes, async () => {
        const deps = {
          store: this.#store,
          venue: this.#venue,
          scans,
          progress,
          isReceiptDamaged: this.#isReceiptDamaged,
          hasRaw: (receipt: Receipt) => hasRaw(receipt, segments),
        }
        const checked = await checkRawSegment(deps, entry, this.#signal)
        return { ...checked, frames: 0 }
      })
    await takeInOrder(present, atOnce, one, async (learnt) => {
      if (learnt.facts !== null) facts.push(learnt.facts)
      await this.#take(learnt)
    })
    await this.#tally.add(checkRawChain(facts, segments))
    return present.length
  }

  async jobs(receipts: readonly Receipt[], segments: readonly SegmentEntry[]): Promise<void> {
    const { progress, scans, rebuild, memoryLimitMb, atOnce } = this.#options
    const sizeOf = (receipt: Receipt): number => sum(receipt.parts, (part) => part.size_bytes)
    progress.expect(receipts.length, sum(receipts, sizeOf))
    const kept = keptByJob(segments)
    const spill = join(await this.#store.scratch('verify'), 'spill')
    using engine = await RowEngine.open(memoryLimitMb, spill)
    const deps = { store: this.#store, engine, scans, rebuild, progress }
    const one = (receipt: Receipt): Promise<Learnt> => {
      const raws = kept.get(receipt.job) ?? []
      return this.#unlessKnown(
        `job ${receipt.job}`,
        this.#marks.ofJob(receipt, raws),
        sizeOf(receipt),
        async () => ({ ...(await verifyJob(deps, receipt, raws, this.#signal)), facts: null }),
      )
    }
    await takeInOrder(receipts, atOnce, one, (learnt) => this.#take(learnt))
  }

  async #take({ sequences, frames, findings }: Learnt): Promise<void> {
    if (sequences !== noFacts) this.sequences.push(sequences)
    this.frames += frames
    await this.#tally.add(findings)
  }

  /** @param mark null: it cannot be known again */
  async #unlessKnown(
    what: string,
    mark: string | null,
    sizeBytes: number,
    prove: () => Promise<Learnt>,
  ): Promise<Learnt> {
    this.#signal.throwIfAborted()
    const { memory, progress } = this.#options
    const proved = mark === null ? undefined : memory?.recall(what, mark)
    if (proved !== undefined) {
      this.remembered++
      progress.doneBytes += sizeBytes
      progress.doneItems++
      return { ...proved, findings: [] }
    }
    progress.begin(what)
    const learnt = await prove()
    progress.doneItems++
    if (mark !== null && learnt.findings.length === 0) await memory?.remember(what, mark, learnt)
    return learnt
  }
}

function keptByJob(segments: readonly SegmentEntry[]): Map<string, SegmentEntry[]> {
  const kept = new Map<string, SegmentEntry[]>()
  for (const entry of segments)
    if (entry.rawKey !== null && entry.receipt !== null)
      kept.set(entry.receipt.job, [...(kept.get(entry.receipt.job) ?? []), entry])
  return kept
}

/** What it alone knew of is told further on as missing: that goes away with it. */
function damagedReceipt({ message, remedy }: VaultError): Finding {
  const [key, ...words] = message.split(': ')
  return error('receipt_damaged', key!, words.join(': '), remedy ?? 'restore it from a backup')
}

function isSince(entry: SegmentEntry, since: string | null): boolean {
  if (since === null) return true
  const hour = /^segment_(\d{4})(\d{2})(\d{2})T/.exec(entry.label)
  // A label's hour is when a segment was opened; it holds lines of the next hour at most.
  return hour === null || `${hour[1]}-${hour[2]}-${hour[3]}` >= since
}

class Tally {
  readonly #onFinding: (finding: Finding) => Promise<void>
  errors = 0
  warnings = 0

  constructor(onFinding: (finding: Finding) => Promise<void>) {
    this.#onFinding = onFinding
  }

  async add(findings: readonly Finding[]): Promise<void> {
    for (const finding of findings) {
      if (finding.severity === 'error') this.errors++
      else this.warnings++
      await this.#onFinding(finding)
    }
  }
}

function sum<T>(items: readonly T[], of: (item: T) => number): number {
  return items.reduce((total, item) => total + of(item), 0)
}
