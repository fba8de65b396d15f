/**
 * What conversion in a bucket asks of it: requests by kind for segments of 100 MB with a hundred products, one by one and in a batch, and for a
 * round with nothing to do, and in compaction; with what AWS takes for them. Counted by the test server, which sees every request.
 */

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '../src/cli/system-clock.ts'
import { hideCredentials } from '../src/storage/place.ts'
import { seededRandom } from '../src/core/random.ts'
import { ClaimBoard } from '../src/etl/claim-board.ts'
import { runCompaction } from '../src/etl/compact-run.ts'
import { convertSegments } from '../src/etl/convert.ts'
import type { JobDeps } from '../src/etl/job-commit.ts'
import { makeMemory, runEtlOnce, type EtlMemory, type EtlOptions } from '../src/etl/run.ts'
import { SourceFiles } from '../src/etl/source-files.ts'
import { openWorkerScratch } from '../src/etl/sweep.ts'
import { readySegmentKey, segmentLabel } from '../src/storage/keys.ts'
import type { ObjectStore } from '../src/storage/object-store.ts'
import { openStore } from '../src/storage/open.ts'
import { thisProcess } from '../src/storage/process-identity.ts'
import { ReceiptCache } from '../src/table/receipts.ts'
import { S3Server, testAccount } from '../test/storage/s3-server/server.ts'
import { writeBenchSegment } from './etl-segment.ts'
import { machine, printTable } from './report.ts'

const segmentBytes = Number(process.env['MDV_SEGMENT_BYTES'] ?? 100_000_000)
const batchSegments = 8
const products = 100
/** US dollars for one, us-east-1, 2026. */
const price = { PUT: 0.005 / 1000, LIST: 0.005 / 1000, GET: 0.0004 / 1000, HEAD: 0.0004 / 1000, DELETE: 0 }
type Kind = keyof typeof price

const kinds: Readonly<Record<string, Kind>> = {
  PutObject: 'PUT',
  CreateMultipartUpload: 'PUT',
  UploadPart: 'PUT',
  CompleteMultipartUpload: 'PUT',
  ListObjectsV2: 'LIST',
  GetObject: 'GET',
  HeadObject: 'HEAD',
  DeleteObject: 'DELETE',
  AbortMultipartUpload: 'DELETE',
}

interface Vault {
  readonly server: S3Server
  readonly store: ObjectStore
  readonly deps: JobDeps
  readonly memory: EtlMemory
  readonly dir: string
  lines: number
  segments: number
}

const never = new AbortController().signal

async function openVault(): Promise<Vault> {
  const dir = await mkdtemp(join(tmpdir(), 'mdv-requests-'))
  const server = await S3Server.start({ buckets: ['vault'] })
  const store = await openStore(
    {
      backend: 's3',
      bucket: 'vault',
      prefix: '',
      region: 'us-east-1',
      endpointUrl: server.url,
      forcePathStyle: true,
      credentials: hideCredentials({ ...testAccount, sessionToken: null }),
      singleWriter: false,
    },
    'write',
    { clock: systemClock, random: seededRandom(1), env: {}, cacheDir: join(dir, 'cache') },
  )
  const worker = { writer: 'bench', identity: await thisProcess(), isDead: async () => false }
  const scratchDir = await openWorkerScratch(store, worker)
  const settings = { software: 'mdv bench', numberType: 'decimal', compression: 'zstd' } as const
  const limits = { memoryLimitMb: 1024, threads: 2 }
  const deps: JobDeps = {
    store,
    clock: systemClock,
    venue: 'coinbase',
    settings,
    worker,
    scratchDir,
    files: new SourceFiles(store, scratchDir),
    board: new ClaimBoard({ store, clock: systemClock, venue: 'coinbase' }),
    convert: (sources, plan, signal) => convertSegments(sources, { ...plan, ...settings, ...limits }, signal),
  }
  return { server, store, deps, memory: makeMemory(), dir, lines: 0, segments: 0 }
}

async function seal(vault: Vault, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const path = join(vault.dir, 'segment.ndjson')
    vault.lines += writeBenchSegment(path, { sizeBytes: segmentBytes, firstN: vault.lines + 1, products })
    await vault.store.publishFile(
      path,
      readySegmentKey('coinbase', segmentLabel('20251203T14', ++vault.segments)),
    )
  }
}

