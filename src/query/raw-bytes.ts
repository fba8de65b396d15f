/** The bytes of a raw segment as it was in ready, wherever and however it is kept now. */

import { pipeline } from 'node:stream/promises'
import { PassThrough, Readable, type Transform } from 'node:stream'
import * as zlib from 'node:zlib'
import { messageOf, VaultError } from '../core/errors.ts'

/**
 * @param name its ending says how it is packed
 * @throws {VaultError} `preflight` when this Node cannot read zstd, `corrupt` when the archive is damaged
 */
export async function* unpacked(
  name: string,
  source: AsyncIterable<Buffer>,
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
  try {
    for await (const chunk of output) yield chunk as Buffer
    await done
  } catch (error) {
    signal.throwIfAborted()
    throw new VaultError('corrupt', `${name}: cannot be unpacked: ${messageOf(error)}`, { cause: error })
  }
}

function decoderOf(name: string): Transform | null {
  if (name.endsWith('.gz')) return zlib.createGunzip()
  if (!name.endsWith('.zst')) return null
  // Node 22.15 and later have zstd; the types of Node 20 do not name it.
  const create = (zlib as { createZstdDecompress?: () => Transform }).createZstdDecompress
  if (create !== undefined) return create()
  throw new VaultError('preflight', `${name}: this Node cannot read zstd`, {
    remedy: 'run it with Node 22.15 or later',
  })
}
