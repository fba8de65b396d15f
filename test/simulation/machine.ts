/** A machine of the simulation: a wall clock that may be set, a disk that may be slow, full, broken or without power, and its programs. */

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Random } from '../../src/core/clock.ts'
import { ForgetfulDisk, Losses, type DiskStep } from '../segment/forgetful-disk.ts'
import type { Program } from './program.ts'
import type { Timeline } from './timeline.ts'

/** Before any operation of a disk ends. */
const soonMs = 0.02

export class Machine {
  readonly name: string
  readonly timeline: Timeline
  readonly random: Random
  /** Where its vault, spool or scratch lies. */
  readonly base: string
  readonly programs = new Set<Program>()
  readonly losses = new Losses()
  disk: ForgetfulDisk
  /** What the wall clock says at the beginning of virtual time, epoch milliseconds. */
  wallMs: number
  boots = 1
  pids = 0
  /** Of operations that begin before it, none ends before it. */
  diskStallUntilMs = 0
  diskFullUntilMs = 0
  /** Syncs fail. */
  diskBrokenUntilMs = 0
  /** What happens as soon as one of its programs has asked for this, once. */
  readonly strikeAt = new Map<'write' | 'datasync', () => Promise<unknown>>()
  /** It does not reach the bucket. */
  cutOffUntilMs = 0
  /** When each object got its name, by key. */
  readonly stamps = new Map<string, number>()
  readonly #grave: string

  constructor(name: string, timeline: Timeline, random: Random, folder: string, wallMs: number) {
    this.name = name
    this.timeline = timeline
    this.random = random
    this.base = join(folder, name)
    this.wallMs = wallMs
    this.#grave = join(folder, `${name}.grave`)
    mkdirSync(this.base, { recursive: true })
    mkdirSync(this.#grave)
    this.disk = this.#newDisk()
  }

  nowMs(): number {
    return this.wallMs + this.timeline.nowMs
  }

  isAlive(pid: number): boolean {
    return [...this.programs].some((program) => program.pid === pid)
  }

  /** Every program is dead at once; of what was not synced any part may be gone. */
  async losePower(): Promise<void> {
    for (const program of this.programs) await program.die('power')
    await this.disk.loseParts(this.random, this.losses)
    this.disk = this.#newDisk()
    this.boots++
  }

  /** A program has asked for it, and it is not done yet. */
  asked(what: 'write' | 'datasync'): void {
    const strike = this.strikeAt.get(what)
    if (strike === undefined) return
    this.strikeAt.delete(what)
    this.timeline.at(soonMs, async () => void (await strike()))
  }

  #newDisk(): ForgetfulDisk {
    const disk = new ForgetfulDisk(this.#grave)
    disk.refuse = (step) => this.#refuse(step)
    return disk
  }

  #refuse(step: DiskStep): void {
    const nowMs = this.timeline.nowMs
    const code =
      nowMs < this.diskFullUntilMs && (step === 'create' || step === 'write')
        ? 'ENOSPC'
        : nowMs < this.diskBrokenUntilMs && (step === 'datasync' || step === 'write')
          ? 'EIO'
          : undefined
    if (code !== undefined) throw Object.assign(new Error(`${code}: simulated, ${step}`), { code })
  }
}
