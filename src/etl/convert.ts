/**
 * Sealed segments to sorted Parquet files in a scratch folder. A function of the segments' bytes and the settings: the same
 * bytes again, whatever the number of threads.
 *
 * Measured with bench/etl.ts on 100 MB, 129,277 frames, 583,612 rows, 151 files, two threads, against DuckDB touching every level2
 * value of the same file turn by turn: 0.24 of its speed. Processor time 3.1 s: scan with digests 0.4, frames to columns 0.7, order 0.1,
 * staging 0.3, writing 1.4, of which 0.5 is what 150 files cost with nothing in them. Frames on a thread of their own beside the scan
 * gained a twentieth, and were not kept.
 */

import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { assert } from '../core/assert.ts'
import { VaultError } from '../core/errors.ts'
import type { RowColumns } from '../dataset/row-columns.ts'
import { tableNames } from '../table/receipt.ts'
import { SegmentScanner, type BadReason, type ScanResult } from '../segment/scan.ts'
import type { ScannedLine } from '../segment/scanned-line.ts'
import { lastCounter } from '../segment/seal-check.ts'
import type { SegmentHeader } from '../segment/format.ts'
import type {
  Conversion,
  ConvertPlan,
  ConvertSettings,
  ConvertSource,
  ConvertedPart,
  ConvertedSource,
} from './conversion.ts'
import { mergeSlices, type PartSettings } from './convert-parts.ts'
import { Engine } from './engine.ts'
import { readAhead } from './read-ahead.ts'
import { RejectFile, type Reject } from './rejects.ts'
import { Slice, type RejectedLine } from './slice.ts'
import { writeOther } from './write-other.ts'
import { writeRows } from './write-rows.ts'

export interface ConvertOptions extends ConvertPlan, ConvertSettings {
  /** Of the whole process, megabytes; at least 512. */
  readonly memoryLimitMb: number
  readonly threads: number
}

/** Larger segments are converted in slices of about this size, so that memory and scratch space do not grow with them. */
export const sliceBytesMax = 256 * 1024 * 1024
/** Of rows in memory, which for ordinary frames come to 110 MiB a slice: frames of very many small rows, or with unknown fields, end it earlier. */
const rowBytesMax = 128 * 1024 * 1024

/**
 * @param sources of one recorder, each beginning with the counter after the last of the one before
 * @throws {VaultError} `corrupt` when a file is no segment; lines that are damaged are rejects, not errors
 */
export async function convertSegments(
  sources: readonly ConvertSource[],
  options: ConvertOptions,
  signal: AbortSignal,
): Promise<Conversion> {
  await mkdir(options.scratchDir, { recursive: true })
  // Several statements of one thread each: small ones that are shared take a sixth more processor time, and no order is lost.
  const engine = await Engine.open({ ...options, threadsEach: 1 })
  const conversion = new Converter(engine, sources, options, signal)
  try {
    return await conversion.run()
  } finally {
    conversion.close()
    await engine.close()
  }
}

/** A segment that is being read, or was. */
interface Reading {
  readonly source: ConvertSource
  readonly path: string
  readonly scanner: SegmentScanner
}

class Converter {
  readonly #engine: Engine
  readonly #sources: readonly ConvertSource[]
  readonly #options: ConvertOptions
  readonly #signal: AbortSignal
  readonly #rejects: RejectFile
  readonly #readings: Reading[] = []
  readonly #converted: ConvertedSource[] = []
  /** Parts of slices that are still to be merged. */
  readonly #pending: ConvertedPart[] = []
  readonly #parts: ConvertedPart[] = []
  /** Whole lines, and those of them that were rejected for what is in them. */
  #lines = 0
  #rejectedLines = 0
  readonly #slice: Slice
  #slices = 0
  #sliceBytes = 0
  #frames = 0
  #events = 0
  /** Lines that have rows. */
  #counted = 0

  constructor(
    engine: Engine,
    sources: readonly ConvertSource[],
    options: ConvertOptions,
    signal: AbortSignal,
  ) {
    this.#engine = engine
    this.#sources = sources
    this.#options = options
    this.#signal = signal
    this.#rejects = new RejectFile(join(options.scratchDir, 'rejects.ndjson'))
    this.#slice = new Slice(options.numberType, (line) => this.#rejectLine(line))
    this.#beginSlice()
  }

