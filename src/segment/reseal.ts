/** A segment from lines that stand elsewhere: copied as they are, with the seal that they make. */

import { createHash } from 'node:crypto'
import { writeAll, type Disk } from '../storage/disk.ts'
import type { Seal, SegmentHeader } from './format.ts'
import { ConnectionHistory, type OpenConnection } from './connection-history.ts'
import { SegmentScanner } from './scan.ts'

export interface Resealed {
  readonly header: SegmentHeader | null
  /** Why these bytes are no segment; null when they are one. */
  readonly problem: string | null
  readonly lines: number
  readonly lastN: number | null
  /** Connections that nothing in it closes. */
  readonly open: readonly OpenConnection[]
  readonly products: readonly string[]
  /** The seal was among the bytes: they are a whole segment as they are. */
  readonly wasSealed: boolean
}

/**
 * Writes header and lines to a new file, seals it unless the bytes end in their seal, and syncs.
 *
 * @param pieces a segment from its header on, up to the end of a line
 * @param said what the seal is to say that the lines do not
 */
export async function writeSealed(
  disk: Disk,
  path: string,
  pieces: AsyncIterable<Buffer>,
  sequenceOf: (frame: Buffer) => number,
  said: Partial<Pick<Seal, 'last_n' | 'repaired'>> = {},
): Promise<Resealed> {
  const hash = createHash('sha256')
  const history = new ConnectionHistory(sequenceOf)
  let lines = 0
  let sizeBytes = 0
  const scanner = new SegmentScanner({
    bad: () => undefined,
    line: (line) => {
      history.take(line)
      lines++
    },
  })
  const file = await disk.create(path)
  try {
    for await (const piece of pieces) {
      scanner.push(piece)
      hash.update(piece)
      sizeBytes += piece.length
      await writeAll(file, piece)
    }
    const result = scanner.end()
    const summary = history.summary()
    const seal: Seal = {
      lines,
      bytes: sizeBytes,
      sha256: hash.digest('hex'),
      first_n: result.firstN,
      last_n: result.lastN,
      first_recv_ns: result.firstRecvNs,
      last_recv_ns: result.lastRecvNs,
      connections: summary.connections.toJSON(),
      recovered: true,
      ...said,
    }
    const wasSealed = result.seal !== null
    if (!wasSealed) await writeAll(file, Buffer.from(`${JSON.stringify({ seal })}\n`))
    await file.datasync()
    const { open, products } = summary
    const noLine = lines === 0 && result.badLines > 0 ? 'none of its lines is whole' : null
    const problem = result.headerProblem ?? noLine
    return { header: result.header, problem, lines, lastN: result.lastN, open, products, wasSealed }
  } finally {
    await file.close()
  }
}
