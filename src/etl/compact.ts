/**
 * Merges committed jobs into one: fewer, larger parts with the same rows. It commits like a job, each step named for the crash it
 * survives: claim (nothing done yet) · plan and bindings (whoever comes next carries this plan on, or finds its jobs bound) · parts into
 * staging (the same bytes and names again) · receipt (the commit: from here on readers of receipts see the merged parts only) · the swap
 * (old parts out, then new ones in, finished by any later run).
 */

import { randomUUID } from 'node:crypto'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { assert } from '../core/assert.ts'
import { forEachAtOnce } from '../core/at-once.ts'
import { VaultError } from '../core/errors.ts'
import { localFile } from '../storage/download.ts'
import { receiptKey } from '../storage/keys.ts'
import { putMergePlan, readMergePlan, type MergePlan } from '../table/compaction.ts'
import { mergedPartKey, partDigits, partDigitsMore } from '../table/part-name.ts'
import { tableNames, type Receipt, type ReceiptPart } from '../table/receipt.ts'
import { commitReceipt, currentReceipt, parseReceipt } from '../table/receipts.ts'
import { partLocation, stagedPartKey, swapMarkKey } from '../table/staged.ts'
import { bindSuccessor, readSuccessor } from '../table/succession.ts'
import type { CompactionPlan } from './compact-plan.ts'
import { digestOfWritten, parquetOptionsSql, sqlText } from './convert-parts.ts'
import type { ConvertSettings } from './conversion.ts'
import { Engine } from './engine.ts'
import { Claim, type ClaimDeps } from './job-claim.ts'
import { publishSame } from './publish.ts'
import { claimName, finishSwap } from './swap.ts'

export interface CompactDeps extends ClaimDeps {
  readonly settings: ConvertSettings
  /** A folder of this worker alone. */
  readonly scratchDir: string
  readonly memoryLimitMb: number
  readonly threads: number
}

/** `merged`: committed by us. `finished`: by another, and its swap is done. `held`: another works on it, or on one of its jobs. */
export type CompactOutcome =
  | { readonly kind: 'merged' | 'finished'; readonly receipt: Receipt; readonly partsBefore: number }
  | { readonly kind: 'held'; readonly job: string }

const filesAtOnce = 8

/** Brings one merge to its end, or the one that its jobs are already bound to. */
export async function compact(
  deps: CompactDeps,
  plan: CompactionPlan,
  signal: AbortSignal,
): Promise<CompactOutcome> {
  const claim = await Claim.take(deps, claimName(plan.job), false, signal)
  if (!(claim instanceof Claim)) return { kind: 'held', job: plan.job }
  try {
    return await compactClaimed(deps, claim, await planToFollow(deps, plan), signal)
  } catch (error) {
    if (error instanceof VaultError && error.kind === 'held') return { kind: 'held', job: plan.job }
    throw error
  } finally {
    await claim.release()
  }
}

async function planToFollow(deps: CompactDeps, wanted: CompactionPlan): Promise<MergePlan> {
  for (const { job, generation } of wanted.inputs) {
    const successor = await readSuccessor(deps.store, deps.venue, { job, generation })
    if (successor !== undefined && successor !== wanted.job && successor.startsWith('compact_'))
      return readMergePlan(deps.store, deps.venue, successor)
  }
  return {
    format: 1,
    job: wanted.job,
    inputs: wanted.inputs.map(({ job, generation }) => ({ job, generation })),
    software: deps.settings.software,
    number_type: wanted.numberType,
    compression: deps.settings.compression,
  }
}

