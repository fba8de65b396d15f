/**
 * Brings a file of lines into the vault as sealed segments. Identity comes from the file's digest, so that a run after a crash
 * makes the same segments again and leaves out those that are already there; what says that it is done is put last.
 */

import { createHash, randomBytes } from 'node:crypto'
import { mkdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { VaultError } from '../../core/errors.ts'
import { peekSegment } from '../../segment/peek.ts'
import { listAll } from '../../storage/object-store.ts'
import { rawActive, rawReady } from '../../storage/keys.ts'
import { acquireLease, type Lease } from '../../storage/lease.ts'
import { isProvablyAlive, isProvablyDead, thisProcess } from '../../storage/process-identity.ts'
import { readAdoptedFile } from '../../table/adopted.ts'
import { readReceipts } from '../../table/receipts.ts'
import {
  AdoptRun,
  type AdoptDeps,
  type AdoptOptions,
  type AdoptOutcome,
  type AdoptSubject,
} from './adopt-run.ts'
import { sha256OfFile } from './source-lines.ts'

/** Renewed with each segment; one is written in seconds. */
const leaseMs = 600_000

/** @throws {VaultError} `invalid` when the file is one of our own segments, or holds no frame under this mapping */
export async function adoptFile(
  deps: AdoptDeps,
  path: string,
  options: AdoptOptions,
  signal: AbortSignal,
): Promise<AdoptOutcome> {
  const { size: sizeBytes, mtimeMs } = await stat(path)
  const sha256 = await sha256OfFile(path, signal)
  const subject = { path, sizeBytes, mtimeMs, sha256, recorder: recorderOf(sha256) }
  const known = await knownOutcome(deps, sha256)
  if (known !== null) return known
  if (options.isDryRun) return runInScratch(deps, options, subject, null, signal)
  const lease = await takeTurn(deps, signal)
  try {
    // Whoever had the turn before may have adopted this very file.
    return (await knownOutcome(deps, sha256)) ?? (await runInScratch(deps, options, subject, lease, signal))
  } finally {
    await lease.release()
  }
}

async function knownOutcome(deps: AdoptDeps, sha256: string): Promise<AdoptOutcome | null> {
  const record = await readAdoptedFile(deps.store, deps.venue, sha256)
  return record === undefined ? null : { kind: 'known', record, blankLines: 0, rejects: {}, segmentsFound: 0 }
}

/** One adoption at a time: two of the same file would both publish its segments. */
async function takeTurn(deps: AdoptDeps, signal: AbortSignal): Promise<Lease> {
  const owner = { ...(await thisProcess()), purpose: 'mdv adopt', token: randomBytes(8).toString('hex') }
  const options = {
    ttlMs: leaseMs,
    clock: deps.clock,
    isDead: isProvablyDead,
    isAlive: isProvablyAlive,
    wait: true,
  }
  const prefix = `${rawActive(deps.venue)}adopt`
  const outcome = await acquireLease(deps.store, prefix, '.lease.json', owner, options, signal)
  if (outcome.held) return outcome.lease
  throw new VaultError('held', `another adoption is running: pid ${outcome.by.pid} on ${outcome.by.host}`, {
    remedy: `wait for it; if it is certainly gone, remove ${prefix}.*.lease.json`,
  })
}

async function runInScratch(
  deps: AdoptDeps,
  options: AdoptOptions,
  subject: Omit<AdoptSubject, 'scratchDir' | 'present'>,
  lease: Lease | null,
  signal: AbortSignal,
): Promise<AdoptOutcome> {
  const scratchDir = join(await deps.store.scratch('adopt'), randomBytes(6).toString('hex'))
  await mkdir(scratchDir)
  try {
    const present = await segmentsOf(deps, subject.recorder, signal)
    return await new AdoptRun(deps, options, { ...subject, scratchDir, present }, lease).toEnd(signal)
  } finally {
    await rm(scratchDir, { recursive: true, force: true })
  }
}

/** A recorder's name made from the bytes themselves. */
function recorderOf(sha256: string): string {
  const digest = createHash('sha256').update(`adopt ${sha256}`).digest()
  return Array.from(digest.subarray(0, 10), (byte) => 'abcdefghijklmnopqrstuvwxyz234567'[byte & 31]).join('')
}

/** First counters of this recorder's segments that an earlier run published. Ready is listed before receipts are read. */
async function segmentsOf(deps: AdoptDeps, recorder: string, signal: AbortSignal): Promise<Set<number>> {
  const present = new Set<number>()
  for (const object of await listAll(deps.store, rawReady(deps.venue), signal)) {
    const peek = await peekSegment(deps.store, object, false, signal)
    if (peek !== 'gone' && peek.header?.recorder === recorder) present.add(peek.header.n)
  }
  for (const receipt of await readReceipts(deps.store, deps.venue, signal))
    for (const source of receipt.sources) if (source.recorder === recorder) present.add(source.first_n)
  return present
}
