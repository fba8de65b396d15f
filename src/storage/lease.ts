/**
 * A lease on a name, from put-if-absent alone: objects `<prefix>.<k><ending>`, of which the highest k is the current one. Taking,
 * renewing and taking over all are the creation of k+1, which only one can do; older generations are removed afterwards.
 *
 * A lease saves double work. What must not happen twice rests on put-if-absent of the result, never on the lease.
 */

import type { Clock } from '../core/clock.ts'
import { VaultError } from '../core/errors.ts'
import { listAll, type ObjectStore } from './object-store.ts'
import type { ProcessIdentity } from './process-identity.ts'

export interface LeaseOwner extends ProcessIdentity {
  /** What it does, for the one who is refused: `mdv ingest`. */
  readonly purpose: string
  /** Random, one an acquisition. */
  readonly token: string
}

export interface LeaseOptions {
  /** How long a lease holds without being renewed. */
  readonly ttlMs: number
  readonly clock: Clock
  readonly isDead: (owner: ProcessIdentity) => Promise<boolean>
  /**
   * true: when the owner is not provably dead, watch the lease for its whole length before giving up or taking over.
   * false: say at once who holds it.
   */
  readonly wait: boolean
  /**
   * When all generations were last listed and there was none, by the monotonic clock: taking a lease that is free still is then one put.
   * Only for leases that are renewed after a third of their length at the earliest, and removed when let go.
   */
  readonly freeAtMs?: number
  /** Waiting for an owner that certainly lives is of no use: it is named at once. Left out: never certain. */
  readonly isAlive?: (owner: ProcessIdentity) => Promise<boolean>
}

export type LeaseOutcome =
  | { readonly held: true; readonly lease: Lease }
  | { readonly held: false; readonly by: LeaseOwner }

interface Current {
  readonly generation: number
  readonly owner: LeaseOwner | null
}

/** Leases with one name: all generations share prefix and ending. */
interface LeaseName {
  readonly prefix: string
  readonly ending: string
}

/**
 * Takes the lease if it is free, its owner is provably dead, or (with `wait`) it is not renewed for its whole length.
 *
 * @param prefix everything before the generation: `raw/active/coinbase/recorder`
 * @param ending everything after it: `.lease.json`
 */
export async function acquireLease(
  store: ObjectStore,
  prefix: string,
  ending: string,
  owner: LeaseOwner,
  options: LeaseOptions,
  signal: AbortSignal,
): Promise<LeaseOutcome> {
  const name = { prefix, ending }
  if (options.freeAtMs !== undefined) {
    const lease = new Lease(store, name, owner, options, 0)
    if (await lease.renew()) return { held: true, lease }
  }
  for (;;) {
    signal.throwIfAborted()
    const current = await currentGeneration(store, name, signal)
    if (current.owner !== null && !(await mayTakeOver(store, name, current, options, signal))) {
      return { held: false, by: current.owner }
    }
    const lease = new Lease(store, name, owner, options, current.generation)
    if (await lease.renew()) return { held: true, lease }
    // Someone else was faster: look again at who it is.
  }
}

/** Who holds the lease, without touching it; null: nobody. */
export async function leaseHolder(
  store: ObjectStore,
  prefix: string,
  ending: string,
  signal: AbortSignal,
): Promise<LeaseOwner | null> {
  return (await currentGeneration(store, { prefix, ending }, signal)).owner
}

async function mayTakeOver(
  store: ObjectStore,
  name: LeaseName,
  seen: Current,
  options: LeaseOptions,
  signal: AbortSignal,
): Promise<boolean> {
  if (await options.isDead(seen.owner!)) return true
  if (!options.wait || (await options.isAlive?.(seen.owner!)) === true) return false
  await options.clock.sleep(options.ttlMs, signal)
  return (await currentGeneration(store, name, signal)).generation === seen.generation
}

/** One has some 300 bytes. */
const leaseBytesMax = 64 * 1024

async function currentGeneration(store: ObjectStore, name: LeaseName, signal: AbortSignal): Promise<Current> {
  const generation = Math.max(0, ...(await generationsOf(store, name, signal)))
  if (generation === 0) return { generation, owner: null }
  const key = keyOf(name, generation)
  const body = await store.get(key, leaseBytesMax)
  // Renewed or released between listing and reading: as if seen a moment later.
  return body === undefined
    ? currentGeneration(store, name, signal)
    : { generation, owner: parseOwner(body, key) }
}

