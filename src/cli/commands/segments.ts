/** `mdv segments ls | show | recover | repair`: raw segments, where they are, what is in them, and what to do with damaged ones. */

import { createReadStream } from 'node:fs'
import { rm, stat } from 'node:fs/promises'
import { formatBytes } from '../../core/bytes.ts'
import { systemCode, VaultError } from '../../core/errors.ts'
import { formatRfc3339Ns } from '../../core/time.ts'
import type { Repair } from '../../etl/repair.ts'
import { openWorkerScratch } from '../../etl/sweep.ts'
import { readCatalog } from '../../query/catalog.ts'
import { toJson } from '../../query/json.ts'
import { reportSegment, type SegmentReport } from '../../query/segment-report.ts'
import { readSegmentBytes, segmentFacts, type SegmentEntry } from '../../query/segments.ts'
import type { RecoveredSegment } from '../../segment/recovery.ts'
import { realDisk } from '../../storage/disk.ts'
import { openLocalStore } from '../../storage/local.ts'
import type { ObjectStore } from '../../storage/object-store.ts'
import { coinbase } from '../../venue/coinbase.ts'
import { sequenceNumbers } from '../../venue/sequence.ts'
import type { Command, CommandContext, ExitCode } from '../command.ts'
import { recordingFolder, type Config, type StorageConfig } from '../config.ts'
import { openVault, refuseMissing } from '../open-vault.ts'
import { leftToNewer } from '../rescue.ts'
import { openForReading } from '../open-reading.ts'
import { software } from '../version.ts'
import { makeWorker } from '../worker.ts'

const venue = coinbase.name

export const command: Command = {
  name: 'segments',
  summary: 'list raw segments, look into one, recover what a dead recorder left, repair damaged ones',
  example: 'mdv segments show segment_20251203T14_00001',
  sections: ['storage'],

  configure(parser) {
    parser
      .argument('<what>', 'ls, show, recover or repair')
      .argument(
        '[label]',
        'for show: a label, a key or the path of any segment file; for repair: a label or key, else all of raw/ready',
      )
      .option(
        '--wait',
        'for recover: watch a lease for its whole length where its owner cannot be proved dead',
      )
      .option('--dry-run', 'for repair: say what would be done')
      .option('--state <state>', 'for ls: active, ready, processing, converted, archived or foreign')
      .addHelpText(
        'after',
        '\nrepair copies a damaged file whole to raw/rejected, seals what is good of it anew under a free label, and then takes the damaged\n' +
          'file away. Bad lines between good ones stay in it, and are rejected with their reason when it is converted. Of a segment whose rows are\n' +
          'committed nothing is sealed: it is only put aside. Ends with 6 when a damaged file had to be left.\n' +
          '\n  mdv segments repair --dry-run',
      )
  },

  async run(context): Promise<ExitCode> {
    const config = await context.config()
    const what = context.args[0] ?? ''
    if (what === 'ls') return list(context, await openForReading(context, config.storage))
    if (what === 'show') return show(context, config.storage)
    if (what === 'recover') return recover(context, config)
    if (what === 'repair') return repair(context, config)
    throw new VaultError('usage', `mdv segments ${what}: no such command`, {
      remedy: 'one of ls, show, recover, repair',
    })
  },
}

async function list(context: CommandContext, store: ObjectStore): Promise<ExitCode> {
  const { segments } = await readCatalog(store, venue, context.signal)
  const state = context.options['state']
  const wanted = segments.filter((entry) => state === undefined || entry.state === state)
  const text = context.json
    ? wanted.map((entry) => JSON.stringify(entryJson(entry)) + '\n').join('')
    : wanted.map(entryText).join('')
  await context.output.out(text)
  if (!context.json) context.output.err(`${wanted.length} segments\n`)
  return 0
}

function entryJson(entry: SegmentEntry): Record<string, unknown> {
  const { recorder, firstN, lastN, lines, firstRecvNs, lastRecvNs } = segmentFacts(entry)
  return {
    label: entry.label,
    state: entry.state,
    raw_key: entry.rawKey,
    size_bytes: entry.sizeBytes,
    recorder,
    first_n: firstN,
    last_n: lastN,
    lines,
    first_recv_ns: firstRecvNs?.toString() ?? null,
    last_recv_ns: lastRecvNs?.toString() ?? null,
    job: entry.receipt?.job ?? null,
    problem: entry.problem,
  }
}

