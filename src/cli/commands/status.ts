/** `mdv status`: each stage, the recorder, what came last, what is missing today, how long the disk lasts. */

import { stat } from 'node:fs/promises'
import { formatBytes } from '../../core/bytes.ts'
import { systemCode } from '../../core/errors.ts'
import { formatRfc3339Ns, utcDate } from '../../core/time.ts'
import type { GapsToday } from '../../query/gaps-today.ts'
import {
  readSpoolStatus,
  readStatus,
  type DiskStatus,
  type SpoolStatus,
  type Status,
  type StatusReading,
  type WaitingStatus,
} from '../../query/status.ts'
import { toJson } from '../../query/json.ts'
import { openLocalStore } from '../../storage/local.ts'
import type { ObjectStore } from '../../storage/object-store.ts'
import type { OpenedStore } from '../../storage/open.ts'
import { requestsOf } from '../../storage/s3/requests.ts'
import type { Command, CommandContext, ExitCode } from '../command.ts'
import { recordingFolder, type Config } from '../config.ts'
import { openForReading } from '../open-reading.ts'
import { requestWords } from '../requests.ts'

const venue = 'coinbase'

export const command: Command = {
  name: 'status',
  summary: 'what is recorded, waiting and converted; last frames, gaps today, disk days left',
  example: 'mdv status --json',
  sections: ['storage'],

  configure(parser) {
    parser.option('--no-gaps', "skip counting today's gaps, the one part that opens Parquet")
  },

  async run(context): Promise<ExitCode> {
    const config = await context.config()
    const spool = await openSpool(config)
    const { store, status, catalog } = await readWhole(context, config, spool)
    const gaps = context.options['gaps'] === false ? null : await gapsToday()
    const requests = requestsOf(store)
    await context.output.out(
      context.json
        ? toJson({ ...status, gapsToday: gaps, requests }, 2)
        : statusText(status, gaps) + (requests === null ? '' : `requests   ${requestWords(requests)}\n`),
    )
    return 0

    async function gapsToday(): Promise<GapsToday> {
      const { countGapsToday } = await import('../../query/gaps-today.ts')
      return countGapsToday(store, catalog, utcDate(context.clock.nowNs()), context.signal)
    }
  },
}

/** @throws what opening or reading the vault throws; what waits in the spool is told before, since that is when it matters */
async function readWhole(
  context: CommandContext,
  { storage }: Config,
  spool: ObjectStore | null,
): Promise<StatusReading & { readonly store: OpenedStore }> {
  const { clock, signal } = context
  try {
    const store = await openForReading(context, storage)
    return { store, ...(await readStatus(store, spool, clock, venue, signal)) }
  } catch (error) {
    if (spool !== null && !signal.aborted) {
      const here = await readSpoolStatus(spool, clock, venue, signal)
      await context.output.out(context.json ? toJson(here, 2) : spoolText(here))
    }
    throw error
  }
}

function spoolText({ recorder, spool }: SpoolStatus): string {
  return `recorder   ${recorder.words}\nspool      ${waitingText(spool)}\n`
}

/** Where a recorder of this machine keeps what is not in the bucket yet; null where it records into the vault itself, or there is none. */
async function openSpool(config: Config): Promise<ObjectStore | null> {
  const folder = recordingFolder(config)
  if (config.storage.ingestion.backend === 'local' || !(await isFolder(folder))) return null
  return openLocalStore(folder)
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory()
  } catch (error) {
    if (systemCode(error) === undefined) throw error
    return false
  }
}

function statusText(status: Status, gaps: GapsToday | null): string {
  const lines = [
    `vault      ${status.location}`,
    `recorder   ${status.recorder.words}`,
    '',
    row(['stage', 'count', 'bytes', 'oldest', 'newest']),
    ...status.stages.map((each) =>
      row([
        each.stage,
        String(each.count),
        formatBytes(each.sizeBytes),
        ageText(each.oldestAgeMs),
        ageText(each.newestAgeMs),
      ]),
    ),
    '',
    ...lastFrameLines(status),
    `rows       ${Object.entries(status.rows)
      .map(([table, rows]) => `${table} ${rows}`)
      .join(' · ')}`,
    `lines      ${status.lines.total} converted, ${status.lines.rejected} rejected`,
    `backlog    ${waitingText(status.backlog)}`,
    ...(status.spool === null ? [] : [`spool      ${waitingText(status.spool)}`]),
    `gaps today ${gapsText(status, gaps)}`,
    ...(status.disk === null ? [] : [`disk       ${diskText(status.disk)}`]),
    ...status.problems.map((problem) => `problem    ${problem}`),
  ]
  return lines.join('\n') + '\n'
}

function row(cells: readonly string[]): string {
  return cells.map((cell, i) => (i === 0 ? cell.padEnd(11) : cell.padStart(11))).join('')
}

function lastFrameLines(status: Status): string[] {
  return status.lastFrames.map((last) => {
    const ageMs = status.nowMs - Number(last.timeNs / 1_000_000n)
    const words = last.of === 'table' ? 'in Parquet' : 'received'
    return `last       ${last.name.padEnd(14)} ${words.padEnd(10)} ${formatRfc3339Ns(last.timeNs)} (${ageText(ageMs)} ago)`
  })
}

function waitingText({ segments, sizeBytes, oldestAgeMs }: WaitingStatus): string {
  if (segments === 0) return 'none'
  return `${segments} segments, ${formatBytes(sizeBytes)}, oldest ${ageText(oldestAgeMs)} old`
}

function gapsText(status: Status, gaps: GapsToday | null): string {
  const missing = status.missingSegments === 0 ? '' : ` · ${status.missingSegments} MISSING SEGMENTS`
  if (gaps === null) return `not counted${missing}`
  const isComplete =
    status.backlog.segments === 0 &&
    status.stages.every((each) => each.stage !== 'active' || each.count === 0)
  const waiting = isComplete ? '' : ' (segments not yet converted are not in it)'
  const frames = gaps.missing === 0n ? '' : `, ${gaps.missing} frames known missing`
  return `${gaps.gaps}${frames}${waiting}${missing}`
}

function diskText({ freeBytes, bytesPerDay, daysLeft }: DiskStatus): string {
  if (bytesPerDay === null) return `${formatBytes(freeBytes)} free; too little recorded to say for how long`
  return `${formatBytes(freeBytes)} free; at ${formatBytes(bytesPerDay)} a day ${daysLeft} days`
}

/** `93000` → `1 min`. */
function ageText(ageMs: number | null): string {
  if (ageMs === null) return '-'
  const seconds = Math.max(0, Math.floor(ageMs / 1000))
  if (seconds < 60) return `${seconds} s`
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`
  if (seconds < 172_800) return `${Math.floor(seconds / 3600)} h`
  return `${Math.floor(seconds / 86_400)} d`
}
