/** Packed segments: what unpacks to more than there can be is refused before it fills memory or disk. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as zlib from 'node:zlib'
import { unpacked, unpackedBytesMax } from '../../src/storage/unpack.ts'

const never = new AbortController().signal

async function* once(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes
}

async function sizeOf(name: string, packed: Buffer, bytesMax: number): Promise<number> {
  let sizeBytes = 0
  for await (const chunk of unpacked(name, once(packed), bytesMax, never)) sizeBytes += chunk.length
  return sizeBytes
}

const zstd = (zlib as { zstdCompressSync?: (bytes: Buffer) => Buffer }).zstdCompressSync

/** 200 MB of zeros: 200 kB of gzip, some 20 kB of zstd. */
const zeros = Buffer.alloc(200_000_000)
const bombs = {
  'a.gz': zlib.gzipSync(zeros),
  ...(zstd === undefined ? {} : { 'a.zst': zstd(zeros) }),
}

for (const [name, packed] of Object.entries(bombs)) {
  test(`${name}: ${packed.length} bytes that unpack to 200 MB are refused at the limit, in bounded memory`, async () => {
    const before = process.memoryUsage.rss()
    await assert.rejects(sizeOf(name, packed, 1_000_000), {
      kind: 'corrupt',
      message: `${name}: unpacks to more than the 1000000 bytes it may have`,
    })
    await assert.rejects(sizeOf(name, packed, unpackedBytesMax(packed.length)), { kind: 'corrupt' })
    assert.ok(process.memoryUsage.rss() - before < 100_000_000)
  })

  test(`${name}: exactly as many bytes as it may have are taken`, async () => {
    const small = name.endsWith('.gz') ? zlib.gzipSync('twelve bytes') : zstd!(Buffer.from('twelve bytes'))
    assert.equal(await sizeOf(name, small, 12), 12)
    await assert.rejects(sizeOf(name, small, 11), { kind: 'corrupt' })
    await assert.rejects(sizeOf(name, small.subarray(0, -3), 12), {
      kind: 'corrupt',
      message: /cannot be unpacked/,
    })
  })
}

test('what is not packed passes, and a failure of the store keeps its words', async () => {
  assert.equal(await sizeOf('a.ndjson', Buffer.alloc(100), 1), 100)
  async function* failing(): AsyncGenerator<Buffer> {
    yield Buffer.from([0x1f])
    throw Object.assign(new Error('gone'), { code: 'ECONNRESET' })
  }
  const reading = unpacked('a.gz', failing(), 100, never).next()
  await assert.rejects(reading, { message: 'gone' })
})
