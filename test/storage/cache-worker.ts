/** One of several processes that use one cache: `cache-worker.js BUCKET CACHE OBJECTS SEED`. Each round holds a few parts and reads them. */

import { readFile } from 'node:fs/promises'
import { systemClock } from '../../src/cli/system-clock.ts'
import { systemCode } from '../../src/core/errors.ts'
import { sha256Hex } from '../../src/core/ids.ts'
import { seededRandom } from '../../src/core/random.ts'
import { CachedStore } from '../../src/storage/cache-store.ts'
import type { KnownObject } from '../../src/storage/download.ts'
import { openLocalStore } from '../../src/storage/local.ts'
import { FarStore } from './far-store.ts'

const [bucket = '', dir = '', list = '', seed = ''] = process.argv.slice(2)
const random = seededRandom(Number(seed))
const far = new FarStore(await openLocalStore(bucket))
// Room for eight parts: each of three processes holds two at most.
const store = new CachedStore(far, 'bucket', {
  dir,
  maxBytes: 160_000,
  clock: systemClock,
  random: Math.random,
})
const objects = JSON.parse(await readFile(list, 'utf8')) as KnownObject[]
const signal = new AbortController().signal
let rounds = 0
for (; rounds < 25; rounds++) {
  const wanted = objects.filter(() => random() < 0.2).slice(0, 2)
  // As a question does: what was taken away in the moment it came into use is asked for once more.
  await round(wanted).catch((error: unknown) => {
    if (systemCode(error) !== 'ENOENT') throw error
    return round(wanted)
  })
}
process.stdout.write(`${rounds} rounds\n`)

async function round(wanted: readonly KnownObject[]): Promise<void> {
  await using files = await store.fetch(wanted, { trust: 'size', onProgress: () => undefined }, signal)
  for (const { key, sha256 } of wanted)
    if (sha256Hex(await readFile(files.pathOf(key)!)) !== sha256) throw new Error(`${key}: other bytes`)
}
