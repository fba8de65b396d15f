/**
 * Stores as programs see them: a folder of their machine, and a bucket behind a network. What lies in the bucket is kept in memory; a
 * request may fail before or after its effect, or have it long after it failed.
 */

import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Random } from '../../src/core/clock.ts'
import { VaultError } from '../../src/core/errors.ts'
import {
  listAll,
  type LocalObjectStore,
  type ObjectInfo,
  type ObjectStore,
  type PutOutcome,
} from '../../src/storage/object-store.ts'
import { MemoryStore } from '../storage/memory-store.ts'
import type { Program } from './program.ts'
import { diskOf } from './program-disk.ts'
import type { Timeline } from './timeline.ts'

const never = new AbortController().signal

/** By key, epoch milliseconds: real files bear real times, which are no function of the seed. */
type Stamps = Map<string, number>

function stamped(stamps: Stamps, info: ObjectInfo): ObjectInfo {
  return { ...info, modifiedMs: stamps.get(info.key) ?? 0 }
}

async function bytesOf(store: ObjectStore, key: string, from: number, until: number): Promise<Buffer> {
  const pieces: Buffer[] = []
  for await (const piece of store.read(key, from, until, never)) pieces.push(piece)
  return Buffer.concat(pieces)
}

/** What is asked of a store without changing it, each question with a way of its own. */
function readingVia(
  store: ObjectStore,
  stamps: Stamps,
  ask: <T>(label: string, act: () => Promise<T>) => Promise<T>,
): Pick<ObjectStore, 'get' | 'head' | 'read' | 'list'> {
  return {
    get: (key) => ask(`get ${key}`, () => store.get(key)),
    head: (key) =>
      ask(`head ${key}`, async () => {
        const info = await store.head(key)
        return info === undefined ? undefined : stamped(stamps, info)
      }),
    async *read(key, from, until, signal): AsyncGenerator<Buffer> {
      signal.throwIfAborted()
      const bytes = await ask(`read ${key} ${from} ${until}`, () => bytesOf(store, key, from, until))
      if (bytes.length > 0) yield bytes
    },
    async *list(prefix, signal): AsyncGenerator<readonly ObjectInfo[]> {
      signal.throwIfAborted()
      const infos = await ask(`list ${prefix}`, () => listAll(store, prefix, never))
      if (infos.length > 0) yield infos.map((info) => stamped(stamps, info))
    },
  }
}

const lookMs = 0.2

/** Told of each claim that is put behind one of another owner. */
export class Takeovers {
  readonly #owners = new Map<string, string>()
  readonly #onTakeover: () => void

  constructor(onTakeover: () => void) {
    this.#onTakeover = onTakeover
  }

  /** @param body of an object just made */
  look(key: string, body: Uint8Array): void {
    const match = /^(raw\/processing\/.*)\.(\d+)\.claim\.json$/.exec(key)
    if (match === null) return
    const { lease } = JSON.parse(Buffer.from(body).toString()) as { lease: { token: string } | null }
    const before = this.#owners.get(match[1]!)
    const owner = lease?.token ?? ''
    if (match[2] !== '1' && before !== undefined && before !== owner) this.#onTakeover()
    this.#owners.set(match[1]!, owner)
  }
}

/** @param store opened by the program on its own view of the disk, where each change takes its time */
export function folderOf(program: Program, store: LocalObjectStore, takeovers?: Takeovers): LocalObjectStore {
  const { stamps } = program.machine
  const stamp = (key: string, outcome: PutOutcome): PutOutcome => {
    if (outcome === 'created') stamps.set(key, Math.floor(program.machine.nowMs()))
    return outcome
  }
  return {
    location: store.location,
    ...readingVia(store, stamps, (label, act) => program.io(label, lookMs, act)),
    putIfAbsent: async (key, body) => {
      const outcome = stamp(key, await store.putIfAbsent(key, body))
      if (outcome === 'created') takeovers?.look(key, body)
      return outcome
    },
    publishFile: async (path, key) => stamp(key, await store.publishFile(path, key)),
    delete: (key) => store.delete(key),
    scratch: (name) => store.scratch(name),
    fileOf: (key) => store.fileOf(key),
    pathOf: (key) => store.pathOf(key),
  }
}

