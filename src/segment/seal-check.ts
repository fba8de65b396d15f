/** What a seal says of the lines before it, against those lines. Pure. */

import type { Seal, SealedConnection } from './format.ts'
import type { ScanResult } from './scan.ts'

/**
 * The seal's line has no checksum of its own, so each of its numbers is counted again.
 *
 * @param connections as the lines show them; what the seal says of gaps is not compared: a late frame splits them otherwise
 */
export function checkSeal(
  seal: Seal,
  scan: ScanResult,
  connections: readonly SealedConnection[],
): readonly string[] {
  const there: readonly (readonly [string, unknown, unknown])[] = [
    ['lines', seal.lines, scan.lines],
    ['first_n', seal.first_n, scan.firstN],
    ['last_n', seal.last_n, scan.lastN],
    ['first_recv_ns', seal.first_recv_ns, scan.firstRecvNs],
    ['last_recv_ns', seal.last_recv_ns, scan.lastRecvNs],
    ['connections', connectionWords(seal.connections), connectionWords(connections.map(asCounted(seal)))],
  ]
  return there
    .filter(([, said, counted]) => said !== counted)
    .map(
      ([name, said, counted]) => `the seal says ${name} ${String(said)}, the lines have ${String(counted)}`,
    )
}

/**
 * The counter of the last line, damaged or not: where the last lines are bad, the seal still tells how far the segment went,
 * and without it the segment after this one would seem to follow a hole.
 */
export function lastCounter(scan: ScanResult): number | null {
  const sealed = scan.seal?.last_n ?? null
  const seen = scan.lastN ?? scan.header!.n - 1
  return sealed !== null && sealed > seen && sealed - seen <= scan.badLines ? sealed : scan.lastN
}

/** Adopted frames are sealed without their numbers. */
function asCounted(seal: Seal): (connection: SealedConnection) => SealedConnection {
  const unnumbered = listOf(seal.connections)
    .filter(({ first_seq, last_seq }) => first_seq === null && last_seq === null)
    .map(({ conn }) => conn)
  return (connection) =>
    unnumbered.includes(connection.conn) ? { ...connection, first_seq: null, last_seq: null } : connection
}

function connectionWords(connections: unknown): string {
  return listOf(connections)
    .map(({ conn, frames, first_seq: from, last_seq: to, gaps }) => {
      const listed = Array.isArray(gaps) ? '' : ', gaps not listed'
      return `${conn} (${frames} frames, ${from} to ${to}${listed})`
    })
    .sort()
    .join(', ')
}

/** Damage may have made anything of it. */
function listOf(connections: unknown): readonly Partial<SealedConnection>[] {
  return Array.isArray(connections) ? connections.map((each: unknown) => Object(each) as object) : []
}
