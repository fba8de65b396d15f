/**
 * What is put: bytes or a file, with the checksums that go along. Both are computed before the first byte is sent: the SHA-256 is signed
 * and stored as metadata, the CRC32 is stored by the server; so a body damaged on the way is refused by every server, and no server
 * has to understand the SDK's trailing checksums (some answer 411 or 501 to them, one stores them as data).
 */

import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { crc32 } from 'node:zlib'

const readBytes = 1024 * 1024

export interface Content {
  readonly sizeBytes: number
  /** 64 hex digits. */
  readonly sha256: string
  /** Base64 of 4 bytes, big-endian. */
  readonly crc32: string
  /** The bytes from their beginning, for each attempt anew. */
  open(): Buffer | Readable
}

/** Metadata names, without the `x-amz-meta-` before them. */
export const sha256Name = 'mdv-sha256'
export const tokenName = 'mdv-token'

export function contentOf(body: Uint8Array): Content {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength)
  return {
    sizeBytes: bytes.length,
    sha256: createHash('sha256').update(bytes).digest('hex'),
    crc32: base64Crc(crc32(bytes)),
    open: () => bytes,
  }
}

/** Reads the file once for its checksums; it is read again as it is sent. */
export async function contentOfFile(path: string, signal?: AbortSignal): Promise<Content> {
  const hash = createHash('sha256')
  let crc = 0
  let sizeBytes = 0
  // One buffer for all of it: a stream's, a new one for each read, cost twice as much processor time as both checksums.
  const buffer = Buffer.allocUnsafe(readBytes)
  const file = await open(path, 'r')
  try {
    for (;;) {
      signal?.throwIfAborted()
      const { bytesRead } = await file.read(buffer, 0, readBytes, null)
      if (bytesRead === 0) break
      const chunk = buffer.subarray(0, bytesRead)
      hash.update(chunk)
      crc = crc32(chunk, crc)
      sizeBytes += bytesRead
    }
  } finally {
    await file.close()
  }
  return {
    sizeBytes,
    sha256: hash.digest('hex'),
    crc32: base64Crc(crc),
    open: () => createReadStream(path, { highWaterMark: readBytes }),
  }
}

/**
 * The same for the same file with the same bytes, also after a crash, and for nothing else: what its inode is to a link. So a put that
 * landed before the crash is known as our own by the next attempt, and another file with equal bytes is not.
 */
export async function fileToken(path: string, content: Content): Promise<string> {
  const { ino, mtimeNs } = await stat(path, { bigint: true })
  return createHash('sha256').update(`${ino} ${mtimeNs} ${content.sha256}`).digest('hex').slice(0, 32)
}

function base64Crc(crc: number): string {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(crc)
  return bytes.toString('base64')
}