function entryText(entry: SegmentEntry): string {
  const { recorder, firstN, lastN, firstRecvNs } = segmentFacts(entry)
  const cells = [
    entry.label.padEnd(26),
    entry.state.padEnd(10),
    formatBytes(entry.sizeBytes).padStart(9),
    (recorder ?? '-').padEnd(10),
    `${firstN ?? '-'}..${lastN ?? ''}`.padEnd(20),
    firstRecvNs === null ? '' : formatRfc3339Ns(firstRecvNs),
    entry.problem ?? '',
  ]
  return cells.join('  ').trimEnd() + '\n'
}

async function show(context: CommandContext, storage: StorageConfig): Promise<ExitCode> {
  const wanted = context.args[1]
  if (wanted === undefined)
    throw new VaultError('usage', 'mdv segments show: which one?', {
      remedy: '"mdv segments ls" lists their labels',
    })
  const { path, bytes, sizeBytes } = (await isFile(wanted))
    ? {
        path: wanted,
        sizeBytes: (await stat(wanted)).size,
        bytes: createReadStream(wanted, { highWaterMark: 1024 * 1024 }) as AsyncIterable<Buffer>,
      }
    : await inVault(context, await openForReading(context, storage), wanted)
  const report = await reportSegment(path, bytes, sizeBytes, context.signal)
  await context.output.out(context.json ? toJson(report, 2) : reportText(path, report))
  const { badLines, headerProblem, sealProblem } = report.scan
  return badLines > 0 || headerProblem !== null || sealProblem !== null ? 6 : 0
}

async function isFile(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile()
  } catch (error) {
    if (systemCode(error) === undefined) throw error
    return false
  }
}

async function inVault(
  context: CommandContext,
  store: ObjectStore,
  wanted: string,
): Promise<{ readonly path: string; readonly sizeBytes: number; readonly bytes: AsyncIterable<Buffer> }> {
  const { segments } = await readCatalog(store, venue, context.signal)
  const entry = segments.find((each) => each.label === wanted || each.rawKey === wanted)
  if (entry === undefined)
    throw new VaultError('usage', `${wanted}: no such segment`, { remedy: '"mdv segments ls" lists them' })
  if (entry.rawKey === null)
    throw new VaultError(
      'usage',
      `${wanted}: its raw bytes were deleted after conversion (job ${entry.receipt?.job})`,
      {
        remedy: `mdv query "SELECT * FROM segments WHERE label = '${wanted}'"`,
      },
    )
  const path = store.fileOf(entry.rawKey) ?? `${store.location}/${entry.rawKey}`
  return {
    path,
    sizeBytes: entry.sizeBytes,
    bytes: readSegmentBytes(store, entry.rawKey, context.signal),
  }
}

async function recover(context: CommandContext, config: Config): Promise<ExitCode> {
  await refuseMissing(config.storage.ingestion)
  const store = await openLocalStore(recordingFolder(config))
  const { recoverDead } = await import('../../query/recover.ts')
  const options = { isPatient: context.options['wait'] === true, sequenceOf: sequenceNumbers(coinbase) }
  const recovered = await recoverDead(store, context.clock, coinbase.name, options, context.signal)
  await context.output.out(context.json ? toJson(recovered, 2) : recovered.map(recoveredText).join(''))
  if (!context.json)
    context.output.err(`${recovered.filter(({ isNewer }) => !isNewer).length} segments recovered\n`)
  if (config.storage.raw.backend === 's3') await recoverInBucket(context, config)
  return recovered.some(({ isNewer }) => isNewer) ? 7 : 0
}

async function repair(context: CommandContext, config: Config): Promise<ExitCode> {
  const { args, clock, options, output, signal } = context
  const { repairRaw } = await import('../../etl/repair.ts')
  const store = await openVault(context, config.storage, 'write')
  const worker = await makeWorker()
  const scratchDir = await openWorkerScratch(store, worker)
  const sequenceOf = sequenceNumbers(coinbase)
  const deps = { store, clock, venue, worker, scratchDir, disk: realDisk, sequenceOf, software }
  const names = args.slice(1)
  const isDryRun = options['dryRun'] === true
  try {
    const repairs = await repairRaw(deps, { names, isDryRun }, signal)
    if (repairs.length === 0 && names.length > 0)
      throw new VaultError('usage', `${names[0]}: no such segment in raw/ready or raw/archive`, {
        remedy: '"mdv segments ls" lists them',
      })
    await output.out(
      context.json ? toJson(repairs, 2) : repairs.map((one) => repairText(one, isDryRun)).join(''),
    )
    return exitCodeOf(repairs)
  } finally {
    await rm(scratchDir, { recursive: true, force: true })
  }
}