async function compactClaimed(
  deps: CompactDeps,
  claim: Claim,
  plan: MergePlan,
  signal: AbortSignal,
): Promise<CompactOutcome> {
  const before = await currentReceipt(deps.store, deps.venue, plan.job)
  const inputs = await readInputs(deps, plan)
  const partsBefore = inputs.reduce((total, input) => total + input.parts.length, 0)
  if (before === undefined) {
    // Parts of another version of mdv have other bytes: its plan is its own to finish.
    if (plan.software !== deps.settings.software || !(await bindAll(deps, claim, plan)))
      return { kind: 'held', job: plan.job }
  }
  const receipt = before ?? (await mergeAndCommit(deps, claim, plan, inputs, signal))
  if (!(await finishSwap(deps, claim, receipt, new AbortController().signal)))
    throw new VaultError(
      'corrupt',
      `job ${receipt.job}: a merged part vanished just after it was committed`,
      {
        remedy: 'look for programs that remove files under processed/, and run "mdv verify"',
      },
    )
  return { kind: before === undefined ? 'merged' : 'finished', receipt, partsBefore }
}

async function readInputs(deps: CompactDeps, plan: MergePlan): Promise<Receipt[]> {
  const inputs: Receipt[] = []
  for (const { job, generation } of plan.inputs) {
    const key = receiptKey(deps.venue, job, generation)
    const body = await deps.store.get(key)
    if (body === undefined)
      throw new VaultError('corrupt', `${key}: is not there, and ${plan.job} is made of it`, {
        remedy: 'restore it from a backup',
      })
    inputs.push(parseReceipt(key, body))
  }
  return inputs
}

/** @returns false when one of them has another successor */
async function bindAll(deps: CompactDeps, claim: Claim, plan: MergePlan): Promise<boolean> {
  claim.assertCurrent()
  await putMergePlan(deps.store, deps.venue, plan)
  for (const input of plan.inputs) {
    claim.assertCurrent()
    if ((await bindSuccessor(deps.store, deps.venue, input, plan.job)) !== plan.job) return false
  }
  return true
}

async function mergeAndCommit(
  deps: CompactDeps,
  claim: Claim,
  plan: MergePlan,
  inputs: readonly Receipt[],
  signal: AbortSignal,
): Promise<Receipt> {
  const dir = join(deps.scratchDir, plan.job)
  await mkdir(dir, { recursive: true })
  const name = { venue: deps.venue, job: plan.job, generation: 1 }
  claim.assertCurrent()
  const mark = Buffer.from(JSON.stringify({ job: plan.job, generation: 1 }) + '\n')
  await deps.store.putIfAbsent(swapMarkKey(deps.venue, plan.job, 1), mark)
  const engine = await Engine.open({ ...deps, scratchDir: dir, threads: 1, threadsEach: deps.threads })
  const parts: ReceiptPart[] = []
  try {
    for (const partition of partitionsOf(inputs)) {
      signal.throwIfAborted()
      const merged = await mergePartition(deps, engine, plan, partition, dir, signal)
      claim.assertCurrent()
      if (
        (await publishSame(
          deps.store,
          merged.path,
          stagedPartKey(name, merged.part.key),
          merged.part.sha256,
        )) === 'other'
      )
        throw otherBytes(plan.job, merged.part.key)
      await rm(merged.path, { force: true })
      parts.push(merged.part)
    }
  } finally {
    await engine.close()
    await rm(dir, { recursive: true, force: true })
  }
  claim.assertCurrent()
  const receipt = mergedReceipt(deps, plan, inputs, parts)
  const outcome = await commitReceipt(deps.store, receipt)
  return outcome.kind === 'lost' ? outcome.winner : receipt
}

function otherBytes(job: string, key: string): VaultError {
  return new VaultError('corrupt', `job ${job}: the staged name of ${key} holds other bytes`, {
    remedy: 'look for programs that write under processed/; remove that file, and the next run merges again',
  })
}

interface Partition {
  readonly part: ReceiptPart
  /** Parts of one table, product and date, with the receipts that name them. */
  readonly members: { readonly receipt: Receipt; readonly part: ReceiptPart }[]
}

/** In the order of their keys, so that every try makes the same ones. */
function partitionsOf(inputs: readonly Receipt[]): Partition[] {
  const partitions = new Map<string, Partition>()
  for (const receipt of inputs)
    for (const part of receipt.parts) {
      const folder = part.key.slice(0, part.key.lastIndexOf('/'))
      const known = partitions.get(folder)
      if (known === undefined) partitions.set(folder, { part, members: [{ receipt, part }] })
      else known.members.push({ receipt, part })
    }
  return [...partitions].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, partition]) => partition)
}

