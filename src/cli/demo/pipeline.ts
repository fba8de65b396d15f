/** The demo's three processes: a simulated exchange, a recorder and a converter, each an `mdv` of its own. */

import { join } from 'node:path'
import type { Clock } from '../../core/clock.ts'
import { VaultError } from '../../core/errors.ts'
import { mdvArgv, startChild, type Child } from '../child.ts'

export interface PipelineOptions {
  /** Absolute; the vault and its config.yaml. */
  readonly folder: string
  readonly framesPerSecond: number
  readonly products: number
  readonly env: Readonly<Record<string, string | undefined>>
  /** Of sealed segments that are not converted. */
  readonly countReady: () => Promise<number>
}

/** What the processes said last. */
export interface PipelineState {
  readonly durableN: number
  readonly framesPerSecond: number
  readonly bytesPerSecond: number
  readonly durableLagMs: number
  readonly convertedLines: number
  /** All lines the recorder wrote, in its own words at its end; null before. */
  readonly recordedLines: number | null
}

/** What the simulator says it sent. */
export interface SentAccount {
  readonly connections: number
  readonly frames: number
}

export interface SimulatorAddress {
  readonly ws_url: string
  readonly rest_url: string
  readonly control_url: string
}

/** No news from the recorder for this long, when nothing is sent any more: everything is on disk. Five flushes. */
const settledMs = 1000
const pollMs = 100

