/**
 * What the S3 store's care costs and its parallel parts bring: objects up and down through the store and through a plain loop over the SDK,
 * in turns, against the test server and, where MDV_TEST_MINIO names its binary, MinIO. Servers are processes of their own.
 */

import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { fileURLToPath } from 'node:url'
import { systemClock } from '../src/cli/system-clock.ts'
import { forEachAtOnce } from '../src/core/at-once.ts'
import { hideCredentials } from '../src/storage/place.ts'
import { seededRandom } from '../src/core/random.ts'
import { openS3Store } from '../src/storage/s3/open.ts'
import { loadSdk } from '../src/storage/s3/sdk.ts'
import type { S3Store } from '../src/storage/s3/store.ts'
import { minioMissing, startMinio } from '../test/storage/minio.ts'
import { testAccount } from '../test/storage/s3-server/server.ts'
import { machine, median, printTable } from './report.ts'

const largeBytes = 64_000_000
const smallBytes = 200_000
const never = new AbortController().signal

interface Server {
  readonly name: string
  readonly url: string
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly stop: () => Promise<void>
}

/** One way of moving a set of objects. */
interface Mover {
  up(keys: readonly string[]): Promise<void>
  down(keys: readonly string[]): Promise<void>
}

interface Load {
  readonly name: string
  readonly objects: number
  readonly sizeBytes: number
  /** Alternating pairs; of what takes a third of a second more than of what takes two. */
  readonly pairs: number
  readonly plain: Mover
  readonly store: Mover
}

async function startFake(): Promise<Server> {
  const main = fileURLToPath(new URL('../test/storage/s3-server/main.js', import.meta.url))
  const child = spawn(process.execPath, [main, '--bucket', 'vault'], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [line] = (await once(createInterface(child.stdout), 'line')) as [string]
  const stop = async (): Promise<void> => {
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
  return { name: 'test server', url: line.split(' ')[1]!, ...testAccount, stop }
}

function loads(store: S3Store, server: Server, folder: string): readonly Load[] {
  const sdk = loadSdk()
  const client = new sdk.S3Client({
    region: 'us-east-1',
    endpoint: server.url,
    forcePathStyle: true,
    credentials: server,
  })
  const put = (key: string, body: Buffer) =>
    client.send(new sdk.PutObjectCommand({ Bucket: 'vault', Key: key, Body: body }))
  const get = (key: string) => client.send(new sdk.GetObjectCommand({ Bucket: 'vault', Key: key }))
  const file = join(folder, 'large')
  const copy = join(folder, 'copy')
  const small = randomBytes(smallBytes)
  return [
    {
      name: 'segments, one after the other',
      objects: 4,
      sizeBytes: largeBytes,
      pairs: 5,
      plain: {
        up: (keys) => forEachAtOnce(keys, 1, async (key) => void (await put(key, await readFile(file)))),
        down: (keys) =>
          forEachAtOnce(keys, 1, async (key) => {
            await pipeline((await get(key)).Body as Readable, createWriteStream(copy))
          }),
      },
      store: {
        up: (keys) => forEachAtOnce(keys, 1, (key) => store.uploadLarge(file, key, never)),
        down: (keys) => forEachAtOnce(keys, 1, async (key) => void (await store.download(key, copy, never))),
      },
    },
    {
      name: 'parts, eight at once',
      objects: 200,
      sizeBytes: smallBytes,
      pairs: 25,
      plain: {
        up: (keys) => forEachAtOnce(keys, 8, async (key) => void (await put(key, small))),
        down: (keys) =>
          forEachAtOnce(keys, 8, async (key) => void (await (await get(key)).Body!.transformToByteArray())),
      },
      store: {
        up: (keys) => forEachAtOnce(keys, 8, async (key) => void (await store.putIfAbsent(key, small))),
        down: (keys) => forEachAtOnce(keys, 8, async (key) => void (await store.get(key))),
      },
    },
  ]
}

interface Timed {
  readonly mbPerSecond: number
  readonly peakMb: number
}

/** Resident memory is sampled between the turns of the loop, where buffers are alive. */
async function timed(megabytes: number, work: () => Promise<void>): Promise<Timed> {
  globalThis.gc?.()
  const idleBytes = process.memoryUsage.rss()
  let peakBytes = idleBytes
  const watch = setInterval(() => {
    peakBytes = Math.max(peakBytes, process.memoryUsage.rss())
  }, 5)
  const startMs = systemClock.monotonicMs()
  await work()
  const seconds = (systemClock.monotonicMs() - startMs) / 1000
  clearInterval(watch)
  return { mbPerSecond: megabytes / seconds, peakMb: (peakBytes - idleBytes) / 1e6 }
}

async function measure(server: Server, load: Load): Promise<string[][]> {
  const megabytes = (load.objects * load.sizeBytes) / 1e6
  const found = {
    up: { plain: [] as Timed[], store: [] as Timed[] },
    down: { plain: [] as Timed[], store: [] as Timed[] },
  }
  // The first pair warms both up.
  for (let pair = 0; pair <= load.pairs; pair++)
    for (const who of pair % 2 === 0 ? (['plain', 'store'] as const) : (['store', 'plain'] as const)) {
      const keys = Array.from({ length: load.objects }, (_, i) => `${who}/${load.sizeBytes}/${pair}/${i}`)
      for (const way of ['up', 'down'] as const) {
        const one = await timed(megabytes, () => load[who][way](keys))
        if (pair > 0) found[way][who].push(one)
      }
    }
  return (['up', 'down'] as const).map((way) => {
    const speed = (who: 'plain' | 'store') => median(found[way][who].map(({ mbPerSecond }) => mbPerSecond))
    const ratio = median(
      found[way].store.map(({ mbPerSecond }, i) => mbPerSecond / found[way].plain[i]!.mbPerSecond),
    )
    const peak = Math.max(...found[way].store.map(({ peakMb }) => peakMb))
    return [
      `${server.name}: ${load.name}, ${way}`,
      speed('plain').toFixed(0),
      speed('store').toFixed(0),
      ratio.toFixed(2),
      peak.toFixed(0),
    ]
  })
}

async function benchOn(server: Server): Promise<string[][]> {
  const folder = await mkdtemp(join(tmpdir(), 'mdv-bench-'))
  try {
    await writeFile(join(folder, 'large'), randomBytes(largeBytes))
    const store = await openS3Store(
      {
        bucket: 'vault',
        prefix: '',
        region: null,
        endpointUrl: server.url,
        forcePathStyle: true,
        credentials: hideCredentials({ ...server, sessionToken: null }),
        workDir: folder,
      },
      'shared',
      { clock: systemClock, random: seededRandom(1), env: {} },
    )
    const rows: string[][] = []
    for (const load of loads(store, server, folder)) rows.push(...(await measure(server, load)))
    store.close()
    return rows
  } finally {
    await server.stop()
    await rm(folder, { recursive: true, force: true })
  }
}

process.stdout.write(
  `${machine()}\n5 alternating pairs for segments, 25 for parts, medians; peak resident memory above idle of the store's runs\n`,
)
const rows = await benchOn(await startFake())
const missing = minioMissing()
if (missing === undefined) rows.push(...(await benchOn({ ...(await startMinio()), name: 'MinIO' })))
else process.stdout.write(`without MinIO: ${missing}\n`)
printTable(['', 'plain MB/s', 'store MB/s', 'store/plain', 'peak MB'], rows)