  async run(): Promise<Conversion> {
    for (const [i, source] of this.#sources.entries()) {
      const converted = await this.#read(source)
      this.#converted.push(converted)
      // A segment that is not what was sealed may hold counters of the next one: they must not meet in one slice.
      const isWhole = converted.sealProblem === null
      if (!isWhole && i + 1 < this.#sources.length) await this.#finishSlice(false)
    }
    await this.#finishSlice(true)
    await this.#mergePending()
    return this.#conversion()
  }

  close(): void {
    this.#slice.close()
    this.#rejects.close()
  }

  async #read(source: ConvertSource): Promise<ConvertedSource> {
    const reading = this.#begin(source, await source.file(this.#signal))
    for await (const piece of readAhead(reading.path)) {
      this.#signal.throwIfAborted()
      reading.scanner.push(piece)
      const isFull = this.#sliceBytes >= sliceBytesMax || this.#slice.sizeBytes >= rowBytesMax
      if (isFull) await this.#finishSlice(false)
    }
    const scan = reading.scanner.end()
    this.#refuse(source, scan)
    this.#lines += scan.lines
    return convertedSource(reading, scan)
  }

  #begin(source: ConvertSource, path: string): Reading {
    const reading: Reading = {
      source,
      path,
      scanner: new SegmentScanner({
        line: (line) => this.#take(line),
        bad: (reason, offset, sizeBytes) =>
          this.#reject(reading, { n: null, offset, sizeBytes, reason, detail: badDetails[reason] }),
      }),
    }
    this.#readings.push(reading)
    return reading
  }

  /** @throws {VaultError} before anything of a file that is no segment of ours is believed */
  #refuse(source: ConvertSource, scan: ScanResult): void {
    if (scan.header === null)
      throw new VaultError('corrupt', `segment ${source.key}: ${scan.headerProblem}`, {
        remedy: 'move it out of the vault, or take it in with "mdv adopt"',
      })
    const before = this.#converted.at(-1)
    if (before === undefined) return
    if (scan.header.recorder !== before.recorder || scan.header.n <= before.firstN)
      throw new VaultError('corrupt', `segment ${source.key}: does not follow ${before.key}`, {
        remedy: 'was it replaced while it was read? the next run looks again',
      })
  }

  #take(line: ScannedLine): void {
    if (line.kind === 'frame') this.#frames++
    else this.#events++
    this.#sliceBytes += line.until - line.from
    this.#slice.add(line)
  }

  #beginSlice(): void {
    this.#slices++
    this.#sliceBytes = 0
    this.#slice.begin(join(this.#options.scratchDir, `other_${this.#slices}.ndjson`))
  }

  #rejectLine(line: RejectedLine): void {
    if (line.kind === 'frame') this.#frames--
    else this.#events--
    this.#rejectedLines++
    this.#reject(this.#readings.at(-1)!, line)
  }

  #reject(reading: Reading, reject: Omit<Reject, 'recorder'>): void {
    const { n, offset, sizeBytes, reason, detail } = reject
    const { key, label } = reading.source
    const { recorder } = headerOf(reading.scanner)
    this.#rejects.add({ recorder, n, offset, sizeBytes, reason, detail }, { key, label, path: reading.path })
  }

  /** Slices of one segment stay; those of several become one part of each partition: small files are what readers and buckets pay for. */
  get #isMerged(): boolean {
    return this.#sources.length > 1
  }

  async #finishSlice(isLast: boolean): Promise<void> {
    const content = this.#slice.finish()
    const dir = join(this.#options.scratchDir, `slice_${this.#slices}`)
    await mkdir(dir)
    const isOnly = isLast && this.#slices === 1
    const settings = this.#settings(dir, isOnly || this.#isMerged ? null : this.#slices)
    const take = (parts: readonly ConvertedPart[]): void => {
      if (this.#isMerged && !isOnly) this.#pending.push(...parts)
      else this.#handOver(parts)
    }
    await this.#writeRows(content.tables, settings, take)
    if (content.other !== null) {
      const { parts, lines } = await writeOther(this.#engine, content.other, settings, this.#signal)
      this.#counted += lines
      take(parts)
    }
    if (!isLast) this.#beginSlice()
  }

  async #writeRows(
    tables: readonly RowColumns[],
    settings: PartSettings,
    take: (parts: readonly ConvertedPart[]) => void,
  ): Promise<void> {
    const parts = await writeRows(this.#engine, tables, settings, take, this.#signal)
    const rows = tables.reduce((sum, table) => sum + table.rows, 0)
    const written = parts.reduce((sum, part) => sum + part.rows, 0)
    assert(written === rows, `all rows of a slice are written: ${written} of ${rows}`)
    this.#counted += tables.reduce((sum, table) => sum + table.frames, 0)
  }

  async #mergePending(): Promise<void> {
    if (this.#pending.length === 0) return
    const dir = join(this.#options.scratchDir, 'merged')
    await mkdir(dir)
    for (const table of tableNames) {
      const slices = this.#pending.filter((part) => part.table === table)
      this.#handOver(await mergeSlices(this.#engine, table, slices, this.#settings(dir, null), this.#signal))
    }
  }

  #handOver(parts: readonly ConvertedPart[]): void {
    this.#parts.push(...parts)
    this.#options.onParts(parts)
  }

  #settings(dir: string, slice: number | null): PartSettings {
    const { venue, job, planGeneration, software, numberType, compression } = this.#options
    const { recorder, n } = headerOf(this.#readings[0]!.scanner)
    const metadata = {
      mdv_job: job,
      mdv_generation: String(planGeneration),
      mdv_software: software,
      mdv_venue: venue,
      mdv_recorder: recorder,
      mdv_first_n: String(n),
      ...(slice === null ? {} : { mdv_slice: String(slice) }),
    }
    const codec = compression === 'none' ? 'uncompressed' : compression
    return { dir, venue, recorder, numberType, compression: codec, metadata, slice }
  }

  #conversion(): Conversion {
    const rejected = this.#rejects.count
    assert(
      this.#counted === this.#frames + this.#events && this.#lines === this.#counted + this.#rejectedLines,
      `lines are in rows or rejects: ${this.#counted} of ${this.#lines} with ${this.#rejectedLines} rejected`,
    )
    return {
      sources: this.#converted,
      lines: {
        total: this.#frames + this.#events + rejected,
        frames: this.#frames,
        events: this.#events,
        rejected,
      },
      parts: this.#parts.toSorted(compareParts),
      rejectsPath: this.#rejects.path,
    }
  }
}

