/**
 * What job tests stand on: a real local store that dies at a chosen step, workers with clocks of their own, whole segments, and a true
 * small conversion whose parts say which lines are in them.
 */

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { cpSync, existsSync, readFileSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, relative, sep } from 'node:path'
import { crc32 } from 'node:zlib'
import type { Clock } from '../../src/core/clock.ts'
import { ClaimBoard } from '../../src/etl/claim-board.ts'
import type {
  Convert,
  ConvertedPart,
  ConvertedSource,
  ConvertSettings,
  ConvertSource,
} from '../../src/etl/conversion.ts'
import type { Worker } from '../../src/etl/job-claim.ts'
import type { JobDeps } from '../../src/etl/job-commit.ts'
import type { EtlOptions } from '../../src/etl/run.ts'
import type { EtlEvent, EtlReport } from '../../src/etl/run-report.ts'
import { SourceFiles } from '../../src/etl/source-files.ts'
import { realDisk, type Disk, type DiskFile } from '../../src/storage/disk.ts'
import { processed, rawReady, readySegmentKey } from '../../src/storage/keys.ts'
import { openLocalStore } from '../../src/storage/local.ts'
import type { LocalObjectStore, ObjectStore } from '../../src/storage/object-store.ts'
import { tableNames } from '../../src/table/receipt.ts'
import { readReceipts } from '../../src/table/receipts.ts'
import { partLocation } from '../../src/table/staged.ts'
import { FarStore } from '../storage/far-store.ts'

export const never = new AbortController().signal
export const baseMs = 1_764_770_400_000

/** Time that several workers share; it moves only when someone says so or sleeps. */
export class SharedTime {
  ms = 0

  clock(): Clock & { fire(): Promise<void> } {
    const timers = new Set<() => void>()
    return {
      nowMs: () => baseMs + this.ms,
      nowNs: () => BigInt(baseMs + this.ms) * 1_000_000n,
      monotonicNs: () => BigInt(this.ms) * 1_000_000n,
      monotonicMs: () => this.ms,
      after: (_delayMs, callback) => {
        timers.add(callback)
        return { cancel: () => timers.delete(callback) }
      },
      sleep: async (delayMs, signal) => {
        signal.throwIfAborted()
        this.ms += delayMs
      },
      /** Everything that was to happen later happens now. */
      fire: async () => {
        const due = [...timers]
        timers.clear()
        for (const callback of due) callback()
      },
    }
  }
}

export const settings: ConvertSettings = { software: 'mdv test', numberType: 'decimal', compression: 'zstd' }

/** Crashes here are of processes, which forget nothing that was written: syncing is left out for speed. */
const hastyDisk: Disk = {
  ...realDisk,
  create: async (path) => withoutSync(await realDisk.create(path)),
  append: async (path) => withoutSync(await realDisk.append(path)),
  syncFolder: async () => true,
}

function withoutSync(file: DiskFile): DiskFile {
  return {
    write: (bytes, from, length) => file.write(bytes, from, length),
    writev: (pieces) => file.writev(pieces),
    datasync: async () => undefined,
    truncate: (sizeBytes) => file.truncate(sizeBytes),
    close: () => file.close(),
  }
}

/** A folder with a vault in it, and the workers that come and go. */
export class Bench {
  readonly store: LocalObjectStore
  readonly time = new SharedTime()
  readonly #folder: string
  readonly #isFar: boolean
  readonly #dead = new Set<number>()
  #workers = 0

  private constructor(store: LocalObjectStore, folder: string, isFar: boolean) {
    this.store = store
    this.#folder = folder
    this.#isFar = isFar
  }

  /** @param isFar workers see a store without files, as a bucket is one */
  static async make(isFar = false): Promise<Bench> {
    const folder = await mkdtemp(join(tmpdir(), 'mdv-job-'))
    return new Bench(await openLocalStore(folder, hastyDisk), folder, isFar)
  }

  /** The same vault in another folder, with the same dead and the same time. */
  async copy(): Promise<Bench> {
    const bench = await Bench.make(this.#isFar)
    cpSync(this.#folder, bench.#folder, { recursive: true, preserveTimestamps: true })
    bench.time.ms = this.time.ms
    bench.#workers = this.#workers
    for (const pid of this.#dead) bench.#dead.add(pid)
    return bench
  }

  async remove(): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true })
  }

  /** A worker process with a store of its own over the same folder. */
  async worker(
    store: ObjectStore = this.store,
    changes: Partial<ConvertSettings> = {},
    convert: Convert = smallConvert(changes.software ?? settings.software),
  ): Promise<JobDeps & { readonly clock: ReturnType<SharedTime['clock']>; readonly pid: number }> {
    const pid = ++this.#workers
    const worker: Worker = {
      writer: `writer${pid}`,
      identity: { host: 'here', boot: null, pid_namespace: null, pid, started: null },
      isDead: async (identity) => this.#dead.has(identity.pid),
    }
    const clock = this.time.clock()
    const scratchDir = await this.store.scratch(`etl/${worker.writer}`)
    const seen = this.#isFar ? new FarStore(store) : store
    return {
      store: seen,
      clock,
      venue: 'coinbase',
      convert,
      settings: { ...settings, ...changes },
      worker,
      scratchDir,
      files: new SourceFiles(seen, scratchDir),
      board: new ClaimBoard({ store: seen, clock, venue: 'coinbase' }),
      pid,
    }
  }

