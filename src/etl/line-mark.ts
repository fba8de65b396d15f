/** What a line says of its frame, read once and used for each way to rows. */

import { isUtf8 } from 'node:buffer'
import { startsWith } from '../core/starts-with.ts'
import { readCount } from '../dataset/int64.ts'
import type { FrameMark } from '../dataset/row-columns.ts'
import type { ScannedLine } from '../segment/scanned-line.ts'

/** The object is used again for the next line. */
export class LineMark implements FrameMark {
  n = 0
  readonly recvNs = new Uint32Array(2)
  conn: string | null = null
  /** The connection's name as it stands in the line it was read from. */
  #connBytes = Buffer.alloc(0)

  /** @returns whether all of it can be read */
  set(line: ScannedLine): boolean {
    this.n = line.n
    return this.#setRecv(line) && this.#setConn(line)
  }

  recvText(): bigint {
    return new BigInt64Array(this.recvNs.buffer)[0]!
  }

  #setRecv({ bytes, recvFrom, recvUntil }: ScannedLine): boolean {
    if (readCount(bytes, recvFrom, this.recvNs, 0) === recvUntil) return true
    const text = bytes.toString('latin1', recvFrom, recvUntil)
    if (!/^-?\d+$/.test(text)) return false
    const ns = BigInt(text)
    if (BigInt.asIntN(64, ns) !== ns) return false
    new BigInt64Array(this.recvNs.buffer)[0] = ns
    return true
  }

  #setConn({ bytes, connFrom, connUntil }: ScannedLine): boolean {
    if (connFrom === connUntil) {
      this.conn = null
      return true
    }
    const last = this.#connBytes
    const isLast = connUntil - connFrom === last.length && startsWith(bytes, connFrom, last)
    if (this.conn !== null && isLast) return true
    const conn = jsonString(bytes.subarray(connFrom - 1, connUntil + 1))
    // DuckDB's own texts may hold a NUL, the SQL that names one may not.
    if (conn === undefined || conn.includes('\0')) return false
    this.#connBytes = Buffer.from(bytes.subarray(connFrom, connUntil))
    this.conn = conn
    return true
  }
}

/** The characters of a JSON string that UTF-8 can hold. */
export function jsonString(bytes: Buffer): string | undefined {
  if (!isUtf8(bytes)) return undefined
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'))
    return typeof value === 'string' && Buffer.from(value).toString('utf8') === value ? value : undefined
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}
