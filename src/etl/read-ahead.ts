/** A file from its beginning to its end, the next piece read while the one before is looked at. */

import { open } from 'node:fs/promises'

const pieceBytes = 4 * 1024 * 1024

/** Each piece is good until the next is asked for: two buffers serve for all. */
export async function* readAhead(path: string): AsyncGenerator<Buffer> {
  const file = await open(path, 'r')
  const read = async (buffer: Buffer): Promise<Buffer> => {
    const { bytesRead } = await file.read(buffer, 0, pieceBytes, null)
    return buffer.subarray(0, bytesRead)
  }
  let spare = Buffer.allocUnsafe(pieceBytes)
  let buffer = Buffer.allocUnsafe(pieceBytes)
  let next = read(buffer)
  try {
    for (;;) {
      const piece = await next
      if (piece.length === 0) return
      ;[buffer, spare] = [spare, buffer]
      next = read(buffer)
      // A failure is met when it is awaited; it must not be reported as unhandled before.
      next.catch(() => undefined)
      yield piece
    }
  } finally {
    await next.catch(() => undefined)
    await file.close()
  }
}
