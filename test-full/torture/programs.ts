/** Recorders and workers of a tortured vault: how they are started with a fault in them, and how each of them ended. */

import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { MdvProcess } from '../processes.ts'
import { strace } from '../strace.ts'
import type { Tally } from './tally.ts'

/** Where Debian's package faketime puts it. */
const fakeClockPath =
  process.env['MDV_TEST_FAKETIME'] ?? '/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1'

/** @returns why the clock of a program cannot be set here; null: it can */
export function whyNoClock(): string | null {
  return existsSync(fakeClockPath)
    ? null
    : `${fakeClockPath} is not there: install faketime, or name the library in MDV_TEST_FAKETIME`
}

/** The wall clock of the programs that are given its environment; the monotonic one goes on. */
export class FakeClock {
  readonly #path: string

  constructor(folder: string) {
    this.#path = join(folder, 'clock')
    this.set(0)
  }

  set(seconds: number): void {
    writeFileSync(this.#path, `${seconds < 0 ? '' : '+'}${seconds}\n`)
  }

  get env(): Readonly<Record<string, string>> {
    return {
      LD_PRELOAD: fakeClockPath,
      FAKETIME_TIMESTAMP_FILE: this.#path,
      FAKETIME_CACHE_DURATION: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
      FAKETIME_DISABLE_SHM: '1',
      NO_FAKE_STAT: '1',
    }
  }
}

/** A call that fails or is slow; the traced program is our child all the same (`-D`), so that signals reach it. */
export function traced(calls: string, effect: string): string[] {
  const inject = ['-e', `trace=${calls}`, '-e', `inject=${calls}:${effect}`]
  return [strace, '-D', '-f', '-qq', '--seccomp-bpf', '-o', '/dev/null', ...inject]
}

/** Codes of ends that a fault outside brings about; 1 is a bug, and so is a signal that nobody sent. */
const excusable: readonly (number | null)[] = [4, 5, 8]

export class Program {
  readonly process: MdvProcess
  readonly name: 'recorder' | 'worker'
  readonly #tally: Tally
  #isTold = false
  #isExcused = false

  constructor(
    name: 'recorder' | 'worker',
    args: readonly string[],
    env: Readonly<Record<string, string>>,
    under: readonly string[],
    tally: Tally,
  ) {
    this.name = name
    this.#tally = tally
    this.process = new MdvProcess(args, under, env)
    this.process.child.once('exit', (code, signal) => this.#ended(code, signal))
  }

  get pid(): number {
    return this.process.child.pid!
  }

  get isAlive(): boolean {
    return this.process.child.exitCode === null && this.process.child.signalCode === null
  }

  /** What goes wrong around it may end it. */
  excuse(): void {
    this.#isExcused = true
  }

  signal(signal: NodeJS.Signals): void {
    this.process.child.kill(signal)
  }

  /** @returns whether there was something to kill */
  async kill(): Promise<boolean> {
    const wasAlive = this.isAlive
    this.#isTold = true
    await this.process.end('SIGKILL')
    if (wasAlive) this.#tally.add('kills', this.name)
    return wasAlive
  }

  /** @returns false: a slow disk did not take the last lines in time, and the next start recovers what is there */
  async stop(signal: 'SIGINT' | 'SIGTERM'): Promise<boolean> {
    this.#isTold = true
    const code = await this.process.end(signal)
    const isLate =
      code === 5 && this.process.errors.some((line) => line.includes('the disk did not take the last'))
    if (isLate) this.#tally.add('reached', 'stops for which the disk was too slow')
    else if (code !== 0 && code !== 130 && code !== 143) this.#difference(`stopped with ${code}`)
    return !isLate
  }

  /** What it said of itself, counted. */
  #ended(code: number | null, signal: NodeJS.Signals | null): void {
    const words = this.process.errors.join('\n')
    for (const [pattern, name] of told) {
      const times = [...words.matchAll(pattern)].length
      if (times > 0) this.#tally.add('reached', name, times)
    }
    if (this.#isTold) return
    this.#tally.add('ended by themselves', `${this.name} with ${code ?? signal}`)
    if (!this.#isExcused || !excusable.includes(code))
      this.#difference(`ended by itself with ${code ?? signal}`)
  }

  #difference(what: string): void {
    this.#tally.differ(`${this.name} ${this.pid} ${what}: ${this.process.errors.slice(-6).join(' | ')}`)
  }

  /** The last counter it said was durable; 0: none. */
  get durableN(): number {
    const line = this.process.lines.findLast((text) => text.startsWith('durable_n='))
    return line === undefined ? 0 : Number(line.slice('durable_n='.length))
  }
}

/** What the programs say, and what it proves. */
const told: readonly (readonly [RegExp, string])[] = [
  [/^recovered \S+: \d+ lines/gm, 'segments recovered from a dead recorder'],
  [/of a torn end put aside$/gm, 'torn tails cut'],
  [/was committed already, by an earlier run or another worker/g, 'jobs finished for another worker'],
  [/^rescued /gm, 'segments rescued from a silent recorder'],
  [/was taken over while the bucket was out of reach/g, 'fences met by their recorder'],
  [/watchdog: /g, 'watchdogs that hung up'],
  [/\(next try in /g, 'conversions tried again'],
]