  kill(pid: number): void {
    this.#dead.add(pid)
  }

  async segment(counter: number, firstN: number, products: readonly string[]): Promise<string> {
    const label = `segment_20251203T14_${String(counter).padStart(5, '0')}`
    await this.write(readySegmentKey('coinbase', label), segmentBytes(firstN, products))
    return label
  }

  async write(key: string, body: string | Uint8Array): Promise<void> {
    const path = this.store.pathOf(key)
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, body)
  }

  /** Looked up past the store, which asks more of each file. */
  async keys(prefix: string): Promise<string[]> {
    const folder = this.store.pathOf(prefix.slice(0, -1))
    if (!existsSync(folder)) return []
    return (await readdir(folder, { recursive: true, withFileTypes: true }))
      .filter((entry) => entry.isFile())
      .map((entry) => prefix + relative(folder, join(entry.parentPath, entry.name)).split(sep).join('/'))
      .sort()
  }

  /** The counters of all rows that a reader by glob finds, sorted. */
  async globbed(): Promise<number[]> {
    const rows: number[] = []
    for (const table of tableNames)
      for (const key of await this.keys(`${processed('coinbase')}${table}/`))
        if (key.endsWith('.parquet')) rows.push(...rowsOf(readFileSync(this.store.pathOf(key))))
    return rows.sort((a, b) => a - b)
  }

  /** The counters of all rows that a reader of receipts finds; every part has to be there, and whole. */
  async committed(): Promise<number[]> {
    const rows: number[] = []
    for (const receipt of await readReceipts(this.store, 'coinbase', never))
      for (const part of receipt.parts) {
        const key = await partLocation(this.store, receipt, part)
        assert.ok(key !== undefined, `${part.key} is named by a receipt and nowhere`)
        const bytes = readFileSync(this.store.pathOf(key))
        assert.equal(sha256(bytes), part.sha256, `${key} is not what was committed`)
        rows.push(...rowsOf(bytes))
      }
    return rows.sort((a, b) => a - b)
  }

  /** Everything that counts once all is done: committed parts with their digests, receipts but for writer and time, raw, leftovers. */
  async state() {
    const receipts = (await readReceipts(this.store, 'coinbase', never)).map((receipt) => ({
      ...receipt,
      writer: '',
      committed_ms: 0,
    }))
    const parts: string[] = []
    for (const table of tableNames)
      for (const key of await this.keys(`${processed('coinbase')}${table}/`))
        parts.push(`${key} ${sha256(readFileSync(this.store.pathOf(key)))}`)
    return {
      receipts,
      parts,
      staged: await this.keys(`${processed('coinbase')}_staging/`),
      ready: await this.keys(rawReady('coinbase')),
      archive: await this.keys('raw/archive/'),
      rejected: await this.keys('raw/rejected/'),
      claims: await this.keys('raw/processing/'),
    }
  }

  async #rejected(): Promise<number[]> {
    const rows: number[] = []
    for (const { rejects_key } of await readReceipts(this.store, 'coinbase', never)) {
      if (rejects_key === null) continue
      const text = await readFile(this.store.pathOf(rejects_key), 'utf8')
      rows.push(
        ...text
          .trim()
          .split('\n')
          .map((line) => (JSON.parse(line) as { n: number }).n),
      )
    }
    return rows
  }

  /** What has to be true at any moment: nothing lost, nothing torn, nothing doubled. */
  async assertWhole(expected: readonly number[]): Promise<void> {
    const globbed = await this.globbed()
    assert.equal(new Set(globbed).size, globbed.length, `rows seen twice: ${globbed.join(' ')}`)
    const committed = await this.committed()
    assert.equal(new Set(committed).size, committed.length, `rows committed twice: ${committed.join(' ')}`)
    const raw = await this.#rejected()
    for (const key of await this.keys(rawReady('coinbase')))
      raw.push(...linesOf(readFileSync(this.store.pathOf(key), 'utf8')).map((line) => line.n))
    assert.deepEqual(
      [...new Set([...committed, ...raw])].sort((a, b) => a - b),
      expected,
      'every line is somewhere',
    )
  }
}

const recorder = 'abcdefghij'

