/** Packed segments as the bytes they were: bounded, since a few kB of zeros unpack to terabytes. */

import { PassThrough, Readable, type Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import * as zlib from 'node:zlib'
import { messageOf, systemCode, VaultError } from '../core/errors.ts'

/** Feeds of text shrink by 10 to 40; deflate's own limit is 1,032, zstd has none. */
const ratioMax = 200
const freeBytes = 64 * 1024 * 1024

/** What may come out of so many bytes, where no receipt says what did. */
export function unpackedBytesMax(packedBytes: number): number {
  return freeBytes + packedBytes * ratioMax
}

/**
 * @param name its ending says how it is packed; any other is handed on as it is
 * @param bytesMax more is no segment
 * @throws {VaultError} `preflight` when this Node cannot read zstd, `corrupt` for what is damaged or more than `bytesMax`
 */
export async function* unpacked(
  name: string,
  source: AsyncIterable<Buffer>,
  bytesMax: number,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const decoder = decoderOf(name)
  if (decoder === null) {
    yield* source
    return
  }
  const output = new PassThrough()
  const done = pipeline(Readable.from(source), decoder, output)
  // What goes wrong is thrown by the loop below; without this it would also be an unhandled rejection.
  done.catch(() => undefined)
  let sizeBytes = 0
  try {
    for await (const chunk of output as AsyncIterable<Buffer>) {
      sizeBytes += chunk.length
      if (sizeBytes > bytesMax) throw tooMuch(name, bytesMax)
      yield chunk
    }
    await done
  } catch (error) {
    signal.throwIfAborted()
    // The store's own failures keep their words.
    if (error instanceof VaultError || !/^(Z_|ZSTD_|ERR_)/.test(systemCode(error) ?? '')) throw error
    throw new VaultError('corrupt', `${name}: cannot be unpacked: ${messageOf(error)}`, {
      cause: error,
      remedy: 'restore it from a backup',
    })
  }
}

function tooMuch(name: string, bytesMax: number): VaultError {
  return new VaultError('corrupt', `${name}: unpacks to more than the ${bytesMax} bytes it may have`, {
    remedy: 'no mdv packed it: move it away, and restore the right one from a backup',
  })
}

function decoderOf(name: string): Transform | null {
  if (name.endsWith('.gz')) return zlib.createGunzip()
  if (!name.endsWith('.zst')) return null
  // Node 22.15 and later have zstd; the types of Node 20 do not name it.
  const create = (zlib as { createZstdDecompress?: () => Transform }).createZstdDecompress
  if (create !== undefined) return create()
  throw new VaultError('preflight', `${name}: this version of Node cannot unpack zstd`, {
    remedy: 'use Node 22.15 or newer, or unpack the file and gzip it under the same name with .gz',
  })
}
