/** The archive's compressor and its reader without their threads, whose time is no function of a seed. The bytes are the same. */

import { syncBuiltinESMExports } from 'node:module'
import { Transform, type TransformCallback } from 'node:stream'
import zlib from 'node:zlib'

type Whole = (bytes: Buffer) => Buffer

function wholeStream(turn: Whole): Transform {
  const pieces: Buffer[] = []
  return new Transform({
    transform(piece: Buffer, _encoding, done: TransformCallback) {
      pieces.push(piece)
      done()
    },
    flush(done: TransformCallback) {
      try {
        done(null, turn(Buffer.concat(pieces)))
      } catch (error) {
        done(error as Error)
      }
    },
  })
}

/** Newer versions of Node have the last two. */
const twins: readonly (readonly [stream: string, whole: string])[] = [
  ['createGzip', 'gzipSync'],
  ['createGunzip', 'gunzipSync'],
  ['createZstdCompress', 'zstdCompressSync'],
  ['createZstdDecompress', 'zstdDecompressSync'],
]

/** @returns puts the real ones back */
export function syncZlib(): () => void {
  const real = { ...zlib } as unknown as Readonly<Record<string, unknown>>
  for (const [stream, whole] of twins)
    if (real[stream] !== undefined) replace(stream, () => wholeStream(real[whole] as Whole))
  syncBuiltinESMExports()
  return () => {
    for (const [stream] of twins) if (real[stream] !== undefined) replace(stream, real[stream])
    syncBuiltinESMExports()
  }
}

function replace(name: string, value: unknown): void {
  Object.defineProperty(zlib, name, { value, configurable: true, enumerable: true })
}