export class Pipeline {
  readonly #clock: Clock
  readonly #options: PipelineOptions
  readonly #signal: AbortSignal
  readonly #stages: Child[] = []
  readonly #lastWords = new Map<string, string>()
  readonly #leaving = new Set<string>()
  #failure: VaultError | undefined
  #state: PipelineState = {
    durableN: 0,
    framesPerSecond: 0,
    bytesPerSecond: 0,
    durableLagMs: 0,
    convertedLines: 0,
    recordedLines: null,
  }

  constructor(clock: Clock, options: PipelineOptions, signal: AbortSignal) {
    this.#clock = clock
    this.#options = options
    this.#signal = signal
  }

  get state(): PipelineState {
    return this.#state
  }

  /** @returns once it listens */
  async startSimulator(): Promise<SimulatorAddress> {
    const { framesPerSecond, products } = this.#options
    let address: SimulatorAddress | undefined
    this.#start(
      'simulate',
      ['--json', '--unconflated', '--rate', String(framesPerSecond), '--products', String(products)],
      (value) => {
        address ??= addressOf(value)
      },
    )
    await this.#until(() => address !== undefined)
    return address!
  }

  /** @returns once the first lines are durable */
  async startRecording(): Promise<void> {
    this.#start('ingest', ['--json', '--watermark'], (value) => this.#onRecorder(value))
    this.#start('etl', ['--watch', '--json'], (value) => this.#onConverter(value))
    await this.#until(() => this.#state.durableN > 0)
  }

  /** Waits, and fails as soon as a process does. */
  async wait(delayMs: number): Promise<void> {
    const untilMs = this.#clock.monotonicMs() + delayMs
    await this.#until(() => this.#clock.monotonicMs() >= untilMs)
  }

  /** Stops the exchange's data and waits until all of it is on disk. */
  async settle(controlUrl: string): Promise<SentAccount> {
    await this.#control('POST', `${controlUrl}/pause`)
    let seen = -1
    let sinceMs = 0
    await this.#until(() => {
      const nowMs = this.#clock.monotonicMs()
      if (seen !== this.#state.durableN) sinceMs = nowMs
      seen = this.#state.durableN
      return nowMs - sinceMs >= settledMs
    })
    const account = await this.#control('GET', `${controlUrl}/account`)
    const { connections, frames } = account as { connections: unknown[]; frames: number }
    return { connections: connections.length, frames }
  }

  /** The recorder drains, seals and publishes what it has. */
  async stopRecording(): Promise<void> {
    await this.#leave('ingest')
  }

  /** @returns how many segments are still not converted when nothing has moved for `patienceMs` */
  async finishConverting(patienceMs: number): Promise<number> {
    let left = await this.#options.countReady()
    let changedMs = this.#clock.monotonicMs()
    while (left > 0 && this.#clock.monotonicMs() - changedMs < patienceMs) {
      await this.wait(pollMs)
      const now = await this.#options.countReady()
      if (now !== left) changedMs = this.#clock.monotonicMs()
      left = now
    }
    await this.#leave('etl')
    return left
  }

  /** Ends whatever still runs, in the order of the data. Does not fail. */
  async end(): Promise<void> {
    for (const name of ['ingest', 'etl', 'simulate']) await this.#drain(name)
  }

  #start(name: string, args: readonly string[], onJson: (value: Record<string, unknown>) => void): void {
    const env = { ...this.#options.env, MDV_CONFIG: join(this.#options.folder, 'config.yaml') }
    const child = startChild({ name, argv: mdvArgv([name, ...args]), env }, (text, stream) => {
      if (stream === 'err') this.#onWords(name, text)
      else if (text.startsWith('{')) onJson(JSON.parse(text) as Record<string, unknown>)
      else this.#onWatermark(text)
    })
    this.#stages.push(child)
    void child.exited.then(({ code, signal }) => {
      if (code === 0 || this.#leaving.has(name)) return
      this.#failure ??= new VaultError(
        'unavailable',
        `mdv ${name} ended with ${signal ?? `exit code ${code}`}: ${this.#lastWords.get(name)?.replace('mdv: ', '') ?? 'without a word'}`,
        { remedy: `what was recorded is in ${this.#options.folder}; "mdv doctor" looks at the machine` },
      )
    })
  }

  /** An error is told in its own line, whatever came after it. */
  #onWords(name: string, text: string): void {
    const isError = text.startsWith('mdv: ')
    if (isError || !this.#lastWords.get(name)?.startsWith('mdv: ')) this.#lastWords.set(name, text)
  }

  #onWatermark(text: string): void {
    const durable = /^durable_n=(\d+)$/.exec(text)?.[1]
    if (durable !== undefined) this.#state = { ...this.#state, durableN: Number(durable) }
  }

  #onRecorder(value: Record<string, unknown>): void {
    const words = (value['progress'] ?? value['summary']) as Record<string, number> | undefined
    if (words === undefined) return
    this.#state = {
      ...this.#state,
      durableN: Math.max(this.#state.durableN, words['durableN'] ?? 0),
      framesPerSecond: words['framesPerSecond'] ?? 0,
      bytesPerSecond: words['bytesPerSecond'] ?? 0,
      durableLagMs: words['durableLagMs'] ?? 0,
      recordedLines: value['summary'] === undefined ? null : (words['nextN'] ?? 1) - 1,
    }
  }

  #onConverter(value: Record<string, unknown>): void {
    const lines = typeof value['lines'] === 'number' ? value['lines'] : 0
    this.#state = { ...this.#state, convertedLines: this.#state.convertedLines + lines }
  }

  async #leave(name: string): Promise<void> {
    const code = await this.#drain(name)
    if (code !== 0 && code !== 143) this.#throwIfFailed()
    this.#signal.throwIfAborted()
  }

  async #drain(name: string): Promise<number | null> {
    const child = this.#stages.find((stage) => stage.name === name)
    if (child === undefined) return 0
    child.drain()
    const { code } = await child.exited
    this.#leaving.add(name)
    return code
  }

  async #control(method: string, url: string): Promise<unknown> {
    const response = await fetch(url, {
      method,
      signal: this.#signal,
      ...(method === 'POST' ? { body: '{}' } : {}),
    })
    if (!response.ok) throw new VaultError('unavailable', `${method} ${url}: HTTP ${response.status}`)
    return response.json()
  }

  async #until(isDone: () => boolean): Promise<void> {
    while (!isDone()) {
      this.#throwIfFailed()
      await this.#clock.sleep(pollMs, this.#signal)
    }
  }

  #throwIfFailed(): void {
    if (this.#failure !== undefined) throw this.#failure
  }
}

/** @returns undefined for what else it says */
function addressOf({ ws_url, rest_url, control_url }: Record<string, unknown>): SimulatorAddress | undefined {
  if (typeof ws_url !== 'string' || typeof rest_url !== 'string' || typeof control_url !== 'string')
    return undefined
  return { ws_url, rest_url, control_url }
}