/** How a change of the bucket may go wrong, as shares of all changes. */
export interface Moods {
  readonly lost: number
  readonly landed: number
  readonly late: number
}

const calm: Moods = { lost: 0, landed: 0, late: 0 }
/** The longest that a request is under way after its sender gave it up. */
const lateMs = 20_000

export class Bucket {
  readonly objects = new MemoryStore()
  readonly stamps: Stamps = new Map()
  readonly #timeline: Timeline
  readonly #random: Random
  readonly #startMs: number
  readonly #takeovers: Takeovers
  outageUntilMs = 0
  moods: Moods = calm
  readonly mishaps = { lost: 0, landed: 0, late: 0, refused: 0 }
  /** Changes still under way though nobody waits for them. */
  inFlight = 0

  constructor(timeline: Timeline, random: Random, startMs: number, takeovers: Takeovers) {
    this.#takeovers = takeovers
    this.#timeline = timeline
    this.#random = random
    this.#startMs = startMs
  }

  calm(): void {
    this.moods = calm
  }

  nowMs(): number {
    return Math.floor(this.#startMs + this.#timeline.nowMs)
  }

  seenBy(program: Program): ObjectStore {
    const { objects, stamps } = this
    const read = <T>(label: string, act: () => Promise<T>): Promise<T> =>
      program.io(`bucket ${label}`, this.#delayMs(), () => this.#reach(program, act))
    return {
      location: objects.location,
      ...readingVia(objects, stamps, read),
      putIfAbsent: (key, body) => this.#change(program, `put ${key}`, () => this.#put(key, body)),
      publishFile: async (path, key) => {
        const body = await program.io(`bytes ${key}`, lookMs, () => readFile(path))
        const outcome = await this.#change(program, `put ${key}`, () => this.#put(key, body))
        if (outcome === 'created') await diskOf(program).unlink(path)
        return outcome
      },
      delete: (key) => this.#change(program, `delete ${key}`, () => objects.delete(key)),
      scratch: async (name) => {
        const path = join(program.machine.base, '.scratch', name)
        await mkdir(path, { recursive: true })
        return path
      },
      fileOf: () => undefined,
    }
  }

  async #put(key: string, body: Uint8Array): Promise<PutOutcome> {
    const outcome = await this.objects.putIfAbsent(key, body)
    if (outcome === 'exists') return outcome
    this.stamps.set(key, this.nowMs())
    this.#takeovers.look(key, body)
    return outcome
  }

  #change<T>(program: Program, label: string, act: () => Promise<T>): Promise<T> {
    return program.io(`bucket ${label}`, this.#delayMs(), () => this.#reach(program, () => this.#moody(act)))
  }

  #reach<T>(program: Program, act: () => Promise<T>): Promise<T> {
    const nowMs = this.#timeline.nowMs
    if (nowMs >= this.outageUntilMs && nowMs >= program.machine.cutOffUntilMs) return act()
    this.mishaps.refused++
    return Promise.reject(unanswered())
  }

  async #moody<T>(act: () => Promise<T>): Promise<T> {
    const { lost, landed, late } = this.moods
    const drawn = this.#random()
    if (drawn >= lost + landed + late) return act()
    if (drawn < lost) this.mishaps.lost++
    else if (drawn < lost + landed) {
      this.mishaps.landed++
      await act()
    } else {
      this.mishaps.late++
      this.inFlight++
      this.#timeline.at(this.#random() * lateMs, async () => {
        this.inFlight--
        await act()
      })
    }
    throw unanswered()
  }

  #delayMs(): number {
    return 5 + this.#random() * 60
  }
}

function unanswered(): VaultError {
  return new VaultError('unavailable', 'no answer came')
}
