/**
 * What a proof that was stopped had proved, so that the next one of the same kind goes on there. A file beside the vault's data, a line for each
 * thing that was whole, with what it was then: one that looks different now is proved again, and so is everything with a finding. A proof
 * that comes to its end removes the file: the next one starts from nothing.
 */

import { mkdir, open, readFile, rm, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { systemCode } from '../../core/errors.ts'
import { sha256Hex } from '../../core/ids.ts'
import type { ObjectStore } from '../../storage/object-store.ts'
import type { RawFacts } from './raw.ts'
import type { SequenceFacts } from './sequences.ts'

/** What was learnt of one thing that was found whole. */
export interface Proved {
  readonly frames: number
  readonly facts: RawFacts | null
  readonly sequences: SequenceFacts
}

/** Whatever changes what a proof means: the venue, how deep, from which date on, by which version. */
export type ProofKind = Readonly<Record<string, string | boolean | null>>

/** What an earlier proof left, that this one goes on with. */
export interface Resumed {
  readonly beganMs: number
  readonly items: number
}

interface Entry extends Proved {
  readonly what: string
  /** Size, time and digest by which it is known again. */
  readonly mark: string
}

/** What was proved longer ago is proved again. */
const rememberedMs = 7 * 86_400_000

export class ProofMemory {
  readonly resumed: Resumed | null
  readonly #path: string
  readonly #file: FileHandle
  readonly #entries: ReadonlyMap<string, Entry>

  private constructor(
    path: string,
    file: FileHandle,
    entries: ReadonlyMap<string, Entry>,
    resumed: Resumed | null,
  ) {
    this.#path = path
    this.#file = file
    this.#entries = entries
    this.resumed = resumed
  }

  /** @param isFresh forget what an earlier one left */
  static async open(
    store: ObjectStore,
    kind: ProofKind,
    nowMs: number,
    isFresh: boolean,
  ): Promise<ProofMemory> {
    const folder = await store.scratch('verify')
    await mkdir(folder, { recursive: true })
    const name = sha256Hex(JSON.stringify({ format: 1, location: store.location, ...kind })).slice(0, 16)
    const path = join(folder, `${name}.ndjson`)
    const left = isFresh ? null : await readLeft(path, nowMs)
    if (left === null) await rm(path, { force: true })
    const file = await open(path, 'a')
    if (left === null) await file.appendFile(lineOf({ beganMs: nowMs }))
    const resumed = left === null ? null : { beganMs: left.beganMs, items: left.entries.size }
    return new ProofMemory(path, file, left?.entries ?? new Map(), resumed)
  }

  /** @param mark what it looks like now */
  recall(what: string, mark: string): Proved | undefined {
    const entry = this.#entries.get(what)
    return entry?.mark === mark ? entry : undefined
  }

  async remember(what: string, mark: string, proved: Proved): Promise<void> {
    const { frames, facts, sequences } = proved
    await this.#file.appendFile(lineOf({ what, mark, frames, facts, sequences }))
  }

  /** It came to its end: nothing is to be gone on with. */
  async forget(): Promise<void> {
    await rm(this.#path, { force: true })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close()
  }
}

/** The first line. */
interface Began {
  readonly beganMs: number
}

interface Left {
  readonly beganMs: number
  readonly entries: ReadonlyMap<string, Entry>
}

/** @returns null: there is nothing to go on with */
async function readLeft(path: string, nowMs: number): Promise<Left | null> {
  const [first, ...rest] = (await readText(path)).split('\n')
  const began = readLine(first)
  if (began === null || !('beganMs' in began)) return null
  const { beganMs } = began
  if (nowMs - beganMs > rememberedMs || beganMs > nowMs) return null
  const entries = rest.flatMap((line) => {
    const entry = readLine(line)
    return entry === null || 'beganMs' in entry ? [] : [[entry.what, entry] as const]
  })
  return entries.length === 0 ? null : { beganMs, entries: new Map(entries) }
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error
    return ''
  }
}

/** With a checksum: what a proof rests on is what was written, or nothing. */
function lineOf(value: Began | Entry): string {
  const json = JSON.stringify(value)
  return `${checksumOf(json)} ${json}\n`
}

/** The shape is that of whoever wrote it: this version, by the file's name. A line that is half there, or damaged, is proved again. */
function readLine(line = ''): Began | Entry | null {
  const json = line.slice(9)
  return line.startsWith(`${checksumOf(json)} `) ? (JSON.parse(json) as Began | Entry) : null
}

function checksumOf(json: string): string {
  return crc32(json).toString(16).padStart(8, '0')
}