function exitCodeOf(repairs: readonly Repair[]): ExitCode {
  if (repairs.some(({ kind }) => kind === 'left')) return 6
  return repairs.some(({ kind }) => kind === 'held') ? 8 : 0
}

function repairText(one: Repair, isDryRun: boolean): string {
  const { key, kind, problem, remedy, keptAs, label, goodLines } = one
  const would = isDryRun ? 'would be ' : ''
  const kept = keptAs === null ? '' : ` as ${keptAs}`
  switch (kind) {
    case 'whole':
      return ''
    case 'resealed':
      return `${key}: ${problem}; ${would}put aside${kept}, ${goodLines} good lines ${would}sealed anew${label === null ? '' : ` as ${label}`} · ${remedy}\n`
    case 'put_aside':
      return `${key}: ${problem}; ${would}put aside${kept}${remedy === 'nothing' ? '' : ` · ${remedy}`}\n`
    case 'left':
    case 'foreign':
      return `${key}: ${problem}; left alone · ${remedy}\n`
    case 'held':
      return `${key}: ${problem}; not touched · ${remedy}\n`
  }
}

/** What recorders of other machines left there. */
async function recoverInBucket(context: CommandContext, config: Config): Promise<void> {
  const { rescueNow, rescuedText } = await import('../rescue.ts')
  const store = await openVault(context, config.storage, 'write')
  const { rescued, troubles } = await rescueNow(store, context)
  for (const one of rescued) await context.output.out(context.json ? toJson(one, 0) : `${rescuedText(one)}\n`)
  const [trouble] = troubles
  if (trouble !== undefined) throw trouble
}

function recoveredText(segment: RecoveredSegment): string {
  const { label, publishedAs, lines, cutBytes, badLines, isNewer } = segment
  if (isNewer) return `${label}: ${leftToNewer}\n`
  const what =
    publishedAs === null ? 'held nothing that is not elsewhere' : `${lines} lines, sealed as ${publishedAs}`
  const cut = cutBytes === 0 ? '' : `, ${cutBytes} bytes of a torn end in raw/rejected`
  return `${label}: ${what}${cut}${badLines === 0 ? '' : `, ${badLines} bad lines kept in it`}\n`
}

function reportText(path: string, report: SegmentReport): string {
  const { scan, frames, verbatimFrames, events, unknown, connections, gaps, bad } = report
  const header = scan.header
  const lines = [
    path,
    header === null
      ? `header      ${scan.headerProblem}`
      : `header      recorder ${header.recorder}, lines from ${header.n}, ${header.url}, by ${header.software}`,
    `lines       ${scan.lines} good (${scan.firstN ?? '-'}..${scan.lastN ?? '-'}), ${scan.badLines} bad, ${formatBytes(scan.sizeBytes)}`,
    `received    ${instant(scan.firstRecvNs)} to ${instant(scan.lastRecvNs)}`,
    `frames      ${frames}${verbatimFrames === 0 ? '' : `, ${verbatimFrames} of them as text or base64`}`,
    ...Object.entries(events).map(([name, count]) => `event       ${name} ${count}`),
    ...(unknown === 0 ? [] : [`unknown     ${unknown} lines of a newer kind`]),
    ...connections.map(
      (each) => `connection  ${each.conn}: ${each.frames} frames, ${formatBytes(each.sizeBytes)}`,
    ),
    ...gaps.map(
      ({ n, conn, gap }) =>
        `gap         line ${n} ${conn ?? ''}: ${gap.cause}, after ${gap.after_seq ?? 'the start'} before ${gap.before_seq ?? '…'}, ${gap.missing ?? '?'} missing`,
    ),
    ...bad.map((each) => `bad         ${each.reason}: ${each.sizeBytes} bytes at ${each.offset}`),
    `seal        ${sealText(report)}`,
  ]
  return lines.join('\n') + '\n'
}

function sealText({ scan }: SegmentReport): string {
  if (scan.seal === null) return 'none: the segment is growing, or its end is missing'
  return (
    scan.sealProblem ??
    `holds: sha256 ${scan.seal.sha256}${scan.seal.recovered === true ? ', sealed after a crash' : ''}`
  )
}

function instant(epochNs: string | null): string {
  return epochNs === null ? '-' : formatRfc3339Ns(BigInt(epochNs))
}
