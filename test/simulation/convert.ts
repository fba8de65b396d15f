/**
 * A small true conversion in place of DuckDB, whose threads' time is no function of a seed: every line of a segment goes into the part of its
 * table, product and date as it stands, or into the rejects. Lines are found by the vault's own scanner; parts end as Parquet files do.
 */

import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { utcDate, parseRfc3339Ns } from '../../src/core/time.ts'
import { sha256Hex } from '../../src/core/ids.ts'
import { shapeOfChannel } from '../../src/dataset/shape.ts'
import type { TableName } from '../../src/dataset/names.ts'
import type { Convert, ConvertedPart, ConvertedSource } from '../../src/etl/conversion.ts'
import { SegmentScanner } from '../../src/segment/scan.ts'
import type { ScannedLine } from '../../src/segment/scanned-line.ts'
import { tryEncodeProductId } from '../../src/storage/keys.ts'

interface Place {
  readonly table: TableName
  readonly productId: string | null
  readonly date: string
}

interface Gathered extends Place {
  readonly lines: Buffer[]
  minNs: bigint
  maxNs: bigint
}

/** A line as parts keep it. */
export interface KeptLine {
  readonly recorder: string
  /** latin1, without the newline. */
  readonly line: string
}

/** A segment as it was converted. */
export interface RawBytes {
  readonly recorder: string
  readonly firstN: number
  /** UTC, of its label. */
  readonly hour: string
  readonly bytes: Buffer
}

/** @param onSource gets each segment */
export function convertLines(onSource: (raw: RawBytes) => void): Convert {
  return async (sources, plan, signal) => {
    const places = new Map<string, Gathered>()
    const rejects: string[] = []
    const converted: ConvertedSource[] = []
    const counts = { total: 0, frames: 0, events: 0, rejected: 0 }
    for (const source of sources) {
      const bytes = await readFile(await source.file(signal))
      const lines: { line: Buffer; place: Place; ns: bigint }[] = []
      const scanner = new SegmentScanner({
        line: (line) => {
          counts[line.kind === 'frame' ? 'frames' : 'events']++
          lines.push(placed(line))
        },
        bad: (reason, offset, sizeBytes, bad) => {
          counts.rejected++
          rejects.push(
            JSON.stringify({ label: source.label, reason, offset, sizeBytes, line: bad?.toString('latin1') }),
          )
        },
      })
      scanner.push(bytes)
      const result = scanner.end()
      const { recorder, n: firstN } = result.header!
      onSource({ recorder, firstN, hour: source.label.slice(8, 19), bytes })
      for (const { line, place, ns } of lines) gather(places, place, ns, keptLine(recorder, line))
      counts.total += result.lines + result.badLines
      converted.push({
        key: source.key,
        label: source.label,
        recorder,
        firstN,
        lastN: result.lastN,
        firstRecvNs: result.firstRecvNs === null ? null : BigInt(result.firstRecvNs),
        lastRecvNs: result.lastRecvNs === null ? null : BigInt(result.lastRecvNs),
        fileSha256: result.fileSha256,
        sizeBytes: bytes.length,
        sealSha256: result.seal?.sha256 ?? null,
        sealProblem: result.sealProblem,
        lines: result.lines + result.badLines,
      })
    }
    const parts: ConvertedPart[] = []
    for (const [name, one] of [...places].sort(([a], [b]) => (a < b ? -1 : 1)))
      parts.push(
        await writePart(join(plan.scratchDir, `${sha256Hex(name).slice(0, 16)}.parquet`), plan.job, one),
      )
    plan.onParts(parts)
    const rejectsPath = rejects.length === 0 ? null : join(plan.scratchDir, 'rejects.ndjson')
    if (rejectsPath !== null) await writeFile(rejectsPath, rejects.map((one) => `${one}\n`).join(''))
    return { sources: converted, lines: counts, parts, rejectsPath }
  }
}

/** The lines of a part, as `convertLines` made it. */
export function linesOfPart(part: Buffer): KeptLine[] {
  const footerBytes = part.readUInt32LE(part.length - 8)
  const text = part.toString('latin1', 0, part.length - 8 - footerBytes)
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => ({ recorder: line.slice(0, 10), line: line.slice(11) }))
}

function keptLine(recorder: string, line: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${recorder} `), line, Buffer.from('\n')])
}

function placed(scanned: ScannedLine): { line: Buffer; place: Place; ns: bigint } {
  const { bytes, from, until, kind, recvFrom, recvUntil, valueFrom, valueUntil } = scanned
  const line = Buffer.from(bytes.subarray(from, until))
  const recvNs = BigInt(bytes.toString('latin1', recvFrom, recvUntil))
  const frame = kind === 'frame' ? bytes.toString('latin1', valueFrom, valueUntil) : ''
  const stamp = /"timestamp":"([^"]*)"/.exec(frame)?.[1]
  const ns = (stamp === undefined ? undefined : parseRfc3339Ns(stamp)) ?? recvNs
  const product = /"product_id":"([^"\\]*)"/.exec(frame)?.[1]
  const table = shapeOfChannel(/"channel":"(\w+)"/.exec(frame)?.[1] ?? '')?.table ?? 'other'
  const productId = product !== undefined && tryEncodeProductId(product) !== undefined ? product : null
  return {
    line,
    place: { table: productId === null ? 'other' : table, productId, date: utcDate(ns) },
    ns,
  }
}

function gather(places: Map<string, Gathered>, place: Place, ns: bigint, line: Buffer): void {
  const name = `${place.table} ${place.productId ?? ''} ${place.date}`
  const known = places.get(name)
  if (known === undefined) return void places.set(name, { ...place, lines: [line], minNs: ns, maxNs: ns })
  known.lines.push(line)
  if (ns < known.minNs) known.minNs = ns
  if (ns > known.maxNs) known.maxNs = ns
}

async function writePart(
  path: string,
  job: string,
  { lines, minNs, maxNs, ...place }: Gathered,
): Promise<ConvertedPart> {
  const footer = Buffer.from(`mdv.job ${job}`)
  const end = Buffer.alloc(8, 'PAR1', 'latin1')
  end.writeUInt32LE(footer.length, 0)
  const whole = Buffer.concat([...lines, footer, end])
  await writeFile(path, whole)
  return {
    table: place.table,
    productId: place.productId,
    date: place.date,
    path,
    rows: lines.length,
    sizeBytes: whole.length,
    sha256: sha256Hex(whole),
    minTimeNs: minNs,
    maxTimeNs: maxNs,
    slice: null,
  }
}