interface Counted {
  readonly counts: Map<Kind, number>
  readonly seconds: number
  readonly segments: number
}

/** Merges what was converted, of an hour and a day that are over, and removes what it replaces. */
async function compactAll(vault: Vault): Promise<Counted> {
  const { scratchDir, settings } = vault.deps
  const deps = { ...vault.deps, settings, scratchDir, memoryLimitMb: 1024, threads: 2 }
  const report = {
    outcome: () => undefined,
    failed: (_plan: unknown, error: unknown) => {
      throw error
    },
  }
  vault.server.counts.clear()
  const from = performance.now()
  await runCompaction(deps, { bytesMax: 2e9, graceMs: 0 }, report, new ReceiptCache(), never)
  return {
    counts: countsOf(vault),
    seconds: (performance.now() - from) / 1000,
    segments: vault.segments,
  }
}

function countsOf({ server }: Vault): Map<Kind, number> {
  const counts = new Map<Kind, number>()
  for (const [operation, count] of server.counts) {
    const kind = kinds[operation]
    if (kind === undefined) throw new Error(`nobody knows what ${operation} costs`)
    counts.set(kind, (counts.get(kind) ?? 0) + count)
  }
  return counts
}

/** One round of a watcher. @returns requests by kind, raw megabytes a second */
async function round(vault: Vault, segmentsMax: number): Promise<Counted> {
  const options: EtlOptions = {
    deleteRaw: true,
    archive: false,
    retention: { maxDays: null, maxBytes: null },
    hours: { from: null, until: null },
    fromArchive: false,
    requeue: null,
    waitForHeld: false,
    sweep: false,
    batch: { segmentsMax, bytesMax: 1e12, waitMs: 900_000, isPatient: false },
  }
  vault.server.counts.clear()
  const from = performance.now()
  const report = {
    onEvent: (event: { readonly kind: string }) => {
      if (event.kind === 'failed') throw new Error(JSON.stringify(event), { cause: event })
    },
    onProgress: () => undefined,
  }
  const { segments } = await runEtlOnce(vault.deps, options, report, never, vault.memory)
  return { counts: countsOf(vault), seconds: (performance.now() - from) / 1000, segments }
}

function row(name: string, { counts, seconds, segments }: Counted): string[] {
  const per = Math.max(1, segments)
  const cell = (kind: Kind): string => ((counts.get(kind) ?? 0) / per).toFixed(segments > 1 ? 1 : 0)
  const dollars = [...counts].reduce((sum, [kind, count]) => sum + price[kind] * count, 0) / per
  const rate = segments === 0 ? '' : ((segments * segmentBytes) / 1e6 / seconds).toFixed(1)
  return [name, ...(Object.keys(price) as Kind[]).map(cell), (dollars * 1000).toFixed(3), rate]
}

async function benchRequests(): Promise<void> {
  const vault = await openVault()
  try {
    const rows: string[][] = []
    await round(vault, 1)
    rows.push(row('round with nothing to do', await round(vault, 1)))
    await seal(vault, 1)
    rows.push(row('a segment alone', await round(vault, 1)))
    await seal(vault, batchSegments)
    rows.push(row(`a segment in a batch of ${batchSegments}`, await round(vault, batchSegments)))
    await seal(vault, batchSegments)
    await round(vault, batchSegments)
    rows.push(row(`compaction, a segment of ${vault.segments} in 3 jobs`, await compactAll(vault)))
    process.stdout.write(`${machine()}, ${segmentBytes / 1e6} MB a segment, ${products} products\n`)
    printTable(['requests', ...Object.keys(price), '$ of 1000', 'MB/s'], rows)
    const peakMb = process.resourceUsage().maxRSS / 1024
    process.stdout.write(`peak memory ${peakMb.toFixed(0)} MB, with the bucket in it\n`)
  } finally {
    await vault.server.down()
    await rm(vault.dir, { recursive: true, force: true })
  }
}

if (process.argv[1] === import.meta.filename) await benchRequests()
