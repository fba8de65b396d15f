/** One `mdv` under measurement, with its sampler inside. */

import { spawn, type ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { MdvProcess } from '../processes.ts'
import {
  cpuMeasure,
  cpuSeconds,
  lastSample,
  logMeasure,
  processMeasures,
  threadMeasures,
  type Measure,
} from './measure.ts'
import type { ThreadSample } from './sampler.ts'

const sampler = fileURLToPath(new URL('./sampler.js', import.meta.url))
/**
 * V8 doubles the room for new objects, from one megabyte to twice sixteen, with what survived the busiest moment so far, and keeps it: on some
 * day every process gets there. Here it begins there, so that resident memory shows what grows without an end.
 */
const flags = ['--min-semi-space-size=16', '--max-semi-space-size=16']
/** Log lines come in bursts, one each half minute: their rate is that of the last minutes. */
const logWindowS = 120

/** How the sampler in each process works. */
export interface Sampling {
  readonly sampleMs: number
  /** After so many samples garbage is collected, and the heap measured. */
  readonly samplesPerCollection: number
}

function samplerEnv(path: string, { sampleMs, samplesPerCollection }: Sampling): NodeJS.ProcessEnv {
  return {
    NODE_OPTIONS: `${process.env['NODE_OPTIONS'] ?? ''} --expose-gc --import=${sampler}`,
    MDV_SOAK_SAMPLES: path,
    MDV_SOAK_SAMPLE_MS: String(sampleMs),
    MDV_SOAK_COLLECT_EVERY: String(samplesPerCollection),
  }
}

/** A process with a sampler that does nothing: how late timers are on this machine at this moment. */
export class Idle {
  readonly #child: ChildProcess
  readonly #samples: string

  constructor(folder: string, sampling: Sampling) {
    this.#samples = `${folder}/idle.samples`
    const env = { ...process.env, ...samplerEnv(this.#samples, sampling) }
    this.#child = spawn(process.execPath, ['-e', 'setInterval(() => undefined, 1e6)'], {
      stdio: 'ignore',
      env,
    })
  }

  sample(): ThreadSample | undefined {
    return lastSample(`${this.#samples}.0`)
  }

  stop(): void {
    this.#child.kill('SIGKILL')
  }
}

export class Watched {
  readonly name: string
  readonly process: MdvProcess
  readonly #samples: string
  #cpu = { s: 0, seconds: 0 }
  #lines = { out: 0, errors: 0 }
  #logBytes = 0
  readonly #logs: { s: number; bytes: number }[] = []

  /** @param folder for what the sampler writes */
  constructor(name: string, args: readonly string[], folder: string, sampling: Sampling) {
    this.name = name
    this.#samples = `${folder}/${name}.samples`
    this.process = new MdvProcess([name, ...args], [], samplerEnv(this.#samples, sampling), flags)
  }

  /** All it has printed. */
  get logBytes(): number {
    const { lines, errors } = this.process
    for (const line of lines.slice(this.#lines.out)) this.#logBytes += Buffer.byteLength(line) + 1
    for (const line of errors.slice(this.#lines.errors)) this.#logBytes += Buffer.byteLength(line) + 1
    this.#lines = { out: lines.length, errors: errors.length }
    return this.#logBytes
  }

  /** @param s seconds since the start @param idle of a process that does nothing @throws {Error} when it has ended */
  measure(s: number, idle: ThreadSample | undefined): Measure[] {
    const { child } = this.process
    const measures = processMeasures(child.pid!)
    if (measures.length === 0 || child.exitCode !== null)
      throw new Error(`${this.name} ended: ${this.process.errors.slice(-5).join(' | ')}`)
    const seconds = cpuSeconds(child.pid!)
    const percent = (100 * (seconds - this.#cpu.seconds)) / Math.max(0.001, s - this.#cpu.s)
    this.#cpu = { s, seconds }
    this.#logs.push({ s, bytes: this.logBytes })
    return [...measures, ...threadMeasures(this.#samples, idle), cpuMeasure(percent), ...this.#logRate(s)]
  }

  #logRate(s: number): Measure[] {
    const before = this.#logs.findLast((one) => s - one.s >= logWindowS)
    if (before === undefined) return []
    return [logMeasure((this.logBytes - before.bytes) / 1000 / ((s - before.s) / 60))]
  }
}
