/**
 * One sealed segment to sorted Parquet files in a scratch folder. A function of the segment's bytes and the settings: the same
 * bytes again, whatever the number of threads.
 *
 * Measured with bench/etl.ts on 100 MB, 129,277 frames, 583,612 rows, 151 files, two threads of a busy machine, against DuckDB touching
 * every level2 value of the same file turn by turn: 0.14 of its speed. Processor time 6.2 s: loading with checks and exact
 * decimals 1.6, scan with digests and routing 1.2, sorting 0.6, writing 1.8, the rest is two threads in each other's way. One COPY of
 * all products takes 0.6 of the processor time of a COPY for each; LIMIT/OFFSET, a filter by product, and ranges of rows that were
 * never sorted take more than ranges of rowid.
 */

import { mkdir, open } from 'node:fs/promises'
import { join } from 'node:path'
import { assert } from '../core/assert.ts'
import { VaultError } from '../core/errors.ts'
import type { TableName } from '../dataset/names.ts'
import { sortedOtherSql } from '../dataset/other-sql.ts'
import { sortedRowsSql } from '../dataset/rows-sql.ts'
import { tableNames } from '../table/receipt.ts'
import { SegmentScanner, type BadReason, type ScanResult, type ScannedLine } from '../segment/scan.ts'
import type { SegmentHeader } from '../segment/format.ts'
import type { Conversion, ConvertPlan, ConvertSettings, ConvertSource, ConvertedPart } from './conversion.ts'
import { writeParts, type PartSettings } from './convert-parts.ts'
import { Engine } from './engine.ts'
import { RejectFile } from './rejects.ts'
import { Slice, type RejectedLine } from './slice.ts'

export interface ConvertOptions extends ConvertPlan, ConvertSettings {
  /** Of the whole process, megabytes; at least 512. */
  readonly memoryLimitMb: number
  readonly threads: number
}

/** Larger segments are converted in slices of about this size, so that memory and scratch space do not grow with them. */
export const sliceBytesMax = 256 * 1024 * 1024
const readBytes = 4 * 1024 * 1024

/**
 * @throws {VaultError} `corrupt` when the file is no segment; lines that are damaged are rejects, not errors
 */
export async function convertSegment(
  source: ConvertSource,
  options: ConvertOptions,
  signal: AbortSignal,
): Promise<Conversion> {
  await mkdir(options.scratchDir, { recursive: true })
  const engine = await Engine.open(options)
  const conversion = new Converter(engine, source, options, signal)
  try {
    return await conversion.run()
  } finally {
    conversion.close()
    engine.close()
  }
}

class Converter {
  readonly #engine: Engine
  readonly #source: ConvertSource
  readonly #options: ConvertOptions
  readonly #signal: AbortSignal
  readonly #rejects: RejectFile
  readonly #scanner: SegmentScanner
  readonly #parts: ConvertedPart[] = []
  /** Whole lines that were rejected for what is in them. */
  #rejectedLines = 0
  #slice: Slice
  #slices = 1
  #frames = 0
  #events = 0
  /** Distinct counters found in the tables. */
  #converted = 0