/** Whichever was finished first. */
function compareParts(a: ConvertedPart, b: ConvertedPart): number {
  const byTable = tableNames.indexOf(a.table) - tableNames.indexOf(b.table)
  const byName = (one: string, other: string): number => (one < other ? -1 : one > other ? 1 : 0)
  return (
    byTable ||
    byName(a.productId ?? '', b.productId ?? '') ||
    byName(a.date, b.date) ||
    (a.slice ?? 0) - (b.slice ?? 0)
  )
}

function headerOf(scanner: SegmentScanner): SegmentHeader {
  const { header } = scanner
  assert(header !== null, 'lines follow a header')
  return header
}

function convertedSource({ source, scanner }: Reading, scan: ScanResult): ConvertedSource {
  const { recorder, n } = headerOf(scanner)
  return {
    key: source.key,
    label: source.label,
    recorder,
    firstN: n,
    lastN: lastCounter(scan),
    firstRecvNs: scan.firstRecvNs === null ? null : BigInt(scan.firstRecvNs),
    lastRecvNs: scan.lastRecvNs === null ? null : BigInt(scan.lastRecvNs),
    fileSha256: scan.fileSha256,
    sizeBytes: scan.sizeBytes,
    sealSha256: scan.seal === null || scan.seal.repaired === true ? null : scan.seal.sha256,
    sealProblem: scan.sealProblem ?? countProblem(scan),
    lines: scan.lines + scan.badLines,
  }
}

function countProblem({ seal, lines, badLines }: ScanResult): string | null {
  if (seal === null || badLines > 0 || seal.lines === lines) return null
  return `the seal says ${seal.lines} lines, there are ${lines}`
}

const badDetails: Readonly<Record<BadReason, string>> = {
  torn: 'the segment ends inside this line',
  shape: 'not the envelope of a line',
  crc: 'its bytes changed since they were written',
  cut: 'its length does not lead to its end',
  counter: 'its counter is not the next one',
  too_long: 'longer than any line a recorder writes',
  after_seal: 'stands after the seal',
}