/** A sealed segment; each line is an event of a product. `reject` makes a line that cannot become a row. */
export function segmentBytes(firstN: number, products: readonly string[]): string {
  const header = {
    format: 1,
    venue: 'coinbase',
    url: 'wss://example',
    software: 'mdv test',
    recorder,
    n: firstN,
    prev: null,
    opened_ns: String(BigInt(baseMs) * 1_000_000n),
  }
  let body = JSON.stringify({ segment: header }) + '\n'
  products.forEach((product, i) => {
    const n = firstN + i
    const head = `{"n":${n},"recv_ns":"${BigInt(baseMs + n) * 1_000_000n}","event":{"test":"${product}"}`
    body += `${head},"crc":"${crc32(head).toString(16).padStart(8, '0')}"}\n`
  })
  const lastN = products.length === 0 ? null : firstN + products.length - 1
  const seal = {
    lines: products.length,
    bytes: Buffer.byteLength(body),
    sha256: sha256(Buffer.from(body)),
    first_n: lastN === null ? null : firstN,
    last_n: lastN,
    first_recv_ns: lastN === null ? null : String(BigInt(baseMs + firstN) * 1_000_000n),
    last_recv_ns: lastN === null ? null : String(BigInt(baseMs + lastN) * 1_000_000n),
    connections: [],
  }
  return body + JSON.stringify({ seal }) + '\n'
}

interface SmallLine {
  readonly n: number
  readonly product: string
}

function linesOf(text: string): SmallLine[] {
  return text
    .split('\n')
    .slice(1, -2)
    .map((line) => JSON.parse(line) as { n: number; event: { test: string } })
    .map((line) => ({ n: line.n, product: line.event.test }))
}

/** One part a product; the bytes are a function of lines and software, and end as a Parquet file does. */
export function smallConvert(software: string, salt: () => string = () => ''): Convert {
  return async (sources, plan, signal) => {
    const converted: ConvertedSource[] = []
    const lines: SmallLine[] = []
    for (const source of sources) {
      const { found, ...facts } = await readSmall(source, signal)
      converted.push(facts)
      lines.push(...found)
    }
    const good = lines.filter((line) => line.product !== 'reject')
    const parts: ConvertedPart[] = []
    for (const product of [...new Set(good.map((line) => line.product))].sort()) {
      const rows = good.filter((line) => line.product === product).map((line) => line.n)
      const body = Buffer.from(JSON.stringify({ rows, software, salt: salt() }) + '\n')
      const footer = Buffer.from(`mdv.job ${plan.job}`)
      const end = Buffer.alloc(8, 'PAR1', 'latin1')
      end.writeUInt32LE(footer.length, 0)
      const path = join(plan.scratchDir, `${product}.parquet`)
      const whole = Buffer.concat([body, footer, end])
      await writeFile(path, whole)
      parts.push({
        table: 'ticker',
        productId: product,
        date: '2025-12-03',
        path,
        rows: rows.length,
        sizeBytes: whole.length,
        sha256: sha256(whole),
        minTimeNs: BigInt(baseMs + rows[0]!) * 1_000_000n,
        maxTimeNs: BigInt(baseMs + rows.at(-1)!) * 1_000_000n,
        slice: null,
      })
      plan.onParts(parts.slice(-1))
    }
    const rejects = lines.filter((line) => line.product === 'reject')
    const rejectsPath = rejects.length === 0 ? null : join(plan.scratchDir, 'rejects.ndjson')
    if (rejectsPath !== null)
      await writeFile(rejectsPath, rejects.map((line) => JSON.stringify({ n: line.n }) + '\n').join(''))
    return {
      sources: converted,
      lines: { total: lines.length, frames: 0, events: good.length, rejected: rejects.length },
      parts,
      rejectsPath,
    }
  }
}

async function readSmall(
  source: ConvertSource,
  signal: AbortSignal,
): Promise<ConvertedSource & { readonly found: readonly SmallLine[] }> {
  const bytes = await readFile(await source.file(signal))
  const found = linesOf(bytes.toString('utf8'))
  const { segment } = JSON.parse(bytes.toString('utf8').split('\n')[0]!) as {
    segment: { n: number; recorder: string }
  }
  return {
    found,
    key: source.key,
    label: source.label,
    recorder: segment.recorder,
    firstN: segment.n,
    lastN: found.at(-1)?.n ?? null,
    firstRecvNs: null,
    lastRecvNs: null,
    fileSha256: sha256(bytes),
    sizeBytes: bytes.length,
    sealSha256: null,
    sealProblem: sealedOtherwise(bytes) ? 'the seal says another sha256' : null,
    lines: found.length,
  }
}

function sealedOtherwise(bytes: Buffer): boolean {
  const until = bytes.lastIndexOf('\n{"seal":') + 1
  const { seal } = JSON.parse(bytes.toString('utf8', until)) as { seal: { sha256: string } }
  return seal.sha256 !== sha256(bytes.subarray(0, until))
}

function rowsOf(part: Buffer): number[] {
  return (JSON.parse(part.toString('utf8', 0, part.indexOf('\n'))) as { rows: number[] }).rows
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

export const etlOptions: EtlOptions = {
  deleteRaw: true,
  archive: false,
  retention: { maxDays: null, maxBytes: null },
  hours: { from: null, until: null },
  fromArchive: false,
  requeue: null,
  waitForHeld: true,
  sweep: true,
  batch: { segmentsMax: 1, bytesMax: 1e9, waitMs: 0, isPatient: false },
}

export function collect(): EtlReport & { readonly events: EtlEvent[] } {
  const events: EtlEvent[] = []
  return { events, onEvent: (event) => events.push(event), onProgress: () => undefined }
}
