/** Checks of the machine: Node, folder, disk, limits, DuckDB, another recorder. They leave nothing behind. */

import { link, mkdtemp, open, rm, stat, statfs } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { formatBytes } from '../../core/bytes.ts'
import type { Clock } from '../../core/clock.ts'
import { messageOf, systemCode, VaultError } from '../../core/errors.ts'
import { readKey } from '../../ingestion/token.ts'
import { recordingFolder } from '../config.ts'
import { readKeyFile } from '../secret-file.ts'
import { fail, ok, warn, type Check, type Verdict } from './check.ts'

const nodeOldest = [20, 19] as const

const node: Check = {
  name: 'node',
  of: 'machine',
  async run() {
    const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
    const isOld = major < nodeOldest[0] || (major === nodeOldest[0] && minor < nodeOldest[1])
    return isOld
      ? fail(
          `${process.version} is too old`,
          `install Node ${nodeOldest.join('.')} or newer; 24 is recommended`,
        )
      : ok(process.version)
  },
}

const folder: Check = {
  name: 'folder',
  of: 'machine',
  async run({ config }) {
    const baseDir = recordingFolder(config)
    const existing = await nearestExisting(baseDir)
    if (!existing.isFolder)
      return fail(`${existing.path} is a file, not a folder`, 'set storage.base_dir to a folder')
    return withScratch(existing.path, async (scratch) => {
      const written = existing.path === baseDir ? '' : ` (will be made in ${existing.path})`
      return (await canLink(scratch))
        ? ok(`${baseDir} is writable${written}`)
        : warn(
            `${baseDir} has no hard links${written}`,
            'works with one writer at a time; ext4, xfs, apfs or ntfs have them',
          )
    })
  },
}

const spaceFailBytes = 1e9
const spaceWarnBytes = 20e9

const space: Check = {
  name: 'free space',
  of: 'machine',
  async run({ config }) {
    const { path } = await nearestExisting(recordingFolder(config))
    const { bavail, bsize } = await statfs(path)
    const freeBytes = bavail * bsize
    const words = `${formatBytes(freeBytes)} at ${path}`
    if (freeBytes < spaceFailBytes) return fail(words, 'free space, or set storage.base_dir to another disk')
    return freeBytes < spaceWarnBytes
      ? warn(words, 'all channels of a large product need several GB a day before conversion')
      : ok(words)
  },
}

const fsyncRounds = 50
const fsyncBytes = 64_000
/** Two flushes a second would already wait for such a disk. */
const fsyncWarnMs = 50

const fsync: Check = {
  name: 'fsync',
  of: 'machine',
  async run({ config, clock }) {
    const { path, isFolder } = await nearestExisting(recordingFolder(config))
    if (!isFolder) return fail(`${path} is not a folder`, 'set storage.base_dir to a folder')
    const times = await withScratch(path, (scratch) => fsyncTimes(join(scratch, 'fsync'), clock))
    const medianMs = times[times.length >> 1]!
    const words = `median ${medianMs.toFixed(1)} ms, longest ${times.at(-1)!.toFixed(1)} ms (${fsyncRounds} of ${fsyncBytes / 1000} kB)`
    return medianMs > fsyncWarnMs
      ? warn(words, 'use a faster disk, or raise ingestion.flush_interval_seconds')
      : ok(words)
  },
}

async function fsyncTimes(path: string, clock: Clock): Promise<number[]> {
  const file = await open(path, 'w')
  try {
    const body = Buffer.alloc(fsyncBytes, 'x')
    const times: number[] = []
    for (let i = 0; i < fsyncRounds; i++) {
      await file.write(body)
      const startedMs = clock.monotonicMs()
      await file.datasync()
      times.push(clock.monotonicMs() - startedMs)
    }
    return times.sort((a, b) => a - b)
  } finally {
    await file.close()
  }
}

const filesWanted = 1024

const openFiles: Check = {
  name: 'open files',
  of: 'machine',
  async run() {
    const report = process.report.getReport() as { userLimits?: { open_files?: { soft?: unknown } } }
    const soft = report.userLimits?.open_files?.soft
    if (typeof soft !== 'number') return ok(soft === 'unlimited' ? soft : 'no limit on this platform')
    return soft < filesWanted
      ? warn(`at most ${soft}`, `allow ${filesWanted} or more: ulimit -n ${filesWanted}`)
      : ok(`at most ${soft}`)
  },
}

const engine: Check = {
  name: 'DuckDB',
  of: 'machine',
  async run() {
    try {
      const { duckdb } = await import('../../storage/duckdb.ts')
      const instance = await duckdb.DuckDBInstance.create(':memory:')
      const connection = await instance.connect()
      const reader = await connection.runAndReadAll('SELECT 6 * 7')
      connection.closeSync()
      return ok(`${duckdb.version()}, answers ${String(reader.getRows()[0]?.[0])}`)
    } catch (error) {
      return fail(
        `does not load: ${messageOf(error).split('\n')[0]}`,
        'run npm ci again on this machine: its binary is for one platform',
      )
    }
  },
}

const recorder: Check = {
  name: 'recorder',
  of: 'machine',
  async run({ config, signal }) {
    const baseDir = recordingFolder(config)
    if ((await nearestExisting(baseDir)).path !== baseDir) return ok('none has recorded here yet')
    const { openLocalStore } = await import('../../storage/local.ts')
    const { recorderStatus } = await import('../../query/recorder-status.ts')
    const status = await recorderStatus(await openLocalStore(baseDir), 'coinbase', signal)
    return status.state === 'died'
      ? warn(status.words, 'nothing to do: the next mdv ingest or mdv run recovers it')
      : ok(status.words)
  },
}

const key: Check = {
  name: 'key file',
  of: 'machine',
  async run({ config }) {
    const { api_secret_file: path } = config.coinbase
    if (path === null) return ok('none; public data needs none')
    try {
      readKey(await readKeyFile('coinbase.api_secret_file', path))
      return ok(`${path} holds an EC P-256 key`)
    } catch (error) {
      if (!(error instanceof VaultError)) throw error
      return fail(error.message, error.remedy ?? 'correct coinbase.api_secret_file')
    }
  },
}

export const machineChecks: readonly Check[] = [node, folder, space, fsync, openFiles, engine, recorder, key]

/** The path itself, or the closest folder above it that is there. */
async function nearestExisting(path: string): Promise<{ path: string; isFolder: boolean }> {
  for (let at = path; ; at = dirname(at)) {
    try {
      return { path: at, isFolder: (await stat(at)).isDirectory() }
    } catch (error) {
      const code = systemCode(error)
      if ((code !== 'ENOENT' && code !== 'ENOTDIR') || dirname(at) === at) throw error
    }
  }
}

async function withScratch<T>(parent: string, use: (folder: string) => Promise<T>): Promise<T> {
  const scratch = await mkdtemp(join(parent, '.mdv-doctor-'))
  try {
    return await use(scratch)
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}

async function canLink(scratch: string): Promise<boolean> {
  const path = join(scratch, 'probe')
  await (await open(path, 'w')).close()
  return link(path, `${path}-link`).then(
    () => true,
    () => false,
  )
}

/** What a check's exception says about the machine. */
export function failedCheck(error: unknown): Verdict {
  const known = error instanceof VaultError ? error.remedy : undefined
  const remedy =
    systemCode(error) === undefined
      ? (known ?? 'MDV_DEBUG=1 shows more')
      : 'set storage.base_dir to a folder this user may write, on a disk with space'
  return fail(messageOf(error), remedy)
}