async function generationsOf(store: ObjectStore, name: LeaseName, signal: AbortSignal): Promise<number[]> {
  const generations: number[] = []
  for (const { key } of await listAll(store, `${name.prefix}.`, signal)) {
    const match = key.endsWith(name.ending)
      ? /^\d+$/.exec(key.slice(name.prefix.length + 1, -name.ending.length))
      : null
    if (match !== null) generations.push(Number(match[0]))
  }
  return generations
}

function keyOf(name: LeaseName, generation: number): string {
  return `${name.prefix}.${generation}${name.ending}`
}

/** Released leases stay as a generation without an owner until the next one is taken. */
function parseOwner(body: Buffer, key: string): LeaseOwner | null {
  try {
    const value = JSON.parse(body.toString('utf8')) as { lease: LeaseOwner | null }
    if (value.lease === null) return null
    if (typeof value.lease.token === 'string' && typeof value.lease.pid === 'number') return value.lease
  } catch (error) {
    throw new VaultError('corrupt', `${key}: not a lease`, {
      cause: error,
      remedy: 'if no mdv process works on this folder, remove that file',
    })
  }
  throw new VaultError('corrupt', `${key}: a lease without token or pid`, {
    remedy: 'if no mdv process works on this folder, remove that file',
  })
}

export class Lease {
  readonly #store: ObjectStore
  readonly #name: LeaseName
  readonly #owner: LeaseOwner
  readonly #options: LeaseOptions
  #generation: number
  #deadlineMs = Number.NEGATIVE_INFINITY

  constructor(
    store: ObjectStore,
    name: LeaseName,
    owner: LeaseOwner,
    options: LeaseOptions,
    generation: number,
  ) {
    this.#store = store
    this.#name = name
    this.#owner = owner
    this.#options = options
    this.#generation = generation
  }

  get token(): string {
    return this.#owner.token
  }

  /** By our own monotonic clock: false as soon as another may have taken over, however long we slept. */
  isCurrent(): boolean {
    return this.#options.clock.monotonicMs() < this.#deadlineMs
  }

  /** Holds the lease for another length. @returns false: another has it; stop working */
  async renew(): Promise<boolean> {
    const startMs = this.#options.clock.monotonicMs()
    if (!(await this.#put(this.#owner))) {
      this.#deadlineMs = Number.NEGATIVE_INFINITY
      return false
    }
    this.#deadlineMs = startMs + this.#options.ttlMs
    return true
  }

  /** Lets go, so that the next one need not wait. Does nothing when another has it already. */
  async release(): Promise<void> {
    this.#deadlineMs = Number.NEGATIVE_INFINITY
    // The generation without an owner stays: were it removed, a sleeper could create its number again and believe itself the holder.
    await this.#put(null)
  }

  /** Removes the lease: where whoever takes it looks for the result first, and nobody renews past the deadline, no number need be kept. */
  async remove(): Promise<void> {
    this.#deadlineMs = Number.NEGATIVE_INFINITY
    await this.#store.delete(keyOf(this.#name, this.#generation))
  }

  /** Whether nobody can have gone past this generation since all were listed: it was not yet time to renew it. */
  #isFirst(generation: number): boolean {
    const { freeAtMs, clock, ttlMs } = this.#options
    return generation === 1 && freeAtMs !== undefined && clock.monotonicMs() - freeAtMs < ttlMs / 4
  }

  async #put(owner: LeaseOwner | null): Promise<boolean> {
    const next = this.#generation + 1
    const outcome = await this.#store.putIfAbsent(
      keyOf(this.#name, next),
      Buffer.from(JSON.stringify({ lease: owner })),
    )
    if (outcome === 'exists') return false
    if (this.#isFirst(next)) {
      this.#generation = next
      return true
    }
    // A holder makes its new generation before it removes the old: if others went past us while we slept, theirs is there to be seen.
    const generations = await generationsOf(this.#store, this.#name, new AbortController().signal)
    if (generations.some((generation) => generation > next)) {
      await this.#store.delete(keyOf(this.#name, next))
      return false
    }
    // Ours, and that of a holder who died between the two.
    for (const generation of generations)
      if (generation < next) await this.#store.delete(keyOf(this.#name, generation))
    this.#generation = next
    return true
  }
}