  constructor(engine: Engine, source: ConvertSource, options: ConvertOptions, signal: AbortSignal) {
    this.#engine = engine
    this.#source = source
    this.#options = options
    this.#signal = signal
    this.#rejects = new RejectFile(join(options.scratchDir, 'rejects.ndjson'), source)
    this.#scanner = new SegmentScanner({
      line: (line) => this.#take(line),
      bad: (reason, offset, sizeBytes) =>
        this.#rejects.add({
          recorder: this.#header.recorder,
          n: null,
          offset,
          sizeBytes,
          reason,
          detail: badDetails[reason],
        }),
    })
    this.#slice = this.#newSlice()
  }

  async run(): Promise<Conversion> {
    const file = await open(this.#source.path, 'r')
    try {
      // Bytes are looked at while a chunk is pushed and copied where they are kept, so one buffer serves for all.
      const buffer = Buffer.allocUnsafe(readBytes)
      for (;;) {
        this.#signal.throwIfAborted()
        const { bytesRead } = await file.read(buffer, 0, readBytes, null)
        if (bytesRead === 0) break
        this.#scanner.push(buffer.subarray(0, bytesRead))
        await this.#slice.keepPace()
        if (this.#slice.sizeBytes >= sliceBytesMax) await this.#finishSlice(false)
      }
    } finally {
      await file.close()
    }
    const scan = this.#scanner.end()
    this.#refuse(scan)
    await this.#finishSlice(true)
    return this.#conversion(scan)
  }

  close(): void {
    this.#rejects.close()
  }

  get #header(): SegmentHeader {
    const header = this.#scanner.header
    assert(header !== null, 'lines follow a header')
    return header
  }

  #take(line: ScannedLine): void {
    if (line.kind === 'frame') this.#frames++
    else this.#events++
    this.#slice.add(line)
  }

  #newSlice(): Slice {
    return new Slice(this.#engine, this.#options.scratchDir, this.#options.numberType, (line) =>
      this.#rejectLine(line),
    )
  }

  #rejectLine(line: RejectedLine): void {
    if (line.kind === 'frame') this.#frames--
    else this.#events--
    this.#rejectedLines++
    const { n, offset, sizeBytes, reason, detail } = line
    this.#rejects.add({ recorder: this.#header.recorder, n, offset, sizeBytes, reason, detail })
  }

  async #finishSlice(isLast: boolean): Promise<void> {
    await this.#slice.finish()
    await mkdir(join(this.#options.scratchDir, `slice_${this.#slices}`))
    for (const table of tableNames) {
      if (this.#slice.tables.includes(table)) this.#parts.push(...(await this.#writeTable(table, isLast)))
    }
    this.#slices++
    this.#slice = this.#newSlice()
  }

  async #writeTable(table: TableName, isLast: boolean): Promise<ConvertedPart[]> {
    this.#signal.throwIfAborted()
    const { numberType } = this.#options
    await this.#engine.run(
      table === 'other' ? sortedOtherSql : sortedRowsSql(table, numberType, this.#slice.isPartial(table)),
    )
    await this.#engine.run(`DROP TABLE ${table}_rows`)
    const [counts] = await this.#engine.rows(`SELECT count(DISTINCT n) FROM ${table}_sorted`)
    this.#converted += Number(counts![0])
    const parts = await writeParts(
      this.#engine,
      table,
      `${table}_sorted`,
      this.#settings(isLast),
      this.#signal,
    )
    await this.#engine.run(`DROP TABLE ${table}_sorted`)
    return parts
  }

  #settings(isLast: boolean): PartSettings {
    const { scratchDir, venue, job, planGeneration, software, numberType, compression } = this.#options
    const { recorder, n } = this.#header
    const slice = this.#slices
    const metadata = {
      mdv_job: job,
      mdv_generation: String(planGeneration),
      mdv_software: software,
      mdv_venue: venue,
      mdv_recorder: recorder,
      mdv_first_n: String(n),
      ...(slice > 1 || !isLast ? { mdv_slice: String(slice) } : {}),
    }
    const dir = join(scratchDir, `slice_${slice}`)
    const codec = compression === 'none' ? 'uncompressed' : compression
    return { dir, venue, recorder, numberType, compression: codec, metadata }
  }

  /** @throws {VaultError} before anything of a file that is no segment of ours is believed */
  #refuse(scan: ScanResult): void {
    if (scan.header === null)
      throw new VaultError('corrupt', `segment ${this.#source.key}: ${scan.headerProblem}`, {
        remedy: 'move it out of the vault, or take it in with "mdv adopt"',
      })
  }

  #conversion(scan: ScanResult): Conversion {
    const total = this.#frames + this.#events + this.#rejects.count
    assert(
      this.#converted === this.#frames + this.#events && scan.lines === this.#converted + this.#rejectedLines,
      `lines are in rows or rejects: ${this.#converted} of ${scan.lines} with ${this.#rejectedLines} rejected`,
    )
    return {
      recorder: this.#header.recorder,
      firstN: this.#header.n,
      lastN: lastCounter(scan),
      firstRecvNs: scan.firstRecvNs === null ? null : BigInt(scan.firstRecvNs),
      lastRecvNs: scan.lastRecvNs === null ? null : BigInt(scan.lastRecvNs),
      fileSha256: scan.fileSha256,
      sizeBytes: scan.sizeBytes,
      sealSha256: scan.seal?.sha256 ?? null,
      sealProblem: scan.sealProblem ?? countProblem(scan),
      lines: { total, frames: this.#frames, events: this.#events, rejected: this.#rejects.count },
      parts: this.#parts,
      rejectsPath: this.#rejects.path,
    }
  }
}

/**
 * The counter of the last line, damaged or not: where the last lines are bad, the seal still tells how far the segment went,
 * and without it the segment after this one would seem to follow a hole.
 */
function lastCounter(scan: ScanResult): number | null {
  const sealed = scan.seal?.last_n ?? null
  const seen = scan.lastN ?? scan.header!.n - 1
  return sealed !== null && sealed > seen && sealed - seen <= scan.badLines ? sealed : scan.lastN
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
