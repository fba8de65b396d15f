/** One segment read whole: what is in it, line by kind, connection by connection, and whether its seal holds. */

import { SegmentScanner, type ScanResult } from '../segment/scan.ts'
import type { ScannedLine } from '../segment/scanned-line.ts'
import type { Gap } from '../segment/format.ts'
import { unpacked, unpackedBytesMax } from '../storage/unpack.ts'

export interface SegmentReport {
  readonly scan: ScanResult
  readonly frames: number
  /** Frames that did not come as one line of UTF-8. */
  readonly verbatimFrames: number
  /** Events by name. */
  readonly events: Readonly<Record<string, number>>
  /** Lines of a kind this version does not know. */
  readonly unknown: number
  readonly connections: readonly {
    readonly conn: string
    readonly frames: number
    readonly sizeBytes: number
  }[]
  readonly gaps: readonly { readonly n: number; readonly conn: string | null; readonly gap: Gap }[]
  readonly bad: readonly { readonly reason: string; readonly offset: number; readonly sizeBytes: number }[]
}

/** Bad lines beyond this are counted and not listed. */
const badMax = 1000

/**
 * @param name of the file or key: its ending says how it is packed
 * @param sizeBytes of `bytes` as they lie there
 */
export async function reportSegment(
  name: string,
  bytes: AsyncIterable<Buffer>,
  sizeBytes: number,
  signal: AbortSignal,
): Promise<SegmentReport> {
  const reader = new Reader()
  const scanner = new SegmentScanner(reader)
  for await (const chunk of unpacked(name, bytes, unpackedBytesMax(sizeBytes), signal)) {
    signal.throwIfAborted()
    scanner.push(chunk)
  }
  return reader.report(scanner.end())
}

class Reader {
  #frames = 0
  #verbatimFrames = 0
  #unknown = 0
  readonly #events: Record<string, number> = {}
  readonly #connections = new Map<string, { frames: number; sizeBytes: number }>()
  readonly #gaps: { n: number; conn: string | null; gap: Gap }[] = []
  readonly #bad: { reason: string; offset: number; sizeBytes: number }[] = []

  line(line: ScannedLine): void {
    if (line.kind === 'unknown') this.#unknown++
    else if (line.kind === 'event') this.#event(line)
    else this.#frame(line)
  }

  bad(reason: string, offset: number, sizeBytes: number): void {
    if (this.#bad.length < badMax) this.#bad.push({ reason, offset, sizeBytes })
  }

  report(scan: ScanResult): SegmentReport {
    return {
      scan,
      frames: this.#frames,
      verbatimFrames: this.#verbatimFrames,
      events: this.#events,
      unknown: this.#unknown,
      connections: [...this.#connections].map(([conn, counts]) => ({ conn, ...counts })),
      gaps: this.#gaps,
      bad: this.#bad,
    }
  }

  #frame(line: ScannedLine): void {
    this.#frames++
    if (line.form !== 'msg') this.#verbatimFrames++
    const conn = connOf(line) ?? ''
    const counts = this.#connections.get(conn) ?? { frames: 0, sizeBytes: 0 }
    this.#connections.set(conn, counts)
    counts.frames++
    counts.sizeBytes += line.valueUntil - line.valueFrom
  }

  #event(line: ScannedLine): void {
    const event = JSON.parse(line.bytes.toString('utf8', line.valueFrom, line.valueUntil)) as {
      readonly gap?: Gap
    }
    const name = Object.keys(event)[0] ?? ''
    this.#events[name] = (this.#events[name] ?? 0) + 1
    if (event.gap !== undefined) this.#gaps.push({ n: line.n, conn: connOf(line), gap: event.gap })
  }
}

function connOf(line: ScannedLine): string | null {
  return line.connFrom === line.connUntil
    ? null
    : line.bytes.toString('latin1', line.connFrom, line.connUntil)
}
