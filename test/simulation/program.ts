/**
 * One process of the simulation. Its timers and operations end with it: a dead program is never called again, and of what it had under way
 * some parts have happened. A frozen one lives, and is called when it wakes.
 */

import type { Clock, Random, Timer } from '../../src/core/clock.ts'
import type { DiskFile } from '../../src/storage/disk.ts'
import type { ProcessIdentity } from '../../src/storage/process-identity.ts'
import type { Machine } from './machine.ts'

/** What has been asked of disk or network and not been answered. */
interface UnderWay {
  readonly label: string
  readonly act: () => Promise<unknown>
  /** A part of it, where it has parts. */
  readonly half: (() => Promise<unknown>) | undefined
  isDone: boolean
}

export type Death = 'killed' | 'power'

export class Program {
  readonly name: string
  readonly machine: Machine
  readonly random: Random
  readonly pid: number
  readonly boot: string
  readonly clock: Clock
  readonly files = new Set<DiskFile>()
  /** Told to stop, as by SIGTERM. */
  readonly stopping = new AbortController()
  readonly #onDeath: ((death: Death) => void)[] = []
  readonly #underWay = new Set<UnderWay>()
  #isAlive = true
  #frozenUntilMs = 0

  constructor(name: string, machine: Machine, random: Random) {
    this.machine = machine
    this.random = random
    this.pid = ++machine.pids
    this.name = `${name}#${this.pid}`
    this.boot = `boot ${machine.boots}`
    this.clock = this.#makeClock()
    machine.programs.add(this)
  }

  get isAlive(): boolean {
    return this.#isAlive
  }

  get identity(): ProcessIdentity {
    return { host: this.machine.name, boot: this.boot, pid_namespace: null, pid: this.pid, started: null }
  }

  /** As /proc tells it: of this host since it was started, and nothing of others. */
  isDead = async ({ host, boot, pid }: ProcessIdentity): Promise<boolean> =>
    host === this.machine.name && boot === this.boot && !this.machine.isAlive(pid)

  whenDead(act: (death: Death) => void): void {
    this.#onDeath.push(act)
  }

  /** Calls back after a time, when it still lives, and not while it is frozen. */
  later(delayMs: number, callback: () => void): Timer {
    const { timeline } = this.machine
    const state = { timer: timeline.at(delayMs, () => due()) }
    const due = (): void => {
      if (!this.#isAlive) return
      const frozenMs = this.#frozenUntilMs - timeline.nowMs
      if (frozenMs > 0) state.timer = timeline.at(frozenMs, due)
      else callback()
    }
    return { cancel: () => state.timer.cancel() }
  }

  /** One operation of disk or network: done after `delayMs`, and answered. @param half what may remain of it if the program dies before */
  io<T>(label: string, delayMs: number, act: () => Promise<T>, half?: () => Promise<unknown>): Promise<T> {
    const { timeline } = this.machine
    return new Promise<T>((resolve, reject) => {
      const one: UnderWay = { label, act, half, isDone: false }
      this.#underWay.add(one)
      timeline.at(delayMs, async () => {
        if (one.isDone) return
        one.isDone = true
        this.#underWay.delete(one)
        timeline.trace(`${this.name} ${label}`)
        const answer = await act().then(
          (value) => () => resolve(value),
          (error: unknown) => () => reject(error),
        )
        this.#whenAwake(answer)
      })
    })
  }

  freeze(ms: number): void {
    this.#frozenUntilMs = this.machine.timeline.nowMs + ms
  }

  /** It is gone at once. What it had under way may have happened, wholly or in part; without power, that is the disk's to say. */
  async die(death: Death): Promise<void> {
    if (!this.#isAlive) return
    this.#isAlive = false
    this.machine.programs.delete(this)
    this.machine.timeline.trace(`${this.name} dies: ${death}`)
    for (const one of this.#underWay) if (!one.isDone) await this.#remain(one)
    this.#underWay.clear()
    for (const file of this.files) await file.close().catch(() => undefined)
    for (const act of this.#onDeath) act(death)
  }

  /** It came to its own end. */
  async exit(): Promise<void> {
    await this.die('killed')
  }

  async #remain(one: UnderWay): Promise<void> {
    one.isDone = true
    const drawn = this.random()
    const act = drawn < 0.4 ? one.act : drawn < 0.7 ? one.half : undefined
    await act?.().catch(() => undefined)
  }

  #whenAwake(answer: () => void): void {
    const frozenMs = this.#frozenUntilMs - this.machine.timeline.nowMs
    if (frozenMs > 0) void this.later(frozenMs, answer)
    else if (this.#isAlive) answer()
  }

  #makeClock(): Clock {
    const { machine } = this
    const { timeline } = machine
    return {
      nowMs: () => Math.floor(machine.nowMs()),
      nowNs: () => BigInt(Math.round(machine.nowMs() * 1000)) * 1000n,
      monotonicNs: () => BigInt(Math.round(timeline.nowMs * 1000)) * 1000n,
      monotonicMs: () => timeline.nowMs,
      after: (delayMs, callback) => this.later(delayMs, callback),
      sleep: (delayMs, signal) => this.#sleep(delayMs, signal),
    }
  }

  #sleep(delayMs: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      signal.throwIfAborted()
      const stop = (): void => {
        timer.cancel()
        reject(signal.reason as Error)
      }
      const timer = this.later(delayMs, () => {
        signal.removeEventListener('abort', stop)
        resolve()
      })
      signal.addEventListener('abort', stop, { once: true })
    })
  }
}
