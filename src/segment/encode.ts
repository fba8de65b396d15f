/** A batch becomes lines, in place where all its frames can stand as they came: which is always, but for faults of the venue. */

import { isUtf8 } from 'node:buffer'
import { binaryFrame, connectionBits, connectionsMax, recordFields, restText, type Batch } from './batch.ts'
import type { Chunk } from './chunk.ts'
import { ConnectionCounter } from './connection-stats.ts'
import {
  connectionBytes,
  LineEncoder,
  lineBytesMax,
  suffixBytes,
  verbatimReason,
  verbatimRest,
  writeCrc,
} from './line.ts'

const braceOpen = 0x7b
const braceClose = 0x7d
const lineFeed = 0x0a
const carriageReturn = 0x0d
const space = 0x20

/** One line of a batch, lent: valid until the next is read. */
interface Record {
  kind: number
  connection: number
  sizeBytes: number
  recvNs: bigint
  sequence: number
}

/** Reads the records of a batch in order. */
class RecordReader {
  readonly record: Record = { kind: 0, connection: 0, sizeBytes: 0, recvNs: 0n, sequence: -1 }
  readonly #batch: Batch
  #offsetNs = 0

  constructor(batch: Batch) {
    this.#batch = batch
    this.record.recvNs = batch.baseNs
  }

  read(line: number): Record {
    const { records, baseNs } = this.#batch
    const { record } = this
    const at = line * recordFields
    const kindAndConnection = records[at]!
    record.kind = kindAndConnection >>> connectionBits
    record.connection = kindAndConnection & (connectionsMax - 1)
    record.sizeBytes = records[at + 1]!
    record.sequence = records[at + 3]!
    const offsetNs = records[at + 2]!
    if (offsetNs !== this.#offsetNs) {
      this.#offsetNs = offsetNs
      record.recvNs = baseNs + BigInt(offsetNs)
    }
    return record
  }
}

/** Writes the lines of batches, whose counters go on from one to the next. About 1 µs of CPU for a line of 740 bytes. */
export class BatchEncoder {
  #nextN = 1
  #encoder = new LineEncoder(1)
  /** Where the frame or rest of each line begins. */
  #starts = new Int32Array(1024)

  encode(batch: Batch): Chunk {
    const lastN = this.#nextN + batch.lines - 1
    const names = batch.connections.map(connectionBytes)
    const counters = batch.connections.map((name) => new ConnectionCounter(name))
    const isPlain = this.#writeLines(batch, names, counters) && isPlainText(batch)
    const reasons = isPlain ? null : this.#reasons(batch)
    const bytes = reasons === null ? this.#breakLines(batch) : this.#rewrite(batch, names, reasons)
    this.#nextN = lastN + 1
    return {
      bytes,
      lines: batch.lines,
      firstN: batch.firstN,
      lastN,
      firstRecvNs: batch.baseNs,
      lastRecvNs: lastRecvNs(batch),
      connections: counters.map((counter) => counter.take()).filter((stretch) => stretch !== null),
      endsSegment: batch.endsSegment,
      // Lines in memory of their own take its place: a queue must not hold both.
      batch: reasons === null ? batch : { ...batch, bytes },
    }
  }

  /**
   * Writes all but the line breaks, each line while the processor has it at hand.
   *
   * @returns whether every frame begins and ends as a JSON object
   */
  #writeLines(batch: Batch, names: readonly Uint8Array[], counters: readonly ConnectionCounter[]): boolean {
    if (this.#starts.length < batch.lines) this.#starts = new Int32Array(batch.lines * 2)
    const { bytes } = batch
    const reader = new RecordReader(batch)
    let areObjects = true
    let from = 0
    for (let line = 0; line < batch.lines; line++) {
      const { kind, connection, sizeBytes, recvNs, sequence } = reader.read(line)
      let start: number
      if (kind === restText) start = this.#encoder.head(bytes, from, recvNs)
      else {
        start = this.#encoder.frameHead(bytes, from, recvNs, names[connection]!, sizeBytes)
        counters[connection]!.add(sequence)
        areObjects &&= kind !== binaryFrame && isBraced(bytes, start, start + sizeBytes)
      }
      this.#starts[line] = start
      const end = writeCrc(bytes, from, start + sizeBytes)
      // Known once all of the batch has been looked at: a frame with a line break of its own cannot stand.
      bytes[end] = space
      from = end + 1
    }
    if (from !== batch.used) throw new Error(`a batch of ${batch.used} bytes took ${from}`)
    return areObjects
  }