async function mergePartition(
  deps: CompactDeps,
  engine: Engine,
  plan: MergePlan,
  { part, members }: Partition,
  dir: string,
  signal: AbortSignal,
): Promise<{ readonly path: string; readonly part: ReceiptPart }> {
  const copies: string[] = []
  const paths: string[] = []
  await forEachAtOnce(members, filesAtOnce, async (member, i) => {
    const key = await partLocation(deps.store, member.receipt, member.part)
    if (key === undefined)
      throw new VaultError(
        'corrupt',
        `${member.part.key}: is not there, and ${member.receipt.job} names it`,
        {
          remedy: 'run "mdv verify"',
        },
      )
    const copy = join(dir, `${randomUUID()}.parquet`)
    copies.push(copy)
    paths[i] = await localFile(deps.store, key, copy, signal)
  })
  const path = join(dir, 'merged.parquet')
  const order =
    part.table === 'other' ? 'exchange_ns, recorder, n' : 'exchange_ns, recorder, n, event_index, row_index'
  const metadata = {
    mdv_job: plan.job,
    mdv_generation: '1',
    mdv_software: plan.software,
    mdv_venue: deps.venue,
  }
  const codec = plan.compression === 'none' ? 'uncompressed' : plan.compression
  await engine.run(
    `COPY (SELECT * FROM read_parquet([${paths.map(sqlText).join(', ')}], hive_partitioning = false, union_by_name = true) ORDER BY ${order})
     TO ${sqlText(path)} (${parquetOptionsSql(codec, metadata)})`,
  )
  const [row] = await engine.rows(
    `SELECT count(*), min(coalesce(exchange_ns, recv_ns, 0)), max(coalesce(exchange_ns, recv_ns, 0)) FROM read_parquet(${sqlText(path)})`,
  )
  for (const copy of copies) await rm(copy, { force: true })
  const rows = members.reduce((total, member) => total + member.part.rows, 0)
  assert(Number(row![0]) === rows, `${plan.job}: ${String(row![0])} of ${rows} rows of ${part.key} merged`)
  const { sha256, sizeBytes } = await digestOfWritten(path)
  return {
    path,
    part: {
      key: mergedPartKey(deps.venue, plan.job, partDigits(plan.job, 1, partDigitsMore), {
        table: part.table,
        productId: part.product_id,
        date: part.date,
      }),
      table: part.table,
      product_id: part.product_id,
      date: part.date,
      rows,
      size_bytes: sizeBytes,
      sha256,
      min_time_ns: String(row![1]),
      max_time_ns: String(row![2]),
    },
  }
}

/** Everything its inputs said, once. */
function mergedReceipt(
  deps: CompactDeps,
  plan: MergePlan,
  inputs: readonly Receipt[],
  parts: readonly ReceiptPart[],
): Receipt {
  const sum = (of: (receipt: Receipt) => number): number =>
    inputs.reduce((total, receipt) => total + of(receipt), 0)
  return {
    format: 1,
    job: plan.job,
    generation: 1,
    venue: deps.venue,
    software: plan.software,
    number_type: plan.number_type,
    sources: inputs.flatMap((receipt) => receipt.sources),
    parts: tableNames.flatMap((table) => parts.filter((part) => part.table === table)),
    lines: {
      total: sum(({ lines }) => lines.total),
      frames: sum(({ lines }) => lines.frames),
      events: sum(({ lines }) => lines.events),
      rejected: sum(({ lines }) => lines.rejected),
    },
    rejects_key: null,
    supersedes: plan.inputs,
    rejects: inputs.flatMap(rejectsOf),
    writer: deps.worker.writer,
    committed_ms: deps.clock.nowMs(),
  }
}

function rejectsOf(receipt: Receipt): readonly { readonly key: string; readonly lines: number }[] {
  return receipt.rejects_key === null
    ? (receipt.rejects ?? [])
    : [{ key: receipt.rejects_key, lines: receipt.lines.rejected }]
}