  /** Why each frame cannot stand as it came; null when all can after all, such as JSON that is no object. */
  #reasons(batch: Batch): ReturnType<typeof verbatimReason>[] | null {
    const reader = new RecordReader(batch)
    const reasons = Array.from({ length: batch.lines }, (_, line) => {
      const { kind, sizeBytes } = reader.read(line)
      if (kind === restText) return null
      const start = this.#starts[line]!
      return verbatimReason(asBuffer(batch.bytes, start, start + sizeBytes), kind === binaryFrame)
    })
    return reasons.every((reason) => reason === null) ? null : reasons
  }

  #breakLines(batch: Batch): Buffer<ArrayBuffer> {
    const { bytes, records } = batch
    for (let line = 0; line < batch.lines; line++)
      bytes[this.#starts[line]! + records[line * recordFields + 1]! + suffixBytes - 1] = lineFeed
    return asBuffer(bytes, 0, batch.used)
  }

  /** Into memory of its own, since lines of frames that cannot stand as they came are longer. */
  #rewrite(
    batch: Batch,
    names: readonly Buffer[],
    reasons: readonly ReturnType<typeof verbatimReason>[],
  ): Buffer<ArrayBuffer> {
    const encoder = new LineEncoder(this.#nextN)
    const reader = new RecordReader(batch)
    const lines = reasons.map((reason, line) => {
      const { kind, connection, sizeBytes, recvNs } = reader.read(line)
      const start = this.#starts[line]!
      const value = asBuffer(batch.bytes, start, start + sizeBytes)
      if (kind === restText) return encoder.other(recvNs, value.toString('utf8'))
      if (reason !== null)
        return encoder.other(recvNs, verbatimRest(batch.connections[connection]!, value, reason))
      const target = Buffer.allocUnsafe(lineBytesMax(names[connection]!, sizeBytes))
      return target.subarray(0, encoder.frame(target, 0, recvNs, names[connection]!, value))
    })
    // Of its own memory, not of Node's pool: only such can change threads.
    const bytes = Buffer.allocUnsafeSlow(lines.reduce((sum, line) => sum + line.length, 0))
    let at = 0
    for (const line of lines) at += line.copy(bytes, at)
    return bytes
  }
}

function isBraced(bytes: Uint8Array, from: number, until: number): boolean {
  return until - from >= 2 && bytes[from] === braceOpen && bytes[until - 1] === braceClose
}

/**
 * Whether frames that begin and end with a brace can all stand as they came: looked at in one go, since calls cost more than the
 * bytes. The envelopes around them are plain, and such a frame shares no character with its neighbour.
 */
function isPlainText(batch: Batch): boolean {
  const all = asBuffer(batch.bytes, 0, batch.used)
  return all.indexOf(lineFeed) < 0 && all.indexOf(carriageReturn) < 0 && isUtf8(all)
}

function lastRecvNs({ baseNs, lines, records }: Batch): bigint {
  return lines === 0 ? baseNs : baseNs + BigInt(records[(lines - 1) * recordFields + 2]!)
}

function asBuffer(bytes: Uint8Array<ArrayBuffer>, from: number, until: number): Buffer<ArrayBuffer> {
  return Buffer.from(bytes.buffer, bytes.byteOffset + from, until - from)
}
